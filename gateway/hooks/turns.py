"""Which plain calls of one plugin may begin: those that only compute get no company.

Python runs one thread at a time. A call that waits (for a socket, a file) leaves the others alone, and
several of them go on side by side as far as there are threads. A call that computes gets no further for
having company, and each one more makes everybody else's turn come later. So nothing is begun while one
is at work, and behind it one call for each look of the watchdog.

Rules of this file. All of it runs on the thread of the plugin's loop, but for `rest`, which the gateway's
calls: should `go_on` overlook it, the next look says it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_QUIET = 1.0
"""Seconds without a call at work, after which all may begin again at once."""


class Turns(Generic[T]):
    """Begins calls by `begin`, at once or one by one."""

    def __init__(self, begin: Callable[[T], None]) -> None:
        self.resting = False
        """True where a call that comes now has to wait for `go_on`."""
        self._begin = begin
        self._queue: deque[T] = deque()
        self._quiet_at = 0.0

    def rest(self, now: float) -> None:
        """One is at work."""
        self._quiet_at = now + _QUIET
        self.resting = True

    def submit(self, call: T) -> None:
        """Begin it, or let it wait behind those that wait."""
        if self.resting:
            self._queue.append(call)
        else:
            self._begin(call)

    def go_on(self, now: float) -> None:
        """None is at work: the next one, or all of them when that has been so for long enough."""
        most = 1 if now < self._quiet_at else len(self._queue)
        for _ in range(min(most, len(self._queue))):
            self._begin(self._queue.popleft())
        self.resting = now < self._quiet_at
