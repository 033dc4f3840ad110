"""A switch: 1 while its pin is high, or low with `invert`; `pull` is "up" or "down"."""

from .. import board


class Driver:
    def __init__(self, pins, channel):
        pin = board.machine.Pin
        pull = {"up": pin.PULL_UP, "down": pin.PULL_DOWN}.get(channel.get("pull"))
        self._pin = pin(pins[0], pin.IN, pull)
        self._invert = channel.get("invert") is True

    def read(self):
        return self._pin.value() ^ self._invert
