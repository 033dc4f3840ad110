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


class Silence:
    """How long nothing was heard of the broker; time in which we did not run ourselves does not count.

    Pure: `now` and `heard_at` are the same monotonic clock. `step` is the longest time between two
    looks that is our own doing.
    """

    def __init__(self, now: float, step: float) -> None:
        self._looked_at = now
        self._step = step
        self._length = 0.0

    def look(self, now: float, heard_at: float) -> float:
        """Seconds of silence up to now."""
        if heard_at >= self._looked_at:
            self._length = 0.0
        since = max(heard_at, self._looked_at)
        self._length += min(max(now - since, 0.0), self._step)
        self._looked_at = now
        return self._length
