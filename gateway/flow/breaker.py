"""A breaker for each plugin: after failures in a row it is switched off, visibly, and tried again.

Pure: `now` is an argument. Only first attempts count, so that one poisoned message that is retried
does not switch a plugin off for everybody. While open nothing is called and everything is kept.
"""

from __future__ import annotations


class Breaker:
    """Counts failures of first attempts in a row; open from `limit` on, half-open after `pause`."""

    def __init__(self, limit: int = 5, pause: float = 30.0, most: float = 600.0) -> None:
        self._limit = limit
        self._first_pause = pause
        self._most = most
        self._pause = pause
        self.failures = 0
        self.reason = ""
        self._retry_at: float | None = None

    @property
    def is_open(self) -> bool:
        """True while the plugin is switched off."""
        return self._retry_at is not None

    def allows(self, now: float) -> bool:
        """True where a call may be made; when half-open, one call."""
        if self._retry_at is None:
            return True
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause  # half-open: this one may, the next one waits
        return True

    def succeeded(self) -> bool:
        """A call went well; True where that closed the breaker."""
        closed = self._retry_at is not None
        self.reset()
        return closed

    def failed(self, now: float, reason: str) -> bool:
        """A first attempt failed; True where that opened the breaker."""
        self.failures += 1
        self.reason = reason
        if self._retry_at is not None:
            self._pause = min(self._pause * 2, self._most)
            self._retry_at = now + self._pause
            return False
        if self.failures < self._limit:
            return False
        self._retry_at = now + self._pause
        return True

    def reset(self) -> None:
        """As new."""
        self.failures = 0
        self.reason = ""
        self._pause = self._first_pause
        self._retry_at = None
