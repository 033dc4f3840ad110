"""When the gateway's own loop did not come round, and who kept it from that.

A single call into C that does not let go of Python's lock lets nobody else run, and cannot be ended from
outside. It is seen afterwards: the loop's look was late, and meanwhile that call used the processor.
Pure: `now` is an argument, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

LATE = 0.15
"""Seconds between two looks that are too many; there are twenty looks a second."""
_KEPT = 16


class _Gap(NamedTuple):
    end: float
    length: float
    used: dict[str, float]
    """Seconds of CPU of each group's loop meanwhile."""


class Pulse:
    """The looks of the gateway's loop."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._used: Mapping[str, float] = {}
        self._gaps: deque[_Gap] = deque(maxlen=_KEPT)

    def beat(self, now: float, used: Mapping[str, float]) -> None:
        """The loop came round; `used`: the CPU of each group's own loop since it began."""
        if now - self._last > LATE:
            spent = {group: seconds - self._used.get(group, 0.0) for group, seconds in used.items()}
            self._gaps.append(_Gap(now, now - self._last, spent))
        self._last, self._used = now, used

    def stopped_by(self, since: float, used: float, now: float) -> float:
        """For how many seconds a call that began at `since`, and used so much CPU by itself, let nobody
        else run. One that waited, for the lock too, has used next to nothing."""
        lengths = [gap.length for gap in self._gaps if gap.end > since]
        gap = max([*lengths, now - self._last])
        # several may have followed each other in it
        return min(gap, used) if min(gap, used) > LATE else 0.0

    def stopped_on(self, group: str, since: float, used: float, now: float) -> float:
        """The same for a call on its group's loop, which may be at several at once: told from the CPU
        of that loop, `used` of it until now."""
        stops = [min(gap.length, gap.used.get(group, 0.0)) for gap in self._gaps if gap.end > since]
        stop = max([*stops, min(now - self._last, used - self._used.get(group, 0.0))])
        return stop if stop > LATE else 0.0
