"""A gateway, a broker and a fleet, played to the end: a storm, then calm, then the books are closed."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from gateway import load_settings
from gateway.errors import GatewayError
from gateway.settings.model import Settings
from gateway.store.commands import NAME, CommandFile
from tests.sim import mood
from tests.sim.board import Board
from tests.sim.clock import Clock, VirtualLoop, inhabited, running
from tests.sim.ledger import Ledger, WrongError, names
from tests.sim.machine import Machine
from tests.sim.network import Broker
from tests.sim.weather import Weather

_HERE = Path(__file__).parent
_CALM = 6 * 3600.0
"""Within this time after the last fault everything is as it should be."""


class Plan(NamedTuple):
    """One world; everything else follows from the seed."""

    seed: int
    nodes: int = 6
    hours: float = 6.0
    interval: int = 600
    by_filter: bool = False
    storm: float = 1.0
    """How much worse than usual the weather is; 0 is none."""
    pace: float = 0.25
    """The engine's regular looks are this many seconds apart, or rarer."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        """A small world of any kind."""
        chance = random.Random(seed)
        hours, pace = chance.choice([(0.5, 0.05), (1.0, 0.25), (4.0, 1.0)])
        return cls(
            seed,
            nodes=chance.choice([1, 3, 6]),
            hours=hours,
            interval=chance.choice([15, 60, 600]),
            by_filter=chance.random() < 0.4,
            storm=chance.choice([1.0, 3.0, 10.0]),
            pace=pace,
        )


class Played(NamedTuple):
    """What came of it."""

    plan: Plan
    books: dict[str, int]
    faults: dict[str, int]
    kills: dict[str, int]
    converged: float
    """Seconds from the last fault until all was well."""
    hours: float
    seconds: float
    """Of CPU time."""
    digest: int


class World:
    """All of it."""

    def __init__(self, plan: Plan, loop: VirtualLoop, folder: Path) -> None:
        self.plan, self.loop = plan, loop
        self.chance = random.Random(plan.seed)
        self.clock = Clock(loop)
        self.broker = Broker(loop, self.chance, by_filter=plan.by_filter)
        self.folder = folder
        self.machine = Machine(self, self._settings(), plan.pace)
        self.ledger = Ledger(self)
        self.boards = [
            Board(
                self.broker, f"esp32-{number:04x}", random.Random(self.chance.random()),
                self.ledger, interval_s=plan.interval, trial_s=120,
            )
            for number in range(1, plan.nodes + 1)
        ]  # fmt: skip
        self.weather = Weather(self, plan.storm)
        self.trace: deque[str] = deque(maxlen=60)
        self.digest = 0
        self.problem: BaseException | None = None

    def _settings(self) -> Settings:
        overrides = {
            "state_dir": str(self.folder),
            "mqtt.host": "broker",
            "broker.mode": "external",
            "backup.every": 0,
            "plugins.dirs": [str(_HERE / "stranger")],
            "store.prune_done_rows": 2000,
        }
        return load_settings("/dev/null", overrides, {}).settings

    def note(self, text: str) -> None:
        """For the trace that is shown when something is wrong."""
        self.trace.append(f"{self.loop.time():12.3f}  {text}")
        self.digest = hash((self.digest, round(self.loop.time(), 6), len(text)))

    def story(self, kind: str, text: str) -> None:
        """What the operator reads."""
        self.note(f"gateway {self.machine.life}: {kind} {text}")

    # -- what the weather does -----------------------------------------------------------------

    def restart_soon(self) -> None:
        """Its supervisor starts a killed gateway again."""
        self.broker.later_by(self.chance.uniform(0.5, 30.0), self.restart_gateway)

    def restart_gateway(self) -> None:
        """A new process, where none runs."""
        if self.machine.dead:
            self.note("gateway starts")
            self.machine.start()

    async def stop_and_start(self) -> None:
        """An orderly restart."""
        self.note("gateway is stopped")
        await self.machine.stop()
        self.restart_soon()

    def restart_broker(self, *, forgets: bool) -> None:
        """It is away for a while."""
        if self.broker.up:
            self.note("the broker restarts" + (" and has forgotten everything" if forgets else ""))
            self.broker.restart(self.chance.uniform(0.5, 120.0), forgets=forgets)

    def push(self, board: Board, *, good: bool) -> None:
        """The operator pushes a config; a bad one cuts the node off."""
        mqtt = {"configured": True} if good else {"host": "nowhere", "port": 1883}
        channel = {"name": f"c{self.chance.randrange(1000)}", "type": "SENSOR", "metric": "PH"}
        document = {"channels": [channel], "wifi": {"configured": True}, "mqtt": mqtt}
        self.note(f"the operator pushes a {'good' if good else 'bad'} config to {board.name}")
        try:
            file = CommandFile(self.folder / NAME)
            file.put("config.push", board.name, {"document": document})
        except GatewayError as error:
            self.note(f"refused: {error}")

    def _swing(self) -> None:
        if self.weather.storm and self.chance.random() < 0.02:
            raise ValueError("the stranger's plugin has a bad day")

    # -- the play ------------------------------------------------------------------------------

    async def play(self) -> float:
        """The storm, the calm; how long it took until all was well."""
        self.loop.set_exception_handler(self._complain)
        looking = self.loop.spawn(0, self._look_for_ever())
        self.machine.start()
        for board in self.boards:
            board.cuts = 0.0005 if self.plan.storm else 0.0
            self.broker.later_by(self.chance.uniform(0.0, 60.0), board.power_on)
        if self.plan.storm:
            self.weather.begin()
        self.broker.doubles = self.chance.choice([0.0, 0.02])
        self.broker.late_wills = self.chance.choice([0.0, 0.3])
        await self._pass_time(self.plan.hours * 3600)
        self.weather.storm = False
        self.note("calm")
        for board in self.boards:
            board.cuts, board.full = 0.0, False
        self.machine.kill_in = 0
        self.broker.slow, self.broker.doubles = 0.03, 0.0
        took = await self._converge()
        looking.cancel()
        await self.machine.stop()
        return took

    async def _pass_time(self, seconds: float) -> None:
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(min(60.0, max(until - self.loop.time(), 0.001)))
            if self.problem is not None:
                raise self.problem

    async def _converge(self) -> float:
        began = self.loop.time()
        pushed: set[str] = set()
        while True:
            await self._pass_time(10.0)
            for board in self.boards:  # the last word of the operator is a good one
                if board.on and board.name not in pushed and self._is_known(board):
                    pushed.add(board.name)
                    self.push(board, good=True)
            wrong = (
                self.ledger.unsettled() if len(pushed) == len(self.boards) else ["not all known"]
            )
            if not wrong:
                return self.loop.time() - began
            if self.loop.time() - began > _CALM:
                raise WrongError(
                    f"not well {_CALM / 3600:g} h after the last fault: {names(wrong)}"
                )

    def _is_known(self, board: Board) -> bool:
        return self.machine.database.exists() and bool(
            self.ledger.rows("SELECT 1 FROM nodes WHERE hardware_id = ?", board.name)
        )

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(30.0)
            try:
                self.ledger.look()
            except Exception as error:  # noqa: BLE001 - raised where the play can hear it
                self.problem = error
                return

    def _complain(self, _loop: object, found: dict[str, object]) -> None:
        error = found.get("exception")
        if self.problem is None and not self.machine.dead:
            text = str(found.get("message"))
            self.problem = error if isinstance(error, BaseException) else WrongError(text)


def play(plan: Plan, *, chatter: bool = False) -> Played:
    """Play it; a failure says which seed repeats it and what happened last."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    began = time.process_time()
    worlds: list[World] = []

    async def main(loop: VirtualLoop, folder: Path) -> float:
        world = World(plan, loop, folder)
        worlds.append(world)
        with (
            inhabited(world.clock, world.chance),
            world.machine.installed(),
            mock.patch.object(mood, "swing", world._swing),
        ):
            return await world.play()

    quiet = logging.root.manager.disable
    logging.disable(logging.NOTSET if chatter else logging.CRITICAL)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sim-", dir=place) as folder,
            running(lambda loop: main(loop, Path(folder))) as took,
        ):
            (world,) = worlds
            books = world.ledger.close_the_books()
            world.ledger.close()
    except BaseException as error:
        trace = "\n".join(worlds[0].trace) if worlds else ""
        print(f"{trace}\n{plan} fails: {type(error).__name__}: {error}", file=sys.stderr)
        raise
    finally:
        logging.disable(quiet)
    return Played(
        plan, books, world.weather.counts, world.machine.kills, took,
        world.loop.time() / 3600, time.process_time() - began, world.digest,
    )  # fmt: skip
