"""What is due, in its order: as much of an event loop as boards and brokers want."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Alarm:
    """A call that can be taken back."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function: Callable[..., Any] | None = function

    def cancel(self) -> None:
        """Not any more."""
        self._function = None

    def ring(self, *args: Any) -> None:
        """It is time."""
        if self._function is not None:
            self._function(*args)


Due = tuple[float, int, Callable[..., Any], tuple[Any, ...]]
_SOON = 1.0


class Heap:
    """Time passes from one call to the next."""

    def __init__(self) -> None:
        self._now = 0.0
        self._soon: list[Due] = []
        """Packets: many, and hardly ever more than a few at once."""
        self._later: list[Due] = []
        """Everybody's timers: to keep those in order costs much more."""
        self._count = 0

    def time(self) -> float:
        """Seconds."""
        return self._now

    def call_world(self, when: float, function: Callable[..., Any], *args: Any) -> None:
        """Later, and for certain."""
        self._count = count = self._count + 1
        heap = self._soon if when - self._now < _SOON else self._later
        heapq.heappush(heap, (when, count, function, args))

    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> Alarm:
        """Later, unless it is taken back."""
        alarm = Alarm(function)
        self.call_world(when, alarm.ring, *args)
        return alarm

    def run(self, until: float) -> None:
        """Let time pass."""
        soon, later, pop = self._soon, self._later, heapq.heappop
        while True:
            heap = soon if soon and (not later or soon[0] < later[0]) else later
            if not heap or heap[0][0] > until:
                break
            when, _, function, args = pop(heap)
            self._now = max(self._now, when)
            function(*args)
        self._now = until
