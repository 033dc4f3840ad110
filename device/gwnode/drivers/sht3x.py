"""An SHT3x at pins [scl, sda] and `address` (68): HUMIDITY in percent, else degrees Celsius."""

from .. import board, const

_SINGLE_SHOT = const(b"\x24\x00")  # high repeatability, no clock stretching: 15 ms


class Driver:
    def __init__(self, pins, channel):
        pin = board.machine.Pin
        self._bus = board.machine.SoftI2C(scl=pin(pins[0]), sda=pin(pins[1]))
        self._address = channel.get("address", 68)
        self._humidity = channel.get("metric") == "HUMIDITY"

    def read(self):
        self._bus.writeto(self._address, _SINGLE_SHOT)
        board.sleep_ms(16)
        data = self._bus.readfrom(self._address, 6)
        for at in (0, 3):
            if _crc(data[at : at + 2]) != data[at + 2]:
                raise OSError("bad checksum")
        if self._humidity:
            return 100 * (data[3] << 8 | data[4]) / 65535
        return 175 * (data[0] << 8 | data[1]) / 65535 - 45


def _crc(data):
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
