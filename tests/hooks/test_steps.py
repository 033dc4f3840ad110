"""A coroutine that is driven from wait to wait behaves as it does in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.hooks.steps import Steps


class Clock:
    """Counts the steps that it was to time."""

    steps = 0

    def timed(self, step: Callable[[Any], Any], value: Any) -> Any:
        self.steps += 1
        return step(value)


@pytest.mark.parametrize("begun", [False, True])
def test_each_step_is_timed_and_each_value_arrives(begun: bool) -> None:
    """Two waits are three steps; what is waited for comes back, begun before its task or not."""
    said: list[object] = []

    async def hook() -> None:
        loop = asyncio.get_running_loop()
        for value in ("a", "b"):
            future = loop.create_future()
            loop.call_soon(future.set_result, value)
            said.append(await future)

    async def play() -> int:
        clock = Clock()
        steps = Steps(hook(), clock.timed)
        if begun:
            assert steps.begin()
        await steps
        return clock.steps

    assert asyncio.run(play()) == 3
    assert said == ["a", "b"]


def test_what_never_waits_has_ended_where_it_began() -> None:
    """Without a wait there is nothing left to await."""

    async def hook() -> None:
        return

    assert not Steps(hook(), Clock().timed).begin()


def test_a_cancellation_reaches_the_hook() -> None:
    """It may clean up, wait while it does, and is cancelled then."""
    said: list[str] = []

    async def hook() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            said.append("cleaned up")

    async def run(steps: Steps) -> None:
        await steps

    async def play() -> None:
        task = asyncio.ensure_future(run(Steps(hook(), Clock().timed)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(play())
    assert said == ["cleaned up"]


def test_what_the_hook_raises_is_raised() -> None:
    """On the first step, and on a later one."""

    async def hook(waits: int) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise ValueError("mine")

    async def play(waits: int) -> None:
        await Steps(hook(waits), Clock().timed)

    for waits in (0, 2):
        with pytest.raises(ValueError, match="mine"):
            asyncio.run(play(waits))
