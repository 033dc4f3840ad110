"""A voltage at an analogue pin: volts, or whatever `scale` and `offset` make of them."""

from .. import board


class Driver:
    def __init__(self, pins, channel):
        self._adc = board.machine.ADC(board.machine.Pin(pins[0]))
        self._scale = channel.get("scale", 1) * 3.3 / 65535
        self._offset = channel.get("offset", 0)

    def read(self):
        return self._adc.read_u16() * self._scale + self._offset
