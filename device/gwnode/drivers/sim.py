"""Every kind of driver without a pin: what a node has where there is no hardware."""

from .. import board


def kind(name):
    """The class that stands for a driver."""
    return {"relay": Output, "pwm": Output, "digital": Switch, "pulse": Pulses}.get(name, Value)


class Value:
    """Up and down between `low` (20) and `high` (25) in ten minutes."""

    def __init__(self, pins, channel):
        self._low = channel.get("low", 20)
        self._wide = channel.get("high", 25) - self._low

    def read(self):
        at = board.now_ms() // 1000 % 600
        return self._low + self._wide * min(at, 600 - at) / 300


class Switch:
    """On in every other minute."""

    def __init__(self, pins, channel):
        pass

    def read(self):
        return board.now_ms() // 60000 % 2


class Pulses(Switch):
    """Two each second."""

    def read(self):
        return board.now_ms() // 500


class Output(Switch):
    """Remembers what it was told."""

    def do(self, level):
        self.level = level
