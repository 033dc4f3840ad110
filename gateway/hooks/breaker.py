"""A breaker for each plugin: after failures in a row it is switched off, visibly, and tried again.

`Breaker` is pure: `now` is an argument. Only first attempts count, so that one poisoned message that is retried
does not switch a plugin off for everybody. While open nothing is called and everything is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.hooks.calls import Delivery

log = logging.getLogger(__name__)
_MOST = 0.1


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
        self._stopped_at = 0.0

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

    def wait(self, now: float) -> float:
        """Seconds until a call may be made."""
        return 0.0 if self._retry_at is None else max(0.05, self._retry_at - now)

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

    def stopped(self, now: float, seconds: float) -> bool:
        """A call that went well let nobody else run for so long; True where such calls take a tenth of
        the time or more, and this one is to count as a failure."""
        before, self._stopped_at = self._stopped_at, now
        return now - before <= seconds / _MOST

    def reset(self) -> None:
        """As new."""
        self.failures = 0
        self.reason = ""
        self._pause = self._first_pause
        self._retry_at = None


class Breakers:
    """One breaker for each plugin and handler, told how each call went."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._breakers: dict[str, Breaker] = {}
        self._news = asyncio.Event()

    def of(self, plugin: str) -> Breaker:
        """The plugin's breaker."""
        found = self._breakers.get(plugin)
        if found is None:
            # a hello must never be kept for long: the identity plugin is tried again soon (rule 13)
            most = 5.0 if plugin == "hello" else 600.0
            found = self._breakers[plugin] = Breaker(self._limit, min(30.0, most), most)
        return found

    def open(self) -> dict[str, str]:
        """The plugins that are switched off, with the reason."""
        return {name: b.reason for name, b in self._breakers.items() if b.is_open}

    def reset(self, plugin: str) -> None:
        """The operator says that the plugin is well again."""
        self.of(plugin).reset()
        self.tell()

    async def wait(self, most: float) -> None:
        """Until some plugin works again, or for `most` seconds."""
        try:
            async with asyncio.timeout(most):  # wait_for of 3.11 can swallow a cancellation
                await self._news.wait()
        except TimeoutError:
            return

    def judge(self, delivery: Delivery, stopped: float) -> None:
        """How a call went: counted, and said; `stopped`: seconds for which it let nobody else run."""
        if delivery.error is not None:
            self._has_failed(delivery)
        elif stopped:
            self._has_stopped_all(delivery, stopped)
        elif self.of(delivery.plugin.name).succeeded():
            log.info("plugin %s works again", delivery.plugin.name)
            self.tell()

    def _has_failed(self, delivery: Delivery) -> None:
        assert delivery.error is not None
        reason, trace, is_store = delivery.error
        log.warning(
            "plugin %s failed on %s of %s (attempt %d): %s%s",
            delivery.plugin.name,
            delivery.item.kind,
            delivery.item.row.lane,
            delivery.attempts + 1,
            reason,
            f"\n{trace}" if delivery.attempts == 0 and trace else "",
        )
        if delivery.attempts == 0 and not is_store:
            self._count(delivery.plugin.name, reason)

    def _has_stopped_all(self, delivery: Delivery, seconds: float) -> None:
        """Its effects are good, and kept."""
        reason = f"it let nobody else run for {seconds:.1f} s"
        name = delivery.plugin.name
        log.warning(
            "plugin %s on %s of %s: %s, in one call that keeps Python's lock; see docs/plugins/isolation.md",
            name,
            delivery.item.kind,
            delivery.item.row.lane,
            reason,
        )
        if self.of(name).stopped(time.monotonic(), seconds):
            self._count(name, reason)

    def _count(self, name: str, reason: str) -> None:
        if self.of(name).failed(time.monotonic(), reason):
            log.error(
                "plugin %s failed %d times in a row (%s); switched off, its messages are kept. "
                "next: gateway plugins reset %s",
                name,
                self.of(name).failures,
                reason,
                name,
            )

    def tell(self) -> None:
        """Whoever waits looks again: a plugin works, or is there, again."""
        self._news.set()
        self._news = asyncio.Event()
