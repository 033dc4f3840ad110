"""Calls that compute get no company, those that wait do, none is forgotten; who stops everybody is named."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api import Manifest
from gateway.hooks.calls import Delivery
from gateway.hooks.runners import Runners
from gateway.hooks.turns import Turns
from gateway.host.plugin import Bound, Plugin
from gateway.testing.process import until


@given(st.lists(st.sampled_from(["submit", "over", "rest", "go on"]), max_size=40))
def test_none_is_forgotten_and_their_order_stays(words: list[str]) -> None:
    """Whatever comes in between: begun in the order of their coming, four at once and no more, one for
    each look behind a rest."""
    begun: list[int] = []
    turns = Turns(begun.append)
    now, count, over = 0.0, 0, 0
    for word in words:
        now += 0.01
        before, was_resting = len(begun), turns.resting
        if word == "submit":
            turns.submit(count)
            count += 1
        elif word == "over" and over < len(begun):
            turns.over(over)
            over += 1
        elif word == "rest":
            turns.rest(now)
        elif word == "go on":
            turns.go_on(now)
        assert len(begun) - over <= 4
        if was_resting:
            assert len(begun) <= before + (word == "go on")
        elif word != "rest":
            assert len(begun) == min(count, over + 4)
    turns.go_on(now + 60)
    while over < len(begun):
        turns.over(over)
        over += 1
    assert begun == list(range(count))
    assert not turns.resting


SPEC = ("event", "node", "tx", "config")


class Stage:
    """A plugin with a hook on its own threads, and a watchdog that looks when it is told to."""

    def __init__(
        self, home: asyncio.AbstractEventLoop, hook: Callable[[Any], Any], *, eager: bool = False
    ) -> None:
        self.ended: list[Delivery] = []
        self.runners = Runners(home, self.ended.extend, budget=3600.0)
        self._plugin = Plugin("computes", "here")
        self._plugin.manifest = Manifest(version="1.0", eager=eager)
        self._bound = Bound("node_hello", hook, SPEC, ["event"])

    def post(self, count: int) -> None:
        """So many events, at once."""
        tx: Any = SimpleNamespace(close=lambda: None)
        item = SimpleNamespace(event=None)
        batch = [Delivery(item, self._plugin, self._bound, None, tx) for _ in range(count)]
        self.runners.post({"computes": batch})

    def run(self, count: int) -> None:
        """So many events from the watchdog's first look until all have ended."""
        self.runners.watch(time.monotonic())
        self.post(count)
        until(lambda: len(self.ended) == count, 60, what="all of them")

    def queued(self) -> int:
        """How many wait for their turn."""
        return len(self.runners.of("computes")._turns._queue)

    def rests(self) -> bool:
        """True where nothing is begun at the moment."""
        return self.runners.of("computes")._turns.resting

    def has_used(self, seconds: float) -> bool:
        """True where each call that is out has had so much of the processor."""
        out = list(self.runners.of("computes").running)
        return all(d.place is not None and d.place.used() > seconds for d in out)


def play(scene: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """A scene in a thread, beside the loop that reports go to."""

    async def beside() -> None:
        await asyncio.to_thread(scene, asyncio.get_running_loop())

    asyncio.run(beside())


def test_a_call_that_computes_gets_no_company() -> None:
    """While it is at it the others wait; then they come one by one, a look each."""
    over = [threading.Event() for _ in range(6)]
    begun: list[int] = []

    def hook(_event: Any) -> None:
        begun.append(len(begun))
        mine = over[begun[-1]]
        while not mine.is_set():
            pass

    def scene(home: asyncio.AbstractEventLoop) -> None:
        stage = Stage(home, hook)
        stage.post(1)
        until(lambda: len(begun) == 1, what="the first call")
        now = time.monotonic()
        until(lambda: stage.has_used(0.1), what="some of the processor")
        stage.runners.watch(now + 0.05)
        stage.post(5)
        for number, stop in enumerate(over):
            until(lambda: len(begun) == number + 1, what="the next one")  # noqa: B023 - called here
            until(lambda: stage.queued() == 5 - number, what="a queue")  # noqa: B023 - the same
            stop.set()
            until(lambda: len(stage.ended) == number + 1, what="its end")  # noqa: B023 - the same
            stage.runners.watch(now + 0.1 + number / 20)
        assert len(begun) == 6
        stage.runners.stop()

    play(scene)


def test_calls_that_wait_have_company() -> None:
    """As many as there are threads are out at once, however often the watchdog looks."""
    over = threading.Event()
    begun: list[int] = []

    def hook(_event: Any) -> None:
        begun.append(1)
        over.wait()

    def scene(home: asyncio.AbstractEventLoop) -> None:
        stage = Stage(home, hook)
        now = time.monotonic()
        for number in range(4):
            stage.post(1)
            until(lambda: len(begun) == number + 1, what="the next one")  # noqa: B023 - called here
            stage.runners.watch(now + 60 * (number + 1))
        over.set()
        until(lambda: len(stage.ended) == 4, what="all of them")
        stage.runners.stop()

    play(scene)


def test_a_call_that_has_computed_for_long_is_the_last_of_a_crowd() -> None:
    """Where the watchdog could not look, the call itself says at its end that nothing is to be begun:
    of many that came at once those that have begun end, and the rest waits for the next look."""
    begun: list[int] = []

    def hook(_event: Any) -> None:
        begun.append(1)
        compute(0.2)

    def scene(home: asyncio.AbstractEventLoop) -> None:
        stage = Stage(home, hook)
        stage.post(20)
        until(lambda: len(stage.ended) == 4 and stage.rests(), what="the end of four")
        assert len(begun) == 4
        assert stage.queued() == 16
        stage.runners.stop()

    play(scene)


def compute(seconds: float) -> None:
    """Use so much CPU, in one go."""
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


@pytest.mark.parametrize("eager", [True, False])
def test_a_busy_plugin_is_not_blamed_for_a_busy_gateway(eager: bool) -> None:
    """In a storm the gateway's loop may be late by itself while a plugin's loop works through hundreds of
    short calls: none of them stopped anybody, and none counts as a failure."""

    async def hook(_event: Any) -> None:
        compute(0.01)

    def scene(home: asyncio.AbstractEventLoop) -> None:
        stage = Stage(home, hook, eager=eager)
        stage.run(40)
        now = time.monotonic() + 1.0
        assert {stage.runners.stopped_by(one, now) for one in stage.ended} == {0.0}
        stage.runners.watch(now)
        assert {stage.runners.stopped_by(one, now) for one in stage.ended} == {0.0}
        stage.runners.stop()

    play(scene)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("waits", [0, 1, 2])
def test_one_long_step_of_an_async_call_is_seen(eager: bool, waits: int) -> None:
    """Before its first wait or behind a later one: the call that computed for long is the one."""

    async def hook(_event: Any) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        compute(0.5)

    def scene(home: asyncio.AbstractEventLoop) -> None:
        stage = Stage(home, hook, eager=eager)
        stage.run(1)
        assert stage.runners.stopped_by(stage.ended[0], time.monotonic() + 1.0) > 0.4
        stage.runners.stop()

    play(scene)
