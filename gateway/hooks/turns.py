"""Which plain calls of one plugin may begin: those that only compute get no company.

Python runs one thread at a time. A call that waits (for a socket, a file) leaves the others alone, and
some of them go on side by side. A call that computes gets no further for having company, and each one
more makes everybody else's turn come later. So nothing is begun while one is at work, and behind it one
call for each look of the watchdog.

Rules of this file. Every thread may call everything: whoever ends begins the next one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.hooks.loops import SIDE_BY_SIDE

T = TypeVar("T")

_QUIET = 1.0
"""Seconds without a call at work, after which they may begin side by side again."""


class Turns(Generic[T]):
    """Begins calls by `begin`, a few at once or one by one."""

    def __init__(self, begin: Callable[[T], None]) -> None:
        self.resting = False
        """True where a call that comes now has to wait for `go_on`."""
        self._begin = begin
        self._queue: deque[T] = deque()
        self._out: set[T] = set()
        self._quiet_at = 0.0
        self._lock = threading.Lock()

    def rest(self, now: float) -> None:
        """One is at work, or was for long."""
        with self._lock:
            self._quiet_at = now + _QUIET
            self.resting = True

    def submit(self, call: T) -> None:
        """Begin it, or let it wait behind those that wait."""
        with self._lock:
            self._queue.append(call)
            self._fill()

    def over(self, call: T) -> None:
        """It has ended, or nobody waits for it any more; a second time is no harm."""
        with self._lock:
            self._out.discard(call)
            self._fill()

    def go_on(self, now: float) -> None:
        """None is at work: the next one, or all that may when that has been so for long enough."""
        with self._lock:
            self.resting = False
            self._fill(1 if now < self._quiet_at else SIDE_BY_SIDE)
            self.resting = now < self._quiet_at

    def _fill(self, most: int = SIDE_BY_SIDE) -> None:
        while most and not self.resting and self._queue and len(self._out) < SIDE_BY_SIDE:
            call = self._queue.popleft()
            self._out.add(call)
            self._begin(call)
            most -= 1
