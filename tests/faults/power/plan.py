"""What a gateway does to its store, decided by a seed: the same seed is the same list of operations.

Each operation is one that the real gateway hands to its writer, made by the real code: the intake's
rows, units of work with their effects, acknowledged outbox rows, retries, pruning. None looks at a
clock, so that any process can work out what the store holds after any of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.api import Node
from gateway.flow.lanes import Item
from gateway.flow.work import Effect, Ids, Unit
from gateway.hooks.tx import Gathered
from gateway.store import journal, nodes, outbox
from gateway.store.migrations import migrate_core, migrate_plugin
from gateway.store.reader import Reader
from gateway.store.sqlite import Connection

Operation = Callable[[Connection], Any]
MIGRATIONS = Path(__file__).parent / "migrations"
NOW = 1_700_000_000.0
_FLEET = 24
_KEPT = 60


def migrate(connection: Connection) -> None:
    """The core's tables and those of one plugin, as at the gateway's start."""
    migrate_core(connection)
    migrate_plugin(connection, "power", MIGRATIONS)


class Plan:
    """`operations[k - 1]` is operation `k`; a plan is used by one store, once."""

    def __init__(self, seed: int, count: int) -> None:
        self._random = random.Random(f"plan {seed}")
        self._roster = nodes.Roster()
        self._ids = Ids(0, 0, 0)
        self._waiting: list[journal.Row] = []
        self._keys: list[bytes] = []
        self._outbox: list[int] = []
        self._open: list[journal.Row] = []
        self._tx = Gathered(Reader(Path("never opened")), self._roster)
        self.operations: list[Operation] = [self._next() for _ in range(count)]

    def _next(self) -> Operation:
        dice = self._random.random()
        if len(self._waiting) > 30 or (self._waiting and dice < 0.45):
            return self._work()
        if self._outbox and dice < 0.6:
            return self._acknowledge()
        if self._open and dice < 0.65:
            return self._retry()
        if dice < 0.7:
            return lambda c: journal.prune(c, before=0.0, keep_rows=_KEPT, step=20, least=0)
        return self._take()

    def _take(self) -> Operation:
        """The intake's group: hellos, now and then a duplicate, now and then something refused."""
        rows = [self._hello() for _ in range(self._random.randint(1, 5))]
        refused = []
        if self._random.random() < 0.2:
            number = self._ids.refused()
            refused = [journal.Refused(number, NOW, "hydro/bad", b"{", "not_json", "why")]

        def write(connection: Connection) -> set[int]:
            doubles = journal.add(connection, rows)
            if refused:
                journal.refuse(connection, refused, keep=5)
            return doubles

        return write

    def _hello(self) -> journal.Row:
        number = self._ids.journal()
        name = f"node{self._random.randrange(_FLEET):02d}"
        size = self._random.choice((0, 40, 120)) if self._random.random() < 0.96 else 9_000
        filler = self._random.randbytes(size).hex()
        payload = f'{{"hardware_id":"{name}","boot_id":"b{number}","x":"{filler}"}}'.encode()
        topic = "hydro/node_hello"
        double = bool(self._keys) and self._random.random() < 0.08
        key = self._keys[-1] if double else number.to_bytes(16, "big")
        row = journal.Row(
            number, NOW, float(number), "control", "journal", "node_hello", name, topic, payload,
            journal.checksum(topic, payload), dedupe=key,
        )  # fmt: skip
        if not double:
            self._keys.append(key)
            self._waiting.append(row)
        return row

    def _work(self) -> Operation:
        """A commit of events: their effects, their outbox rows, their marks."""
        count = min(len(self._waiting), self._random.randint(1, 4))
        picked, self._waiting = self._waiting[:count], self._waiting[count:]
        units = [self._unit(row) for row in picked]
        return lambda connection: [unit.apply(connection, NOW) for unit in units]

    def _unit(self, row: journal.Row) -> Unit:
        node = self._roster.find(row.lane) or self._roster.stranger(row.lane)
        unit = Unit(Item(row), row.id, row.lane, node)
        dice = self._random.random()
        if dice < 0.06:
            unit.deliveries.append(journal.Delivery(row.id, "power", row.lane, "open", 1, 0.0, "x"))
            self._open.append(row)
        else:
            self._effect(unit, row, node, broken=dice < 0.1)
        return unit

    def _effect(self, unit: Unit, row: journal.Row, node: Node, *, broken: bool = False) -> None:
        tx = Gathered(Reader(Path("never opened")), self._roster)
        changes = {"hardware_id": row.lane, "uid": row.lane, "boot_id": f"b{row.id}"}
        tx.set_node(**changes)
        replace = f"config/{node.id}" if self._random.random() < 0.3 else None
        tx.publish_json(f"hydro/{row.lane}/ack", {"id": row.id}, replace=replace, expires=60.0)
        effect = Effect("power", tx, node.id, self._ids, NOW)
        number = effect.parcels[0].id
        tx.write("INSERT INTO power_effects VALUES (?, ?, ?)", row.id, number, row.lane)
        if broken:  # undone to its savepoint; the event becomes a dead letter
            tx.write("INSERT INTO power_effects VALUES (?, ?, ?)", row.id, number, row.lane)
            unit.fail_row = lambda plugin, error: journal.Delivery(
                row.id, plugin, row.lane, "dead", 1, 0.0, str(error)
            )
        else:
            self._outbox.append(number)
            self._roster.put(node, nodes.patched(node, changes, NOW))
        unit.effects.append(effect)

    def _retry(self) -> Operation:
        """A delivery that had failed succeeds now."""
        row = self._open.pop(0)
        node = self._roster.find(row.lane) or self._roster.stranger(row.lane)
        unit = Unit(Item(row), row.id, row.lane, node)
        unit.only = "power"
        self._effect(unit, row, node)
        return lambda connection: unit.apply(connection, NOW)

    def _acknowledge(self) -> Operation:
        """The broker has some of the outbox."""
        count = min(len(self._outbox), self._random.randint(1, 6))
        ids, self._outbox = self._outbox[:count], self._outbox[count:]
        return lambda connection: outbox.gone(connection, ids)
