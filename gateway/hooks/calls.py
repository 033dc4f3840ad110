"""One hook of one plugin for one event: where it runs, how long it may, and that it harms nobody.

Rules of this file. Batches are handed between threads, never single calls. A plugin of an event is
called directly on its thread. A call is over once: whoever takes it out of `running`, its own thread
or the watchdog (`runners.py`), says how it ended. Whatever a plugin raises, `SystemExit` included, is
its own failure and ends here; so does a process that it forked and let come back to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from gateway.failpoint import failpoint
from gateway.hooks.failure import Failure
from gateway.hooks.loops import LoopThread, Place, Pool
from gateway.hooks.pulse import LATE
from gateway.hooks.turns import Turns
from gateway.hooks.tx import Gathered
from gateway.host.registry import Bound, Plugin

_claiming = threading.Lock()
_NOT_THERE = object()
_forks = [0]
"""How many forks lie between this process and the one that imported us."""


def _count_fork() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_child=_count_fork)


class Delivery:
    """One event on its way through one plugin."""

    __slots__ = (
        "attempts", "bound", "claimed", "ended", "error", "event", "item", "longest", "node", "over",
        "place", "plugin", "started", "task", "tx", "used",
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
        self.error: Failure | None = None
        self.started = 0.0
        self.longest = 0.0
        """Seconds that it took at most between two waits."""
        self.used = 0.0
        """Seconds of CPU of a plain call in the pool, when it has ended."""
        self.task: asyncio.Task[None] | None = None
        self.place: Place | None = None
        """Where a plain call runs, until it is over."""
        self.over: asyncio.Future[None] | None = None
        """For a call that goes on alone: whoever waits for its end, on the gateway's loop."""

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
    halted = False
    """From then on nothing is begun any more: what waits is in the journal."""

    def __init__(self, thread: LoopThread, home: asyncio.AbstractEventLoop, report: Report) -> None:
        self.took: Callable[[Delivery], None] = lambda _delivery: None
        self.thread = thread
        self.pool = Pool(thread.name)
        self._turns = Turns(self._hand)
        self.waiting: dict[Delivery, None] = {}
        """Posted, and not begun."""
        self.running: dict[Delivery, None] = {}
        self._home = home
        self._report = report
        self._finished: deque[Delivery] = deque()
        self._overrun: list[Delivery] = []
        self._flushing = False
        self._forks = _forks[0]

    def post(self, batch: list[Delivery]) -> bool:
        """Hand a list over; False where the loop is closed."""
        self.waiting.update(dict.fromkeys(batch))
        self.thread.start()
        return self.thread.post(self._begin, batch)

    def give_up(self, delivery: Delivery, failure: Failure) -> bool:
        """On the gateway's loop: end a call that does not end; False where it just has."""
        if self.running.pop(delivery, _NOT_THERE) is _NOT_THERE:
            return False
        delivery.tx.close()
        delivery.error = failure
        if delivery.task is not None:
            self.thread.post(delivery.task.cancel)
        elif not delivery.bound.is_async:
            self.pool.grow()  # its thread may never come back
            self._turns.over(delivery)
            self._overrun.append(delivery)
        return True

    def look(self, now: float) -> None:
        """On the gateway's loop, a few times a second: a plain call that computes has no company."""
        with _claiming:
            places = [d.place for d in (*list(self.running), *self._overrun) if d.place is not None]
            at_work = [place.is_at_work(now) for place in places]
        if any(at_work):
            self._turns.rest(now)
        elif self._turns.resting:
            self._turns.go_on(now)

    def chase(self, most: float) -> None:
        """Interrupt plain calls that were given up and have used more than `most` seconds of CPU."""
        left, self._overrun = self._overrun, []
        for delivery in left:
            with _claiming:
                place = delivery.place
                if place is not None and not place.interrupt(most):
                    self._overrun.append(delivery)

    def _begin(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            if delivery.bound.is_async:
                self._begin_async(delivery)
            elif delivery.plugin.manifest.eager:
                if self._take(delivery):
                    self._run_plain(delivery)
            else:
                self._turns.submit(delivery)
        self._flush()

    def _hand(self, delivery: Delivery) -> None:
        self.pool.submit(partial(self._run_in_pool, delivery))

    def _take(self, delivery: Delivery) -> bool:
        """True where this thread may run it, from now on."""
        self.waiting.pop(delivery, None)
        if self.halted or not delivery.claim():
            return False
        delivery.started = time.monotonic()
        self.running[delivery] = None
        return True

    def _begin_async(self, delivery: Delivery) -> None:
        if not delivery.plugin.manifest.eager:
            self._task(delivery, None)
            return
        if not self._take(delivery):
            return
        try:
            rest = _first_step(delivery)
            if rest is None:
                self._end(delivery, None)
            else:
                self._task(delivery, rest)
        except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
            self._end(delivery, error)

    def _task(self, delivery: Delivery, begun: _Rest | None) -> None:
        """A task that goes on with a call; without one it begins it, when its turn comes: on a loop
        that is blocked for good it has not begun, and the next thread may have it."""

        async def run() -> None:
            if begun is None and not self._take(delivery):
                return
            try:
                rest = begun or _first_step(delivery)
                if rest is not None:
                    await rest
            except BaseException as error:  # noqa: BLE001 - a plugin's failure is its own
                self._end(delivery, error)
            else:
                self._end(delivery, None)
            self._flush_soon()

        delivery.task = self.thread.loop.create_task(run())

    def _run_plain(self, delivery: Delivery) -> None:
        error: BaseException | None = None
        try:
            delivery.call()
        except BaseException as raised:  # noqa: BLE001 - a plugin's failure is its own
            error = raised
        delivery.longest = time.monotonic() - delivery.started
        self._end(delivery, error)

    def _run_in_pool(self, delivery: Delivery) -> None:
        if self._take(delivery):
            delivery.place = Place()
            self._run_plain(delivery)
            if delivery.used > LATE:
                self._turns.rest(time.monotonic())
        self._turns.over(delivery)
        self.thread.post(self._flush_soon)

    def _end(self, delivery: Delivery, error: BaseException | None) -> None:
        if _forks[0] != self._forks:
            os._exit(0)  # the hook forked, and this is the child: there is no gateway around it
        failpoint("hook.after")
        place = delivery.place
        if place is not None:
            delivery.used = place.used()
            with _claiming:
                delivery.place = None  # from here on this thread is the next call's
        delivery.tx.close()
        failure = None if error is None else Failure.of(error)
        if self.running.pop(delivery, _NOT_THERE) is _NOT_THERE:
            return  # given up
        delivery.error = failure
        if failure is None:
            self.took(delivery)
        self._finished.append(delivery)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.thread.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        finished: list[Delivery] = []
        with contextlib.suppress(IndexError):  # other threads put in, and may take out, meanwhile
            while True:
                finished.append(self._finished.popleft())
        if finished:
            with contextlib.suppress(RuntimeError):  # the gateway is gone; the journal has them
                self._home.call_soon_threadsafe(self._report, finished)


Report = Callable[[list[Delivery]], None]


def _first_step(delivery: Delivery) -> _Rest | None:
    """Drive an async call, begun just now, to its first wait, which needs no task; what is left then."""
    steps = delivery.call().__await__()
    try:
        return _Rest(delivery, steps, steps.send(None))
    except StopIteration:
        return None
    finally:
        delivery.longest = time.monotonic() - delivery.started


class _Rest:
    """Goes on, inside a task, with a call that was driven to its first wait without one."""

    def __init__(self, delivery: Delivery, steps: Generator[Any, Any, None], first: Any) -> None:
        self._delivery = delivery
        self._steps = steps
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        waiting = self._first
        while True:
            step: Callable[[Any], Any] = self._steps.send
            value: Any = None
            try:
                value = yield waiting
            except BaseException as error:  # noqa: BLE001 - passed on to the plugin's coroutine
                step, value = self._steps.throw, error
            began = time.monotonic()
            try:
                waiting = step(value)
            except StopIteration:
                return
            finally:
                took = time.monotonic() - began
                self._delivery.longest = max(self._delivery.longest, took)
