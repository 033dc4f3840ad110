"""Boards, a broker and a desk in bad weather; the figures of a run."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import msgspec
from gwnode import config, say

from tests.sim.board import Board, Told
from tests.sim.fleet.desk import Desk
from tests.sim.fleet.heap import Heap
from tests.sim.network import Broker

encode = msgspec.json.encode
"""The boards' JSON: on a board it is C, as this is; a test says that the bytes are the same."""


def keep(*_modules: str) -> None:
    """A board forgets the modules that it seldom needs. Here they stay: to read one again takes longer
    than all that is done with it."""


class Tally(NamedTuple):
    """The figures of a run."""

    node_hours: float
    beats: int
    events: Counter[str]
    longest_online: float
    """Most seconds (observed) for which a silent node was shown online, less what it may."""
    longest_alive: float
    """The same for online or late."""
    wrong: list[str]
    cpu: float

    @property
    def false_offline_rate(self) -> float:
        """A node-hour."""
        return self.events["false_offline"] / max(self.node_hours, 1e-9)


class Fleet:
    """Boards, a broker and a desk."""

    def __init__(self, seed: int, nodes: int, interval: int, *, by_filter: bool = False) -> None:
        self.seed, self.interval = seed, interval
        self.heap = Heap()
        self.chance = random.Random(seed)
        self.broker = Broker(self.heap, self.chance, by_filter=by_filter)  # type: ignore[arg-type] - as much of a loop as it wants
        self.broker.late_wills, self.broker.doubles = 0.3, 0.01
        self.desk = Desk(self.heap, self.broker, self.chance)
        self.boards = [
            Board(
                self.broker, f"esp32-{n:05x}", random.Random(self.chance.random()), Told(),
                interval_s=interval, trial_s=120,
            )
            for n in range(nodes)
        ]  # fmt: skip
        self.storm = True

    def play(self, hours: float) -> Tally:
        """A storm of this length, then calm for a day of beats; the figures."""
        with mock.patch.object(say, "encode", encode), mock.patch.object(config, "forget", keep):
            return self._play(hours)

    def _play(self, hours: float) -> Tally:
        began = time.process_time()
        self.desk.open(self.boards)
        for board in self.boards:
            self.broker.later_by(self.chance.uniform(0, self.interval), board.power_on)
        for rate, each, act in self._faults():
            self._plan(rate * (len(self.boards) if each else 1) / 3600, act)
        self._look()
        self.heap.run(hours * 3600)
        self.storm = False
        for board in self.boards:
            board.full = False
        self.heap.run(self.heap.now + 21_000)
        for record in self.desk.records.values():
            if record.board.on:
                self.desk.configs.push(record, good=True)
        self.heap.run(self.heap.now + 4_000)
        self._close_the_books()
        hours = self.heap.now / 3600
        desk = self.desk
        return Tally(
            hours * len(self.boards), desk.watch.beats, desk.events, desk.watch.over_online,
            desk.watch.over_alive, desk.wrong, time.process_time() - began,
        )  # fmt: skip

    def _close_the_books(self) -> None:
        for name, record in self.desk.records.items():
            desired, good = record.twin.desired, record.board.node.store.good
            if record.pulse.life != "online":
                self.desk.wrong.append(f"{name} is {record.pulse.life} in the end")
            if desired is None or desired.state != "verified" or desired.sha256 != good.sha:
                state = desired.state if desired else "nothing"
                self.desk.wrong.append(f"{name}'s config is {state} in the end")

    def _look(self) -> None:
        self.desk.watch.look()
        self.broker.later_by(max(self.interval * 2.0, 120.0), self._look)

    # -- the weather: times an hour, of each board or of the world ------------------------------

    def _faults(self) -> list[tuple[float, bool, Callable[[], None]]]:
        return [
            (0.010, True, lambda: self._board().reboot_in(self.chance.uniform(0.1, 30.0))),
            (0.005, True, self._go_away),
            (0.010, True, lambda: self._board().lose_connection()),
            (0.004, True, lambda: self._push(self._board())),
            (0.100, False, self.desk.cut),
            (0.100, False, self.desk.restart),
            (0.020, False, lambda: self._restart_broker(forgets=False)),
            (0.010, False, lambda: self._restart_broker(forgets=True)),
        ]

    def _go_away(self) -> None:
        board = self._board()
        if board.wire is not None and self.chance.random() < 0.5:
            board.wire.will = None  # it was lost with a broker: only silence tells
        board.reboot_in(self.chance.uniform(60.0, 20_000.0))

    def _board(self) -> Board:
        return self.chance.choice(self.boards)

    def _push(self, board: Board) -> None:
        self.desk.configs.push(self.desk.records[board.name], good=self.chance.random() < 0.7)

    def _restart_broker(self, *, forgets: bool) -> None:
        if self.broker.up:
            self.broker.restart(self.chance.uniform(0.5, 300.0), forgets=forgets)

    def _plan(self, rate: float, act: Callable[[], None]) -> None:
        self.broker.later_by(self.chance.expovariate(rate), self._strike, rate, act)

    def _strike(self, rate: float, act: Callable[[], None]) -> None:
        if self.storm:
            act()
            self._plan(rate, act)
