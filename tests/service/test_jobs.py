"""Timers of plugins: they can be stopped at any moment, also in the middle of an answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.api import Job, Node, Turn
from gateway.flow.lanes import Item, Lanes
from gateway.service.jobs import Jobs
from gateway.store import journal


def looking() -> Any:
    """A plugin with one job, which is always due."""
    job = Job(name="look", every=0.001, run=lambda *_: [])
    return SimpleNamespace(
        name="p", state="ready", config=None, manifest=SimpleNamespace(jobs=(job,))
    )


async def kinds_until_a_turn(lanes: Lanes) -> list[str]:
    """What the lanes give, up to the first turn of a timer."""
    kinds: list[str] = []
    async with asyncio.timeout(10):
        while "wake" not in kinds:
            await asyncio.sleep(0.005)
            for item in lanes.take(1):
                kinds.append(item.kind)
                lanes.free(item)
    return kinds


@pytest.mark.parametrize("turns", range(6))
def test_a_job_stops_even_while_its_answer_arrives(turns: int) -> None:
    """Whatever the number of the loop's turns between the answer and the stop, the stop returns."""

    async def play() -> None:
        answers: list[Future[Any]] = []

        def ask(*_plugin: Any, **_values: Any) -> Future[Any]:
            answers.append(Future())
            return answers[-1]

        parts: Any = SimpleNamespace(runners=SimpleNamespace(ask=ask), observed=lambda: 0.0)
        lanes = Lanes(lambda *_: [], lambda: None)
        jobs = Jobs(parts, lanes, SimpleNamespace(), 60.0)  # type: ignore[arg-type] - asks nothing
        jobs.start([looking()])
        async with asyncio.timeout(10):
            while not answers:  # noqa: ASYNC110 - the job has no event for it
                await asyncio.sleep(0.001)
        answers[0].set_result(None)
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(jobs.stop())
        done, _ = await asyncio.wait([stopping], timeout=3)
        assert done, "the cancellation was swallowed: the job goes on, and the stop waits for ever"

    asyncio.run(play())


def test_no_turn_overtakes_what_waits_on_disk() -> None:
    """A node whose beats found no room in memory gets no turn before they are read; the job asks again,
    and then it gets one."""
    rows = [
        journal.Row(n, 0.0, 0.0, "bulk", "latest", "heartbeat", "nd-1", "t", b"", 0) for n in (1, 2)
    ]

    async def play() -> list[str]:
        def answer(*_plugin: Any, **_values: Any) -> Future[Any]:
            found: Future[Any] = Future()
            found.set_result([Turn(7)])
            return found

        node = Node(id=7, uid="nd-1")
        parts: Any = SimpleNamespace(
            runners=SimpleNamespace(ask=answer),
            observed=lambda: 0.0,
            roster=SimpleNamespace(get=lambda _number: node),
        )
        lanes = Lanes(
            lambda _lane, after, most: [r for r in rows if r.id > after][:most],
            lambda: None,
            lane_window=1,
        )
        lanes.push([Item(row) for row in rows])
        jobs = Jobs(parts, lanes, SimpleNamespace(), 60.0)  # type: ignore[arg-type] - asks nothing
        jobs.start([looking()])
        kinds = await kinds_until_a_turn(lanes)
        await jobs.stop()
        return kinds

    assert asyncio.run(play()) == ["heartbeat", "heartbeat", "wake"]


def test_nobody_is_judged_whose_beat_waits_for_its_commit() -> None:
    """A job may find a node due while its beat is here and not on disk: its turn comes behind that."""
    waits = ["nd-1"]

    async def play() -> list[str]:
        def answer(*_plugin: Any, **_values: Any) -> Future[Any]:
            found: Future[Any] = Future()
            found.set_result([Turn(7), Turn(8)])
            return found

        nodes = {number: Node(id=number, uid=f"nd-{number - 6}") for number in (7, 8)}
        parts: Any = SimpleNamespace(
            runners=SimpleNamespace(ask=answer),
            observed=lambda: 0.0,
            roster=SimpleNamespace(get=nodes.get),
        )
        lanes = Lanes(lambda *_: [], lambda: None)
        jobs = Jobs(parts, lanes, SimpleNamespace(), 60.0)  # type: ignore[arg-type] - asks nothing
        jobs.is_unheard = waits.__contains__
        jobs.start([looking()])
        woken: list[str] = []
        async with asyncio.timeout(10):
            while len(woken) < 2:
                await asyncio.sleep(0.001)
                for item in lanes.take(2):
                    woken.append(item.row.lane)
                    lanes.free(item)
                if woken:
                    waits.clear()
        await jobs.stop()
        return woken

    assert asyncio.run(play()) == ["nd-2", "nd-1"]
