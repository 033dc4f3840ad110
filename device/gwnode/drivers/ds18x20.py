"""A DS18x20 thermometer, degrees Celsius. Of many on one wire `rom` (16 hex digits) names one."""
# A conversion takes 750 ms: the first read starts it, the next one fetches the value.

import ds18x20
import onewire

from .. import board


class Driver:
    def __init__(self, pins, channel):
        self._bus = ds18x20.DS18X20(onewire.OneWire(board.machine.Pin(pins[0])))
        self._rom = channel.get("rom")
        self._found = None

    def read(self):
        if self._found is None:
            roms = [bytes(rom) for rom in self._bus.scan()]
            if self._rom:
                roms = [rom for rom in roms if rom.hex() == self._rom]
            if not roms:
                raise OSError("no thermometer on the wire")
            self._bus.convert_temp()
            self._found = roms[0]
            return None
        rom, self._found = self._found, None
        return self._bus.read_temp(rom)
