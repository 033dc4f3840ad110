"""What is due, in its order: as much of an event loop as boards and brokers want."""

from __future__ import annotations

import heapq
import math
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
        self.now = 0.0
        """Seconds."""
        self._soon: list[Due] = []
        """Packets: many, and hardly ever more than a few at once."""
        self._later: list[Due] = [(math.inf, 0, self.call_at, ())]
        """Everybody's timers: to keep those in order costs much more. The last of them never rings."""
        self._count = 0

    def call_world(self, when: float, function: Callable[..., Any], *args: Any) -> None:
        """Later, and for certain."""
        self._count = count = self._count + 1
        heap = self._soon if when - self.now < _SOON else self._later
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
            heap = soon if soon and soon[0] < later[0] else later
            if heap[0][0] > until:
                break
            when, _, function, args = pop(heap)
            self.now = when if when > self.now else self.now
            function(*args)
        self.now = until
