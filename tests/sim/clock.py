"""An event loop whose time passes only when nobody has anything to do, and modules that live in it.

Rules of this file. Nothing waits for real: a timer that is due next is due now. There is one thread,
so whatever code under test would hand to another one runs on this loop. What a process owns (tasks
and timers) is known by the life in which it was made, so that a killed process leaves nothing running.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar, copy_context
from typing import Any
from unittest import mock

EPOCH = 1_780_000_000.0
LIFE: ContextVar[int] = ContextVar("life", default=0)
"""Which process the running code belongs to; 0 is the world itself."""


class _Nowhere(selectors.BaseSelector):
    """No socket is ever ready; waiting moves the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, int(fileobj), events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for everybody: nothing is due, and nothing will be")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, no real time."""

    def __init__(self) -> None:
        self._nowhere = _Nowhere()
        super().__init__(self._nowhere)
        self._clock_resolution = 1e-6
        self._owned: dict[int, dict[asyncio.Task[Any], None]] = {}
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._nowhere.now

    @property
    def now(self) -> float:
        """The same, as `fleet/heap.py` has it."""
        return self._nowhere.now

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, _executor: Any, func: Any, *args: Any) -> Any:
        """What would block a thread is over at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)
        return future

    def spawn(self, life: int, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that belongs to this life, and so does everything that it starts."""
        context = copy_context()
        context.run(LIFE.set, life)
        return context.run(self.create_task, coroutine)

    def call_world(self, when: float, function: Callable[..., Any], *args: Any) -> None:
        """`call_at` as the world's own doing, whoever asks."""
        token = LIFE.set(0)
        self.call_at(when, function, *args)
        LIFE.reset(token)

    def end(self, life: int) -> None:
        """The process is gone: its timers never ring, its tasks end."""
        for handle in list(self._scheduled):
            if handle._context.get(LIFE) == life:
                handle.cancel()
        for task in self._owned.pop(life, {}):
            if not task.done():
                task._log_destroy_pending = False
                task.cancel()

    def _make_task(self, loop: Any, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **more)
        owned = self._owned.setdefault(LIFE.get(), {})
        owned[task] = None
        task.add_done_callback(lambda done: owned.pop(done, None))
        return task


class Clock:
    """The loop's time as the standard library's `time` would tell it; the wall clock can jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset = EPOCH

    def time(self) -> float:
        """The wall clock."""
        return self._loop.time() + self.offset

    def monotonic(self) -> float:
        """The clock that never jumps."""
        return self._loop.time()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Secrets:
    """Keys that are the same for the same seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def token_hex(self, size: int) -> str:
        """As the standard library's."""
        return self._chance.randbytes(size).hex()

    def __getattr__(self, name: str) -> Any:
        return getattr(secrets, name)


@contextlib.contextmanager
def inhabited(clock: Clock, chance: random.Random) -> Iterator[None]:
    """The gateway's and its plugins' modules live by this clock and this chance."""
    ours = {
        "time": (time, clock),
        "random": (random, chance),
        "secrets": (secrets, Secrets(chance)),
    }
    with contextlib.ExitStack() as stack:
        for name, module in sorted(sys.modules.items()):
            if not name.startswith(("gateway.", "gateway_")) or name.startswith("gateway.testing"):
                continue
            for attribute, (real, mine) in ours.items():
                if getattr(module, attribute, None) is real:
                    stack.enter_context(mock.patch.object(module, attribute, mine))
        yield


@contextlib.contextmanager
def running(main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Iterator[Any]:
    """Run a coroutine function on a new virtual loop; yields its result; nothing is left behind."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        yield loop.run_until_complete(main(loop))
    finally:
        for life in list(loop._owned):
            loop.end(life)
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()
