"""The runner of each group of plugins, and the one watchdog over all of them.

Rules of this file. Time budgets are kept by looking at who has been running for how long, never by a
timer around each call (that costs 20 to 80 times the call). A thread that does not come back is left
behind, never waited for.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from gateway.hooks.calls import Delivery, Report, Runner
from gateway.hooks.failure import Failure
from gateway.hooks.loops import LoopThread
from gateway.hooks.pulse import LATE, Pulse
from gateway.host.registry import Bound, Plugin


class Runners:
    """The runner of each group of plugins, and the one watchdog over all of them."""

    def __init__(self, home: asyncio.AbstractEventLoop, report: Report, budget: float) -> None:
        self._home = home
        self._report = report
        self._budget = budget
        # seconds of CPU: whoever has used more is not waiting for something
        self._idle = budget / 20
        self._pulse = Pulse(time.monotonic())
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
        """Give up what ran over its budget; returns these deliveries.

        A group whose loop is blocked by one of its plugins goes on with a new thread, also with what
        the old one has not begun; the old one cannot be killed and stays behind as a daemon.
        """
        self._pulse.beat(now, {name: runner.thread.used for name, runner in self._runners.items()})
        failure = Failure(f"TimeoutError: no answer within {self._budget:g} s")
        over = {
            runner: [d for d in list(runner.running) if now - d.started > self._budget]
            for runner in (*self._runners.values(), *self._abandoned)
        }
        given_up = [d for runner, late in over.items() for d in late if runner.give_up(d, failure)]
        for group, runner in list(self._runners.items()):
            is_blocked = runner.owns_thread and runner.thread.blocked_for(now) > self._budget / 2
            if over[runner] and is_blocked:
                del self._runners[group]
                runner.halted = True  # it may come round, interrupted; the rest is the next one's
                self._abandoned.append(runner)
                self.of(group).post(list(runner.waiting))
        for runner in (*self._runners.values(), *self._abandoned):
            runner.look(now)
            runner.chase(self._idle)
        for runner in self._abandoned:
            if runner.thread.blocked_for(now):
                runner.thread.interrupt(self._idle)
        return given_up

    def stopped_by(self, delivery: Delivery, now: float) -> float:
        """Seconds for which a call that has ended let nobody else run; 0.0 where it did not."""
        if delivery.longest <= LATE:
            return 0.0  # of many short ones none did it, however busy their loop was
        if delivery.used:
            return self._pulse.stopped_by(delivery.started, delivery.used, now)
        group = delivery.plugin.group
        runner = self._runners.get(group)
        used = runner.thread.used if runner is not None else 0.0
        return self._pulse.stopped_on(group, delivery.started, used, now)

    def halt(self) -> None:
        """Begin no call any more: the plugins are about to be told goodbye."""
        for runner in self._runners.values():
            runner.halted = True

    def stop(self, patience: float = 1.0) -> None:
        """End the threads that come round in time, all together; those that hang are daemons."""
        own = [runner.thread for runner in self._runners.values() if runner.owns_thread]
        for runner in self._runners.values():
            runner.pool.stop()
        for thread in [*own, *(runner.thread for runner in self._abandoned)]:
            thread.end()
        deadline = time.monotonic() + patience
        for thread in own:
            thread.join(deadline - time.monotonic())


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
