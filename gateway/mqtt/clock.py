"""The observed clock (DESIGN rule 11): it advances only while we hear the broker. Pure.

Deadlines of nodes run on it, so that a half-open link, a suspended process or a long commit cannot
expire a fleet: time in which we could not have heard a node does not count against it.
"""

from __future__ import annotations


class ObservedClock:
    """Anchored at the wall clock; `now` arguments are a monotonic clock, seconds.

    It reaches up to the last bytes heard, and no step is longer than `step`: we ping every 5 s, so
    what lies beyond is time in which the link, or we, did not run.
    """

    def __init__(self, wall: float, step: float = 10.0) -> None:
        self._value = wall
        self._heard_at: float | None = None
        self._step = step

    def heard(self, now: float) -> None:
        """Bytes have arrived."""
        if self._heard_at is not None:
            self._value += min(max(now - self._heard_at, 0.0), self._step)
        self._heard_at = now

    def lost(self) -> None:
        """The connection is gone: the time until the next bytes does not count."""
        self._heard_at = None

    def read(self) -> float:
        """Seconds; never goes back."""
        return self._value
