"""Which message may be what the broker hangs up at. Pure: the clock is the caller's.

Rules of this file. A connection that ends takes with it all that was under way, and any of it may be
why. Who was under way twice is a suspect, and is tried while nothing else is. Whoever was alone twice
is known: it is tried for ever, because a broker's limits can be raised, each time later.
"""

from __future__ import annotations

_SUSPECT_AFTER = 2
_KNOWN_AFTER = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 600.0


class Suspects:
    """By the ids of outbox rows."""

    def __init__(self) -> None:
        self._shared: dict[int, int] = {}
        self._alone: dict[int, int] = {}
        self._due: dict[int, float] = {}

    def lost(self, row: int, now: float, *, alone: bool) -> None:
        """The connection ended while this was under way, perhaps with nothing else."""
        counts = self._alone if alone else self._shared
        counts[row] = counts.get(row, 0) + 1
        if alone:
            pause = _FIRST_PAUSE * 4 ** (counts[row] - 1)
            self._due[row] = now + min(pause, _LONGEST_PAUSE)

    def postpone(self, row: int, now: float) -> None:
        """It could not be tried alone, or has had no answer."""
        self._due[row] = now + _FIRST_PAUSE

    def done(self, row: int) -> None:
        """The broker has it, or nobody wants it any more."""
        for counts in (self._shared, self._alone, self._due):
            counts.pop(row, None)

    def suspected(self, row: int) -> bool:
        """True where it is to be tried alone."""
        return self._shared.get(row, 0) >= _SUSPECT_AFTER or row in self._alone

    def known(self, row: int) -> bool:
        """True where it is the one."""
        return self._alone.get(row, 0) >= _KNOWN_AFTER

    def due(self, row: int) -> float:
        """When it may be tried alone."""
        return self._due.get(row, 0.0)
