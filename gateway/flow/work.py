"""What one plugin wants done, and how it is committed: undone alone, and with many in one commit.

`Unit` is one event's work: the effects of the plugins that succeeded, a `delivery` row for each that did not, and the journal row's mark, all
in one transaction (rule 1). A unit can be applied a second time (rule 19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.api import Node
from gateway.failpoint import failpoint
from gateway.hooks.tx import Gathered
from gateway.store import journal, nodes, outbox
from gateway.store.sqlite import Connection, UndoneError, at_most, is_trouble

CHANGES = ("lifecycle_state", "life")
# seconds for the statements of one plugin for one event; everybody else's commit waits behind them
_LONGEST = 5.0


class Effect:
    """One plugin's gathered work with the ids that its rows will get."""

    __slots__ = ("broke", "change_ids", "parcels", "plugin", "tx")

    def __init__(self, plugin: str, tx: Gathered, node_id: int, ids: Ids, now: float) -> None:
        self.plugin = plugin
        self.tx = tx
        self.broke: Exception | None = None
        """What ended the transaction of everybody the last time, and is not done again."""
        self.parcels = [_parcel(ids.outbox(), node_id, now, *spec) for spec in tx.publishes]
        self.change_ids = [ids.journal() for _ in CHANGES] if tx.node_changes else []


class Ids:
    """Row numbers, given out in memory so that an insert can be recognised when it is run twice."""

    def __init__(self, journal_id: int, outbox_id: int, refused_id: int) -> None:
        self._journal = journal_id
        self._outbox = outbox_id
        self._refused = refused_id

    @classmethod
    def load(cls, connection: Connection) -> Ids:
        """Go on behind the highest numbers in the store."""
        tops = [
            connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
            for table in ("journal", "outbox", "refused")
        ]
        return cls(*tops)

    def journal(self) -> int:
        """The next number of `journal`."""
        self._journal += 1
        return self._journal

    def outbox(self) -> int:
        """The next number of `outbox`."""
        self._outbox += 1
        return self._outbox

    def refused(self) -> int:
        """The next number of `refused`."""
        self._refused += 1
        return self._refused


class Unit:
    """One event's work, or one retried delivery's (`only` names its plugin)."""

    __slots__ = (
        "answer", "before", "change_row", "changes", "deliveries", "effects", "fail_row", "failed",
        "hopeless", "item", "journal_id", "kept", "keys", "lane", "node", "only", "over", "parcels",
        "tried",
    )  # fmt: skip

    def __init__(self, item: Any, journal_id: int, lane: str, node: Node) -> None:
        self.item = item
        self.journal_id = journal_id
        self.lane = lane
        self.before = node
        self.node = node
        self.effects: list[Effect] = []
        self.deliveries: list[journal.Delivery] = []
        self.only: str | None = None
        self.answer: str | None = None
        self.keys: list[Any] = []
        self.over: Any = None
        self.tried = False
        self.hopeless = False
        self.change_row: Callable[[int, str, str | None, str, str], journal.Row] | None = None
        self.fail_row: Callable[[str, Exception], journal.Delivery] = _no_row
        self._reset()

    def _reset(self) -> None:
        self.node = self.before
        self.failed: list[tuple[str, Exception]] = []
        self.parcels: list[outbox.Parcel] = []
        self.changes: list[journal.Row] = []
        self.kept: list[journal.Delivery] = []

    def rebase(self, node: Node) -> None:
        """Begin with the node as it is now; nothing has been applied yet."""
        self.before = self.node = node

    def close(self) -> None:
        """It is over: what leads back to it is cut, or only the collector could free the event."""
        self.change_row, self.fail_row = None, _no_row
        self.item.deliveries.clear()

    def give_up(self, why: str) -> None:
        """No effects, and a dead letter in the name of the plugin, or of nobody."""
        self.hopeless = True
        self.effects.clear()
        plugin = self.only or "-"
        self.deliveries = [
            journal.Delivery(self.journal_id, plugin, self.lane, "dead", 1, 0.0, why[:500])
        ]

    def apply(self, connection: Connection, now: float, *, guarded: bool = True) -> Unit:
        """Do it all; guarded, what a plugin's own statement breaks is undone for that plugin alone."""
        if self.tried and self._applied(connection):
            return self
        self.tried = True
        self._reset()
        for effect in self.effects:
            if effect.broke is not None:
                self.failed.append((effect.plugin, effect.broke))
            elif not effect.tx.empty:
                (self._guard if guarded else self._apply_effect)(connection, effect, now)
        for lane in self.left:
            journal.move_lane(connection, lane, nodes.lane_of(self.node))
        if self.journal_id:
            self.kept = [*self.deliveries, *(self.fail_row(*failure) for failure in self.failed)]
            for delivery in self.kept:
                journal.put_delivery(connection, delivery)
            self._mark(connection)
        return self

    @property
    def left(self) -> set[str]:
        """Lanes that this event's node has left: the event's own, and that of a node that was known by
        its uid alone until this event told whose it is."""
        if self.node is self.before:
            return set()
        before = {nodes.lane_of(self.before)} if self.before.known else set()
        return ({self.lane} | before) - {nodes.lane_of(self.node)}

    def _applied(self, connection: Connection) -> bool:
        if not self.journal_id:
            return False
        if self.only is not None:
            found = connection.execute(
                "SELECT 1 FROM delivery WHERE journal_id = ? AND plugin = ? AND state = 'open'",
                (self.journal_id, self.only),
            ).fetchone()
            return found is None
        return journal.state_of(connection, self.journal_id) != journal.WAITING

    def _mark(self, connection: Connection) -> None:
        if self.only is not None:
            if not self.kept:
                journal.end_delivery(connection, self.journal_id, self.only)
            else:
                journal.settle(connection, self.journal_id)
            if self.answer is not None:
                journal.answer(connection, self.journal_id, self.answer)
            return
        is_open = any(delivery.state == "open" for delivery in self.kept)
        state = journal.GATHERED if is_open else journal.DONE
        journal.mark(connection, self.journal_id, state, self.answer)
        failpoint("unit.marked")

    def _guard(self, connection: Connection, effect: Effect, now: float) -> None:
        connection.execute("SAVEPOINT effect")
        node = self.node
        try:
            self._apply_effect(connection, effect, now)
        except Exception as error:
            if is_trouble(error) or isinstance(error, UndoneError):
                raise
            connection.execute("ROLLBACK TO effect")
            self.node = node
            self.failed.append((effect.plugin, error))
        connection.execute("RELEASE effect")

    def _apply_effect(self, connection: Connection, effect: Effect, now: float) -> None:
        failpoint("effect.begun")
        changes = self._write_node(connection, effect, now)
        failpoint("effect.node")
        if effect.tx.writes:
            _run(connection, effect)
        failpoint("effect.rows")
        outbox.put(connection, effect.parcels)
        if changes:
            journal.add(connection, changes)
            failpoint("effect.changes")
        self.changes += changes
        self.parcels += effect.parcels

    def _write_node(self, connection: Connection, effect: Effect, now: float) -> list[journal.Row]:
        """Write what this effect makes of the node; the rows that tell plugins of it."""
        wanted = effect.tx.node_changes
        if not wanted or (not self.node.known and not creates(wanted)):
            return []
        before, after = self.node, nodes.patched(self.node, wanted, now)
        nodes.write(connection, before, after)
        self.node = after
        tell = self.change_row
        if tell is None:
            return []
        told = zip(effect.change_ids, differences(before, after), strict=False)
        return [tell(number, *difference, effect.plugin) for number, difference in told]


def _run(connection: Connection, effect: Effect) -> None:
    """A plugin's statements. Raises UndoneError where one ended the transaction of everybody."""
    try:
        with at_most(connection, _LONGEST):
            for sql, params in effect.tx.writes:
                connection.execute(sql, params)
    except Exception as error:
        if connection.in_transaction or is_trouble(error):
            raise
        effect.broke = error
        raise UndoneError from error


def apply_all(connection: Connection, units: list[Unit], now: float) -> list[Unit]:
    """Apply them; only where a statement breaks, all of them again with a savepoint for each plugin.

    A savepoint costs two statements and a copy of every page that is written under it, and
    nearly always nothing breaks.
    """
    connection.execute("SAVEPOINT units")
    try:
        for unit in units:
            unit.apply(connection, now, guarded=False)
    except Exception as error:
        if is_trouble(error) or isinstance(error, UndoneError):
            raise
        connection.execute("ROLLBACK TO units")
        for unit in units:
            unit.apply(connection, now)
    connection.execute("RELEASE units")
    failpoint("units.released")
    return units


def creates(changes: Mapping[str, Any]) -> bool:
    """True for changes that name a node, which is what makes one."""
    return bool(changes.get("hardware_id") or changes.get("uid"))


def differences(before: Node, after: Node) -> Iterator[tuple[str, str | None, str]]:
    """(field, before, after) of what plugins are told of; of a new node just that it is there."""
    if not before.known:
        yield "node", None, after.uid
        return
    for field in CHANGES:
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield field, old, new


def _parcel(
    number: int, node_id: int, now: float, topic: str, body: bytes, options: dict[str, Any]
) -> outbox.Parcel:
    expires, replace = options["_expires"], options["_replace"]
    shown = {name: value for name, value in options.items() if not name.startswith("_")}
    return outbox.Parcel(
        number,
        node_id,
        topic,
        body,
        msgspec.json.encode(shown).decode(),
        replace,
        None if expires is None else now + expires,
        0,
        journal.checksum(topic, body),
    )


def _no_row(plugin: str, error: Exception) -> journal.Delivery:
    raise AssertionError(f"{plugin} failed in a unit without a journal row: {error}")
