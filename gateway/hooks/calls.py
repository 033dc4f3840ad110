"""One hook of one plugin for one event: where it runs, how long it may, and that it harms nobody.

Rules of this file. Batches are handed between threads, never single calls. A plugin of an event is
called directly on its thread; time budgets are kept by `Runners.watch`, which looks at who has been
running for how long, and never by a timer around each call (that costs 20 to 80 times the call).
Whatever a plugin raises, `SystemExit` included, is its own failure and ends here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any

from gateway.failpoint import failpoint
from gateway.hooks.loops import LoopThread, Pool
from gateway.hooks.tx import Gathered
from gateway.host.registry import Bound, Plugin

_claiming = threading.Lock()


class Delivery:
    """One event on its way through one plugin."""

    __slots__ = (
        "attempts", "bound", "claimed", "ended", "error", "event", "item", "late", "node",
        "plugin", "started", "task", "tx",
    )  # fmt: skip

    def __init__(self, item: Any, plugin: Plugin, bound: Bound, node: Any, tx: Gathered) -> None:
        self.item = item
        self.plugin = plugin
        self.bound = bound
        self.event = item.event
        self.node = node
        self.tx = tx
        self.attempts = 0
        self.claimed = False
        self.ended = False
        self.late = False
        self.error: BaseException | None = None
        self.started = 0.0
        self.task: asyncio.Task[None] | None = None

    def claim(self) -> bool:
        """True for the one who may run it."""
        with _claiming:
            mine = not self.claimed and not self.ended
            self.claimed = True
        return mine

    def call(self) -> Any:
        """Call the hook."""
        failpoint("hook.before")
        return self.bound.call(self.event, self.node, self.tx, self.plugin.config)


class Runner:
    """Runs deliveries on one thread's loop and reports them in lists to the gateway's loop."""

    owns_thread = True

    def __init__(self, thread: LoopThread, home: asyncio.AbstractEventLoop, report: Report) -> None:
        self.took: Callable[[Delivery], None] = lambda _delivery: None
        self.thread = thread
        self.pool = Pool(thread.name)
        self.running: dict[Delivery, None] = {}
        self._home = home
        self._report = report
        self._finished: list[Delivery] = []
        self._flushing = False

    def post(self, batch: list[Delivery]) -> bool:
        """Hand a list over; False where the loop is closed."""
        self.thread.start()
        return self.thread.post(self._begin, batch)

    def _begin(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            if not delivery.claim():
                continue
            delivery.started = time.monotonic()
            self.running[delivery] = None
            if delivery.bound.is_async:
                self._begin_async(delivery)
            elif delivery.plugin.manifest.eager:
                self._run_plain(delivery)
            else:
                self.pool.submit(partial(self._run_in_pool, delivery))
        self._flush()

    def _begin_async(self, delivery: Delivery) -> None:
        try:
            coroutine = delivery.call()
            if not delivery.plugin.manifest.eager:
                self._task(delivery, coroutine)
                return
            try:
                first = coroutine.send(None)
            except StopIteration:
                self._end(delivery, None)
            else:
                self._task(delivery, _go_on(coroutine, first))
        except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
            self._end(delivery, error)

    def _task(self, delivery: Delivery, coroutine: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await coroutine
            except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
                self._end(delivery, error)
            else:
                self._end(delivery, None)
            self._flush_soon()

        delivery.task = self.thread.loop.create_task(run())

    def _run_plain(self, delivery: Delivery) -> None:
        try:
            delivery.call()
        except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
            self._end(delivery, error)
        else:
            self._end(delivery, None)

    def _run_in_pool(self, delivery: Delivery) -> None:
        delivery.started = time.monotonic()  # the time in the queue is not the handler's
        self._run_plain(delivery)
        self.thread.post(self._flush_soon)

    def _end(self, delivery: Delivery, error: BaseException | None) -> None:
        failpoint("hook.after")
        delivery.error = error
        delivery.tx.close()
        if error is None:
            self.took(delivery)
        self.running.pop(delivery, None)
        self._finished.append(delivery)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.thread.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._finished:
            finished, self._finished = self._finished, []
            with contextlib.suppress(RuntimeError):  # the gateway is gone; the journal has them
                self._home.call_soon_threadsafe(self._report, finished)


Report = Callable[[list[Delivery]], None]


class Runners:
    """The runner of each group of plugins, and the one watchdog over all of them."""

    def __init__(self, home: asyncio.AbstractEventLoop, report: Report, budget: float) -> None:
        self._home = home
        self._report = report
        self._budget = budget
        # called on the plugin's thread as soon as a call has succeeded, before the next one there
        self.took: Callable[[Delivery], None] = lambda _delivery: None
        self._runners: dict[str, Runner] = {}
        self._abandoned: list[Runner] = []

    def of(self, group: str) -> Runner:
        """The runner of a group, made when first asked for."""
        runner = self._runners.get(group)
        if runner is None:
            thread = LoopThread(f"plugins-{group}")
            runner = self._runners[group] = Runner(thread, self._home, self._report)
            runner.took = self.took
        return runner

    def put(self, group: str, runner: Runner) -> None:
        """A runner that somebody else made."""
        self._runners[group] = runner

    def post(self, batches: dict[str, list[Delivery]]) -> None:
        """Hand each group its list."""
        for group, batch in batches.items():
            self.of(group).post(batch)

    def ask(self, plugin: Plugin, bound: Bound, **values: Any) -> Future[Any]:
        """Call a hook that is no event (`startup`, `health`, a job ...) on the plugin's own thread.

        The future may be awaited from any loop through `asyncio.wrap_future`.
        """
        answer: Future[Any] = Future()
        runner = self.of(plugin.group)
        runner.thread.start()
        if bound.is_async or plugin.manifest.eager:
            posted = runner.thread.post(_ask_on_loop, runner.thread.loop, answer, bound, values)
        else:
            posted = runner.thread.post(
                lambda: runner.pool.submit(lambda: _ask_plain(answer, bound, values))
            )
        if not posted:
            answer.set_exception(RuntimeError("the plugin's loop is closed"))
        return answer

    def watch(self, now: float) -> list[Delivery]:
        """Give up what ran over its budget; returns these deliveries, failed with TimeoutError.

        A group whose loop is blocked by one of its plugins goes on with a new thread; the old one
        cannot be killed and stays behind as a daemon.
        """
        given_up: list[Delivery] = []
        for group, runner in list(self._runners.items()):
            over = [d for d in list(runner.running) if now - d.started > self._budget]
            for delivery in over:
                runner.running.pop(delivery, None)
                _give_up(delivery, runner, self._budget)
                given_up.append(delivery)
            if over and runner.owns_thread and runner.thread.blocked_for(now) > self._budget / 2:
                del self._runners[group]
                self._abandoned.append(runner)
        return given_up

    def stop(self) -> None:
        """End the threads that come round; those that hang are daemons."""
        for runner in self._runners.values():
            runner.pool.stop()
            if runner.owns_thread:
                runner.thread.stop()
        for runner in self._abandoned:
            runner.thread.post(runner.thread.loop.stop)


def _give_up(delivery: Delivery, runner: Runner, budget: float) -> None:
    delivery.tx.close()
    delivery.error = TimeoutError(f"no answer within {budget:g} s")
    if delivery.task is not None:
        runner.thread.post(delivery.task.cancel)


def _ask_on_loop(
    loop: asyncio.AbstractEventLoop, answer: Future[Any], bound: Bound, values: dict[str, Any]
) -> None:
    async def run() -> None:
        try:
            result = bound.ask(**values)
            answer.set_result(await result if inspect.isawaitable(result) else result)
        except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
            answer.set_exception(_as_exception(error))

    task = loop.create_task(run())
    answer.add_done_callback(
        lambda done: loop.call_soon_threadsafe(task.cancel) if done.cancelled() else None
    )


def _ask_plain(answer: Future[Any], bound: Bound, values: dict[str, Any]) -> None:
    try:
        answer.set_result(bound.ask(**values))
    except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
        answer.set_exception(_as_exception(error))


def _as_exception(error: BaseException) -> Exception:
    """A future that carries `SystemExit` would end whoever asks for its result."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


class _go_on:
    """Goes on, inside a task, with a coroutine that was driven to its first wait without one."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], first: Any) -> None:
        self._coroutine = coroutine
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        waiting = self._first
        while True:
            problem: BaseException | None = None
            value = None
            try:
                value = yield waiting
            except BaseException as error:  # noqa: BLE001 - passed on to the plugin's coroutine
                problem = error
            try:
                if problem is None:
                    waiting = self._coroutine.send(value)
                else:
                    waiting = self._coroutine.throw(problem)
            except StopIteration:
                return
