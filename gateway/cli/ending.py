"""The signals that end `gateway run`: the first asks for an end in order, a later one ends it at once.

Rules of this file. A handler runs in the middle of whatever the main thread does, its own wait included: it
takes no lock that this thread may hold. An Event has such a lock; a SimpleQueue is made for it.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from queue import Empty, SimpleQueue

_SAME_SIGNAL = 0.5  # `timeout` and supervisors signal the process and its group: that is one wish


class Ending:
    """The wish to end."""

    def __init__(self) -> None:
        self.signal = 0
        """The first one; 0 while there is none."""
        self._at = 0.0
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def listen(self) -> None:
        """Take the signals. On the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.take)

    def take(self, number: int, _frame: object) -> None:
        """The handler."""
        now = time.monotonic()
        if self.signal and now - self._at > _SAME_SIGNAL:
            os._exit(128 + number)
        if not self.signal:
            self.signal, self._at = number, now
            self._wakes.put(None)

    def wait(self, seconds: float | None = None) -> bool:
        """True as soon as it is wished; False after so long, and without a limit never."""
        if not self.signal:
            with suppress(Empty):
                self._wakes.get(timeout=seconds)
        return bool(self.signal)
