"""The process of a simulated fleet: its order comes as JSON on stdin, its counts go to stdout.

Rules of this file. One JSON line a second, and one for each step of the scenario. It ends at SIGTERM,
SIGINT, when its time is over or when whoever started it is gone. When its time is over the scenario ends
first, so that the last count is of nodes that nothing happens to any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from gateway.testing.swarm import scenario
from gateway.testing.swarm.lights import LightFleet
from gateway.testing.swarm.pace import Pace
from gateway.testing.swarm.real import RealFleet

_TICK = 0.05
_ROUNDS = 10  # a node is looked at every so many ticks
_TELL = 1.0
_SAVE = 10.0
_SETTLE = 20.0  # so long the nodes may take to come back when the time of a scenario is over


class Node(scenario.Node, Protocol):
    """What the process asks of every node."""

    connected: bool
    heard: bool
    answered: bool
    make: scenario.Make

    def tick(self) -> None:
        """Time goes by."""


class Fleet(Protocol):
    """What the process asks of every kind of fleet."""

    starts: int
    unanswered: int

    @property
    def nodes(self) -> Sequence[Node]:
        """All of them."""

    async def play(self, scenario: scenario.Scenario) -> scenario.Play[Any]:
        """What happens to them. Raises ValueError where it cannot."""

    def news(self) -> list[str]:
        """What a person should know, each line once."""

    async def close(self) -> None:
        """Let go of what is not a node."""

    def save(self) -> None:
        """Keep what survives a power cut."""


class Swarm:
    """A fleet on its way."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._for = float(order.get("seconds") or 0)
        self._parent = os.getppid()
        self._counts: Counter[str] = Counter()
        kind = RealFleet if "real" in order else LightFleet
        self._fleet: Fleet = kind(order, self._counts, random.Random(order.get("seed")))
        self._scenario = order.get("scenario")
        self._play: scenario.Play[Any] | None = None
        self._end = asyncio.Event()
        self._on = 0

    async def run(self) -> None:
        """Until somebody ends it. Raises ValueError for a scenario that cannot be played."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        if self._scenario:
            self._play = await self._fleet.play(scenario.read(scenario.find(self._scenario)))
        try:
            await self._live(loop)
            for node in self._fleet.nodes:
                node.tick()
            self._tell()
        finally:
            for node in self._fleet.nodes:  # as real ones end here: the broker says their wills
                node.cut_power()
            await asyncio.sleep(0.1)
            await self._fleet.close()
            self._fleet.save()

    async def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        began = told = saved = loop.time()
        pace = Pace(began, self._fleet.starts, self._fleet.unanswered)
        round_ = 0
        while not self._end.is_set() and os.getppid() == self._parent:
            now = loop.time()
            self._switch_on(pace, now)
            for node in self._fleet.nodes[round_ % _ROUNDS : self._on : _ROUNDS]:
                node.tick()
            round_ += 1
            self._happen(now - began)
            if now - told >= _TELL:
                told = now
                self._tell()
            if now - saved >= _SAVE:
                saved = now
                self._fleet.save()
            if self._for and self._is_over(now - began):
                return
            await asyncio.sleep(max(0.0, _TICK - (loop.time() - now)))

    def _switch_on(self, pace: Pace, now: float) -> None:
        nodes = self._fleet.nodes
        if self._on < len(nodes):
            answered = sum(node.answered for node in nodes[: self._on])
            allowed = min(pace.allowed(now, self._on, answered), len(nodes))
            for node in nodes[self._on : allowed]:
                if not node.is_on:  # a scenario has been quicker
                    node.boot()
            self._on = allowed

    def _happen(self, since: float) -> None:
        for line in self._play.due(since) if self._play else ():
            _print({"happened": line})
        for line in self._fleet.news():
            _print({"happened": line})

    def _is_over(self, since: float) -> bool:
        """True when the time is; a scenario ends first, and its nodes may come back."""
        if since < self._for:
            return False
        if self._play is None:
            return True
        self._play.let_go()
        back = all(node.heard or node.make.foreign for node in self._fleet.nodes)
        return back or since >= self._for + _SETTLE

    def _tell(self) -> None:
        ours = [node for node in self._fleet.nodes if not node.make.foreign]
        _print(
            {
                "nodes": len(self._fleet.nodes),
                "connected": sum(node.connected for node in self._fleet.nodes),
                "receipted": sum(node.heard for node in ours),
                "expect_receipts": len(ours),
                "counts": dict(self._counts),
            }
        )


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def main() -> int:
    """Read the order, raise the limit of open files, run."""
    order = json.loads(sys.stdin.readline())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = int(order["nodes"]) * (3 if "real" in order else 1) + 64
    if soft < needed <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    elif hard < needed:
        _print({"error": f"only {hard:,} files may be open here, and each node needs one"})
        return 1
    try:
        asyncio.run(Swarm(order).run())
    except ValueError as error:
        _print({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
