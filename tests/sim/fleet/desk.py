"""A gateway of pure parts: its connection to the broker, and what comes in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from gateway.mqtt.barrier import Barrier
from gateway.mqtt.clock import ObservedClock
from tests.sim.board import Board
from tests.sim.clock import EPOCH
from tests.sim.fleet.configs import Configs
from tests.sim.fleet.heap import Heap
from tests.sim.fleet.record import Record
from tests.sim.fleet.watch import PING, STEP, Watch
from tests.sim.network import Broker, Letter, Wire

FILTERS = [f"hydro/+/+/+/{kind}" for kind in ("heartbeat", "status", "lwt", "config_report")]
_HELLO = "hydro/node_hello"
_decode = msgspec.json.decode


class Desk:
    """It listens, and asks those who know."""

    def __init__(self, heap: Heap, broker: Broker, chance: random.Random) -> None:
        self.heap, self.broker, self.chance = heap, broker, chance
        self.records: dict[str, Record] = {}
        self.clock = ObservedClock(EPOCH, STEP)
        self.barrier = Barrier("hydro", "desk", per_filter=broker.by_filter)
        self.wire: Wire | None = None
        self.resumed: float | None = None
        self.events: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.watch = Watch(self)
        self.configs = Configs(self)

    def open(self, boards: Iterable[Board]) -> None:
        """These are to come; connect."""
        self.records = {board.name: Record(board) for board in boards}
        self.connect()

    def connect(self) -> None:
        """Again and again."""
        found = self.broker.connect("desk", (self._letter, self._lost), clean=False)
        if found is None:
            self.broker.later_by(self.chance.uniform(0.5, 5.0), self.connect)
            return
        wire, kept = found
        self.wire = wire
        self.barrier.build(FILTERS)
        if not kept:
            self.barrier.lift()
        wire.shake_hands(lambda: self._connected(wire))

    def _connected(self, wire: Wire) -> None:
        wire.subscribe([*FILTERS, _HELLO, *self.barrier.own], lambda: self._subscribed(wire))

    def _subscribed(self, wire: Wire) -> None:
        self.resumed = None
        for topic, nonce in self.barrier.letters():
            wire.publish(topic, nonce, False, None)
        self._heard()
        self._ping(wire)

    def _ping(self, wire: Wire) -> None:
        if self.wire is wire:
            wire.ping(self._heard)
            self.broker.later_by(PING, self._ping, wire)

    def _heard(self) -> None:
        if self.wire is not None and not self.wire.cut:
            self.clock.heard(self.heap.now)
            if self.resumed is None:
                self.resumed = self.clock.read()

    def _lost(self, _why: str) -> None:
        self.wire = None
        self.resumed = None
        self.clock.lost()
        self.broker.later_by(self.chance.uniform(0.5, 5.0), self.connect)

    def cut(self) -> None:
        """Half-open; it is noticed after three silent pings."""
        wire = self.wire
        if wire is not None:
            wire.lose()
            self.broker.later_by(15.0, self._give_up, wire)

    def _give_up(self, wire: Wire) -> None:
        if self.wire is wire:
            wire.hang_up(politely=False)
            self._lost("silence")

    def restart(self) -> None:
        """The process is killed; what it knows is in its store."""
        if self.wire is not None:
            self.wire.hang_up(politely=False)
            self._lost("killed")

    def publish(self, record: Record, kind: str, message: dict[str, Any]) -> None:
        """To the node, where there is a connection."""
        if self.wire is not None:
            topic = f"hydro/gh-temp/zn-temp/{record.board.name}/{kind}"
            self.wire.publish(topic, msgspec.json.encode(message), False, None)

    def wall(self) -> float:
        """The wall clock."""
        return EPOCH + self.heap.now

    # -- what comes in -------------------------------------------------------------------------

    def _letter(self, letter: Letter) -> None:
        wire = self.wire
        if wire is None:
            return
        wire.acknowledge(letter.mid)
        self._heard()
        if self.barrier.swallow(letter.topic, letter.payload) or not letter.payload:
            return
        live = not (letter.dup or letter.retain or self.barrier.up)
        message = _decode(letter.payload)
        name, kind = _address(letter.topic)
        record = self.records[name or message["hardware_id"]]
        if live:
            self.watch.listen(record, kind, message)
        elif kind == "heartbeat":
            self.watch.learn(record, message)
        if kind == "node_hello":
            self.configs.hello(record, message)
        elif kind == "config_report":
            self.configs.report(record, message)


@lru_cache(100_000)
def _address(topic: str) -> tuple[str, str]:
    """The node and the kind; a hello has no node in its topic."""
    parts = topic.split("/")
    return parts[3] if len(parts) > 3 else "", parts[-1]
