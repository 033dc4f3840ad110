"""When the gateway's own loop did not come round, and who kept it from that.

A single call into C that does not let go of Python's lock lets nobody else run, and cannot be ended from
outside. It is seen afterwards: the loop's look was late, and meanwhile that call used the processor.
Pure: `now` is an argument, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque

LATE = 0.15
"""Seconds between two looks that are too many; there are twenty looks a second."""
_KEPT = 16


class Pulse:
    """The looks of the gateway's loop."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._gaps: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def beat(self, now: float) -> None:
        """The loop came round."""
        if now - self._last > LATE:
            self._gaps.append((now, now - self._last))
        self._last = now

    def stopped_by(self, since: float, used: float, now: float) -> float:
        """For how many seconds a call that began at `since` let nobody else run, 0.0 where it did not.

        `used` is the CPU of its longest stretch without a wait: one that waited, for the lock too, has
        used next to nothing.
        """
        if used < LATE:
            return 0.0
        ended = [length for end, length in self._gaps if end > since]
        gap = max([*ended, now - self._last])
        return gap if gap > LATE else 0.0
