"""Handlers of an application that embeds the gateway: `gateway.subscribe(filter, handler)` (rule 14).

Rules of this file. A handler's loop is the host application's while that runs, else the gateway's
one long-lived fallback loop; its first run fixes it, and a host loop that does not come round for a
second moves it there once and for good. Never a loop for each message: what a handler made in its
loop (a lock, a pool, a client) must go on working. A message whose handler has not come back after
a restart waits for it in the journal.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from gateway.api import Manifest
from gateway.hooks.calls import Delivery, Report, Runner
from gateway.hooks.loops import LoopThread
from gateway.hooks.runners import Runners
from gateway.service.filters import matches
from gateway.store import journal

log = logging.getLogger(__name__)
Function = Callable[[str, bytes], Awaitable[None] | None]
PATIENCE = 1.0
PREFIX = "app:"


class FallbackLoop:
    """The one loop for handlers whose application has none; its thread starts when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = LoopThread("gateway-fallback")

    def thread_for(self, topic: str) -> LoopThread:
        """The thread, started for this topic's message if it does not run yet."""
        with self._lock:
            if not self._thread.started:
                log.warning(
                    "No running event loop found for topic %s. Creating new event loop for "
                    "fallback execution to avoid dropped messages.",
                    topic,
                )
                self._thread.start()
                log.info("Started fallback execution thread for topic %s", topic)
        return self._thread

    @property
    def thread(self) -> LoopThread:
        """The thread, running or not."""
        return self._thread

    def stop(self) -> None:
        """End the thread if it comes round."""
        self._thread.stop()


class Handler:
    """A subscribed function; to the dispatcher it looks like a plugin with one hook.

    `name` is durable: what is kept for it in the journal finds it again after a restart.
    """

    manifest = Manifest()
    config: Any = None

    def __init__(self, pattern: str, function: Function | None, name: str) -> None:
        self.pattern = pattern
        self.function = function
        self.name = PREFIX + name
        self.group = self.name
        self.is_async = function is not None and _is_async(function)
        self.state = "ready" if function is not None else "absent"
        self.loop: asyncio.AbstractEventLoop | None = None

    def call(self, event: Any, *_rest: Any) -> Any:
        """Call the function with topic and payload."""
        assert self.function is not None
        return self.function(event.source.topic, event.source.payload)


def durable_name(pattern: str, function: Function) -> str:
    """Filter and `module:qualname`: the same after a restart."""
    target = inspect.unwrap(function)
    module = getattr(target, "__module__", "?")
    qualname = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{pattern} {module}:{qualname}"


class HandlerRunner(Runner):
    """Runs one handler on the loop that rule 14 gives it."""

    owns_thread = False

    def __init__(
        self,
        handler: Handler,
        fallback: FallbackLoop,
        home: asyncio.AbstractEventLoop,
        report: Report,
    ) -> None:
        super().__init__(fallback.thread, home, report)
        self._handler = handler
        self._fallback = fallback

    def post(self, batch: list[Delivery]) -> bool:
        """On the gateway's loop: hand the batch to wherever this handler runs."""
        handler = self._handler
        if not handler.is_async:
            for delivery in batch:
                self.pool.submit(partial(self._in_pool, delivery))
            return True
        loop = handler.loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._begin_on, loop, batch)
            except RuntimeError:
                self._move(batch)
            else:
                self._home.call_later(PATIENCE, self._look_after, batch)
            return True
        thread = self._fallback.thread_for(batch[0].event.source.topic)
        return thread.post(self._begin_on, thread.loop, batch)

    def _look_after(self, batch: list[Delivery]) -> None:
        left = [delivery for delivery in batch if not delivery.claimed and not delivery.ended]
        if left:
            self._move(left)

    def _move(self, batch: list[Delivery]) -> None:
        """The host's loop does not run: from here on the handler lives on the fallback loop."""
        if self._handler.loop is not None:
            self._handler.loop = None
            log.warning(
                "The host application's event loop does not run; handler %s moves to the "
                "fallback event loop for good",
                self._handler.name,
            )
        self.post(batch)

    def _begin_on(self, loop: asyncio.AbstractEventLoop, batch: list[Delivery]) -> None:
        for delivery in batch:
            if self._take(delivery):
                delivery.task = loop.create_task(self._run(loop, delivery))

    async def _run(self, loop: asyncio.AbstractEventLoop, delivery: Delivery) -> None:
        topic = delivery.event.source.topic
        on_fallback = loop is self._fallback.thread.loop
        error: BaseException | None = None
        try:
            await delivery.call()
        except BaseException as caught:  # noqa: BLE001 - the handler's failure is its own
            error = caught
        if on_fallback and error is None:
            log.debug("Handler executed in fallback event loop for topic %s", topic)
        elif on_fallback:
            log.error(
                "Failed to execute handler in fallback event loop for topic %s: %s",
                topic,
                error,
                exc_info=error,
            )
        self._end(delivery, error)
        self._flush()

    def _in_pool(self, delivery: Delivery) -> None:
        if self._take(delivery):
            self._run_plain(delivery)
            self._flush()


class Handlers:
    """All subscribed functions."""

    def __init__(self, runners: Runners, home: asyncio.AbstractEventLoop, report: Report) -> None:
        self._runners = runners
        self._home = home
        self._report = report
        self.fallback = FallbackLoop()
        self._handlers: dict[str, Handler] = {}
        self._own: dict[str, HandlerRunner] = {}

    def restore(self, known: Iterable[tuple[str, str]]) -> None:
        """(name, filter) of the last run's handlers: their messages wait until they come back."""
        for name, pattern in known:
            self._handlers.setdefault(name, Handler(pattern, None, name.removeprefix(PREFIX)))

    def add(self, handler: Handler) -> None:
        """A handler is there, or has come back."""
        self._handlers[handler.name] = handler
        runner = HandlerRunner(handler, self.fallback, self._home, self._report)
        self._own[handler.name] = runner
        self._runners.put(handler.group, runner)

    def remove(self, name: str) -> None:
        """The application does not want it any more."""
        self._handlers.pop(name, None)
        self._own.pop(name, None)

    def get(self, name: str) -> Handler | None:
        """A handler by its durable name."""
        return self._handlers.get(name)

    def all(self) -> list[Handler]:
        """Every handler, also those that have not come back."""
        return list(self._handlers.values())

    def patterns(self) -> list[str]:
        """The filters that handlers want."""
        return [handler.pattern for handler in self._handlers.values()]

    def wants(self, topic: str) -> bool:
        """True where some handler takes this topic."""
        return any(matches(handler.pattern, topic) for handler in self._handlers.values())

    def targets(self, row: journal.Row) -> list[tuple[Any, Any]]:
        """The handlers for a row, as the dispatcher takes plugins."""
        if not self._handlers or row.session == "host":
            return []
        return [(h, h) for h in self._handlers.values() if matches(h.pattern, row.topic)]

    def stop(self) -> None:
        """End pools and the fallback loop."""
        for runner in self._own.values():
            runner.pool.stop()
        self.fallback.stop()


def _is_async(function: Function) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - objects with an async __call__ count
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        call
    )
