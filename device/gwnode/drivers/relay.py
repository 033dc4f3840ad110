"""A relay or any digital output: high is on, or low is with `invert`."""

from .. import board


class Driver:
    def __init__(self, pins, channel):
        self._invert = channel.get("invert") is True
        pin = board.machine.Pin
        self._pin = pin(pins[0], pin.OUT, value=self._invert)

    def do(self, level):
        self._pin.value((level > 127) ^ self._invert)
