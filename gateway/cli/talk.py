"""Says things on a thread of its own: whoever does not read (Ctrl+S, a pager) holds nobody up.

Rules of this file. Memory is bounded: what finds no room is left out, counted, and said later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_MOST = 5000


class Talker:
    """`left_out` is told how many could not be said, as soon as there is room again."""

    def __init__(self, left_out: Callable[[int], None], most: int = _MOST) -> None:
        self._left_out = left_out
        self._most = most
        self._waiting: deque[Callable[[], None]] = deque()
        self._lost = 0
        self._talking = False
        self._news = threading.Condition()
        threading.Thread(target=self._run, name="gateway-talk", daemon=True).start()

    def soon(self, say: Callable[[], None]) -> None:
        """Call `say` behind all that was asked for before; never waits."""
        with self._news:
            if len(self._waiting) >= self._most:
                self._lost += 1
            else:
                self._waiting.append(say)
            self._news.notify_all()

    def flush(self, patience: float) -> None:
        """Wait until everything is said, for so many seconds."""
        deadline = time.monotonic() + patience
        with self._news:
            while (self._waiting or self._talking) and time.monotonic() < deadline:
                self._news.wait(deadline - time.monotonic())

    def _run(self) -> None:
        while True:
            with self._news:
                self._talking = False
                self._news.notify_all()
                while not self._waiting:
                    self._news.wait()
                say, self._talking = self._waiting.popleft(), True
                lost = self._lost if len(self._waiting) < self._most // 2 else 0
                self._lost -= lost
            if lost:
                self._left_out(lost)
            say()
