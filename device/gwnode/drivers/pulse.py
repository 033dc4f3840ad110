"""Pulses at a pin times `scale`: each second for a FLOW_RATE, else all since the boot."""

from .. import board


class Driver:
    def __init__(self, pins, channel):
        pin = board.machine.Pin
        self._count = self._last = 0
        self._at = board.now_ms()
        self._scale = channel.get("scale", 1)
        self._rate = channel.get("metric") == "FLOW_RATE"
        self._pin = pin(pins[0], pin.IN, pin.PULL_UP)
        self._pin.irq(self._pulse, pin.IRQ_FALLING)

    def _pulse(self, _):
        self._count += 1

    def read(self):
        if not self._rate:
            return self._count * self._scale
        now, count = board.now_ms(), self._count
        took, new = max(now - self._at, 1), count - self._last
        self._at, self._last = now, count
        return new * self._scale * 1000 / took

    def close(self):
        self._pin.irq(None)
