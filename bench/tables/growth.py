"""T5: does an event cost more in a larger fleet, behind a longer journal, beside more plugins?"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bench.frame import Options, in_turn, middle, spread, table
from bench.rig import Ours, broker, load

EMPTY = '''"""Wants every status, and does nothing."""

from gateway import Event, Manifest, Status, hookimpl


@hookimpl
def manifest() -> Manifest:
    return Manifest(version="1.0", messages=(Status,), eager=True)


@hookimpl
async def node_message(event: Event) -> None:
    pass
'''
_DONE_ROW = "INSERT INTO journal (id, at, observed, session, class, kind, lane, topic, payload, crc, state) VALUES (?, ?, 0, 'bulk', 'latest', 'heartbeat', ?, 't', x'7b7d', 0, 1)"
Events = Callable[[], float]


class House:
    """A broker and a gateway; `cost` is CPU µs for each of `events` status messages of its nodes."""

    def __init__(self, stack: ExitStack, nodes: int, settings: str = "", rows: int = 0) -> None:
        running, folder = stack.enter_context(broker())
        self._port, self._nodes, self._boots = running.port, nodes, count(20)
        if rows:
            with Ours(folder / "us", self._port):
                pass  # makes the store
            fill(folder / "us" / "state" / "gateway.db", rows)
        self._us = stack.enter_context(Ours(folder / "us", self._port, settings))
        load(self._port, "hellos", nodes, 0, "bench")

    def cost(self, events: int, rate: float) -> Events:
        """Send them at this rate; 1e9 is as fast as they are taken."""

        def go() -> float:
            self._us.settle()
            before = self._us.cpu
            load(self._port, "paced", events, rate, "status", self._nodes, next(self._boots))
            self._us.settle()
            return (self._us.cpu - before) / events * 1e6

        return go


def fill(path: Path, rows: int) -> None:
    """A journal with so many rows that are done."""
    now = time.time()
    connection = sqlite3.connect(path)
    done = ((number, now, f"bench-{number % 500}") for number in range(1, rows + 1))
    connection.executemany(_DONE_ROW, done)
    connection.commit()
    connection.close()


def plugins(folder: Path, number: int) -> str:
    """Settings with so many empty plugins, each a file of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in range(number):
        (folder / f"empty_{each}.py").write_text(EMPTY)
    return f'[plugins]\ndirs = ["{folder}"]\n'


def run(options: Options) -> None:
    """Print it."""
    events, burst = options.many(400, 20), options.many(4000, 50)
    with ExitStack() as stack:
        fleets = (10, 100) if options.quick else (10, 100, 1000, 10_000)
        houses = {f"{n:,} nodes": House(stack, n).cost(events, 200) for n in fleets}
        show(options, f"Growth with the fleet: {events} status messages at 200/s", houses)
    with ExitStack() as stack:
        keep = "[store]\nprune_done_rows = 10_000_000\n"
        lengths = [0, options.many(1_000_000, 10_000)]
        houses = {
            f"{n:,} done rows": House(stack, 100, keep, rows=n).cost(events, 200) for n in lengths
        }
        show(options, f"Growth with the journal: {events} status messages at 200/s", houses)
    with ExitStack() as stack:
        _, folder = stack.enter_context(broker())
        houses = {
            f"{n} empty plugins": House(stack, 500, plugins(folder / str(n), n)).cost(burst, 1e9)
            for n in ((0, 1) if options.quick else (0, 1, 5, 20))
        }
        title = f"Growth with plugins of others: {burst:,} status messages, flat out"
        show(options, title, houses)


def show(options: Options, title: str, houses: dict[str, Events]) -> None:
    """One of the three tables."""
    options = options.fewer(3)
    found = in_turn(options, houses)
    base = middle(next(iter(found.values())))
    rows = [[name, spread(cost), f"{middle(cost) / base:.2f}"] for name, cost in found.items()]
    notes = (
        "CPU of the gateway for each event, all of them running side by side, "
        f"{options.rounds} rounds in turn."
    )
    table(title, notes, ["with", "CPU µs/event", "ratio"], rows)
