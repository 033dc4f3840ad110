"""How many lines of a plugin reach the log: its share, and how many were left out.

Rules of this file. What is said on a thread of the gateway is never held back. A plugin is known by its
thread, whatever name its logger has. What is left out costs its maker no formatting and nobody else
anything, and is counted and said within a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

log = logging.getLogger(__name__)
BURST, RATE = 200, 10.0
"""Lines at once, and a second after that: enough for a stack trace of each of many nodes."""
_PAUSE = 1.0


class Share(logging.Filter):
    """For the handler of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}
        self._dropped: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """True where the line is shown."""
        who = speaker(record.threadName or "")
        if not who:
            return True
        now = time.monotonic()
        with self._lock:
            left, at = self._left.get(who, (float(BURST), now))
            left = min(BURST, left + (now - at) * RATE)
            shown = left >= 1
            self._left[who] = (left - shown, now)
            if not shown:
                self._drop(who)
        return shown

    def _drop(self, who: str) -> None:
        if not self._dropped:
            timer = threading.Timer(_PAUSE, self._say)
            timer.name, timer.daemon = "gateway-lines", True
            timer.start()
        self._dropped[who] += 1

    def _say(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        for who, count in dropped.items():
            log.warning("%s: %s lines were left out of the log", who, f"{count:,}")


def speaker(thread: str) -> str:
    """Who speaks on this thread; "" for the gateway itself."""
    if thread == "MainThread" or thread.startswith("gateway"):
        return ""
    if thread.startswith("plugins-"):
        return f"plugin {thread.split('-')[1]}"
    return "a thread of a plugin"
