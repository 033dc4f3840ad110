"""The gateway as an object: for `gateway run`, and for an application that embeds it.

    gateway = Gateway(settings)                 async with Gateway(settings) as gateway:
    gateway.subscribe("hydro/#", handler)           gateway.subscribe("hydro/#", handler)
    gateway.start(); ...; gateway.stop()            ...

Handlers run on the application's event loop while that runs, else on the gateway's one fallback
loop (DESIGN rules 14 and 15). The gateway itself always runs on a loop and thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway.engine.life import Engine
from gateway.hooks.loops import LoopThread
from gateway.hooks.tx import check_topic
from gateway.protocol.codec import encode
from gateway.service.handlers import Function, Handler, durable_name
from gateway.settings.load import Loaded, load
from gateway.settings.model import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


class Gateway:
    """One gateway. Start it once; after `stop` make a new one."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        """`files` are the settings files, for the backups that the gateway makes by itself."""
        loaded = load() if settings is None else Loaded(settings, {}, list(files), [])
        self.settings = loaded.settings
        self._files = loaded.files
        self._host_loop = loop
        self._thread: LoopThread | None = None
        self._engine: Engine | None = None
        self._handlers: list[Handler] = []
        self._lock = threading.Lock()
        self._story: Callable[[str, str], None] = lambda _kind, _text: None

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when everything runs (the broker may still be away).

        Raises GatewayError: settings, store, broker binary, or another gateway on this folder.
        """
        if self._thread is not None:
            raise RuntimeError("this gateway was started already")
        thread = self._thread = LoopThread("gateway")
        thread.start()
        try:
            self._run(self._start()).result()
        except BaseException:
            thread.stop()
            raise

    def stop(self) -> None:
        """Finish what was accepted, within `shutdown_grace`, and stop. What is left runs at the
        next start.

        Raises RuntimeError on the thread of a handler's own loop: it would wait for itself.
        """
        self._refuse_own_loop()
        if self._thread is not None and self._engine is not None:
            self._run(self._engine.stop()).result()
            self._engine = None
            self._thread.stop()

    async def aclose(self) -> None:
        """`stop` for applications whose handlers run on this very loop."""
        if self._thread is not None and self._engine is not None:
            await asyncio.wrap_future(self._run(self._engine.stop()))
            self._engine = None
            await asyncio.to_thread(self._thread.stop)

    async def __aenter__(self) -> Self:
        self._host_loop = self._host_loop or asyncio.get_running_loop()
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def ready(self, timeout: float | None = None) -> None:
        """Wait until both sessions are subscribed. Raises TimeoutError."""
        self._run(self._need().wiring.link.ready()).result(timeout)

    # -- use ---------------------------------------------------------------------------------

    def subscribe(
        self,
        pattern: str,
        handler: Function,
        *,
        name: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Have `handler(topic, payload)` called for each accepted message of an MQTT filter.

        `handler` is `async def` or a plain function (these run on threads and may block). It
        succeeds once for each message, in order for each node; what fails is tried again and then
        kept as a dead letter. `name` makes it findable after a restart where its module and
        qualified name would change. Safe from any thread, before and after `start`.
        """
        check_filter(pattern)
        found = Handler(pattern, handler, name or durable_name(pattern, handler))
        found.loop = loop or self._host_loop or _running_loop()
        with self._lock:
            self._handlers.append(found)
            engine = self._engine
        if engine is None:
            return
        adding = self._run(engine.wiring.uplink.add(found))
        if _running_loop() is None:
            adding.result(10.0)

    def publish_json(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish compact JSON through the outbox. Raises DataError for what JSON cannot carry."""
        check_topic(topic)
        encode(payload)
        self._run(self._need().publish(topic, payload)).result(10.0)

    def facts(self) -> dict[str, Any]:
        """What `gateway status` shows: connection, counters, plugins."""

        async def ask() -> dict[str, Any]:
            return self._need().facts()

        return self._run(ask()).result(10.0)

    @property
    def left(self) -> int:
        """Accepted messages that are not done yet, in memory."""
        return self._engine.left if self._engine is not None else 0

    def on_story(self, callback: Callable[[str, str], None]) -> None:
        """Call `callback(kind, text)` for what an operator should read; before `start`."""
        self._story = callback

    # -- within ------------------------------------------------------------------------------

    async def _start(self) -> None:
        engine = Engine(self.settings, self._tell, self._files)
        with self._lock:
            handlers = list(self._handlers)
        await engine.start(handlers)
        with self._lock:
            self._engine = engine
            late = self._handlers[len(handlers) :]
        for handler in late:
            await engine.wiring.uplink.add(handler)

    def _tell(self, kind: str, text: str) -> None:
        try:
            self._story(kind, text)
        except Exception:  # a terminal that is gone is no reason to lose the broker as well
            log.exception("the story (%s: %s) cannot be told", kind, text)

    def _need(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the gateway does not run; call start() first")
        return self._engine

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        assert self._thread is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._thread.loop)

    def _refuse_own_loop(self) -> None:
        running = _running_loop()
        loops = [handler.loop for handler in self._handlers]
        if self._engine is not None:
            loops.append(self._engine.wiring.handlers.fallback.thread.loop)
        if running is not None and running in loops:
            raise RuntimeError(
                "stop() would wait for handlers that run on this very event loop; "
                "use `await gateway.aclose()`"
            )


def check_filter(pattern: str) -> None:
    """Raise ValueError where MQTT knows no such filter (3.1.1 §4.7)."""
    levels = pattern.split("/")
    wrong = not pattern or "\0" in pattern or "#" in "/".join(levels[:-1])
    if wrong or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        raise ValueError(f"{pattern!r} is no MQTT topic filter: + and # stand alone, # only last")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
