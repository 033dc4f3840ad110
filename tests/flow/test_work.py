"""The unit of work: a savepoint for each plugin, safe to run twice, one transaction for all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.api import Node
from gateway.errors import DataError
from gateway.flow.work import Effect, Ids, Unit, apply_all
from gateway.hooks.tx import Gathered
from gateway.store import journal, migrations, nodes
from gateway.store.reader import Reader
from gateway.store.sqlite import open_writer

TOPIC = "hydro/node_hello"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(connection)
    connection.execute("CREATE TABLE a_t (n INTEGER PRIMARY KEY)")
    yield connection
    connection.close()


class Bench:
    """Builds units as the dispatcher does."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.db = db
        self.ids = Ids.load(db)
        self.reader = Reader(path / "gateway.db")
        self.roster = nodes.Roster()

    def tx(self) -> Gathered:
        return Gathered(self.reader, self.roster)

    def unit(self, node: Node, *work: tuple[str, Gathered]) -> Unit:
        number = self.ids.journal()
        crc = journal.checksum(TOPIC, b"{}")
        row = journal.Row(
            number, 1.0, 1.0, "control", "journal", "node_hello", "hw", TOPIC, b"{}", crc
        )
        journal.add(self.db, [row])
        item: Any = SimpleNamespace(row=row, klass="journal", node=node)
        unit = Unit(item, number, "hw", node)
        unit.effects = [Effect(name, tx, node.id, self.ids, 5.0) for name, tx in work]
        unit.fail_row = lambda plugin, error: journal.Delivery(
            number, plugin, "hw", "open", 1, 0.0, repr(error)
        )
        return unit

    def apply(self, unit: Unit) -> Unit:
        self.db.execute("BEGIN")
        unit.apply(self.db, 5.0)
        self.db.execute("COMMIT")
        return unit


@pytest.fixture
def bench(db: sqlite3.Connection, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(db, tmp_path)
    yield made
    made.reader.close()


def new_node(tx: Gathered) -> Node:
    tx.set_node(hardware_id="HW", uid="u1", lifecycle_state="REGISTERED_BACKEND")
    return Node(id=1, known=False, uid="hw")


def test_good_work_is_one_commit(bench: Bench, db: sqlite3.Connection) -> None:
    """Node, rows, outbox and the journal's mark are there together."""
    tx = bench.tx()
    node = new_node(tx)
    tx.write("INSERT INTO a_t VALUES (?)", 7)
    tx.publish_json("hydro/x", {"a": "é"}, expires=30)
    unit = bench.apply(bench.unit(node, ("a", tx)))
    assert unit.node.known
    assert db.execute("SELECT uid, hardware_id, lifecycle_state FROM nodes").fetchall() == [
        ("u1", "HW", "REGISTERED_BACKEND")
    ]
    assert db.execute("SELECT name FROM node_names ORDER BY name").fetchall() == [("hw",), ("u1",)]
    assert db.execute("SELECT n FROM a_t").fetchall() == [(7,)]
    assert db.execute("SELECT body, expires_at FROM outbox").fetchall() == [
        ('{"a":"é"}'.encode(), 35.0)
    ]
    assert journal.state_of(db, unit.journal_id) == journal.DONE


def test_a_broken_statement_costs_its_own_plugin(bench: Bench, db: sqlite3.Connection) -> None:
    """One plugin's bad SQL undoes all of that plugin and nothing of its neighbour; it is retried."""
    bad, good = bench.tx(), bench.tx()
    bad.write("INSERT INTO a_t VALUES (1)")
    bad.write("INSERT INTO nowhere VALUES (1)")
    good.write("INSERT INTO a_t VALUES (2)")
    unit = bench.apply(bench.unit(Node(id=1), ("bad", bad), ("good", good)))
    assert db.execute("SELECT n FROM a_t").fetchall() == [(2,)]
    assert [plugin for plugin, _ in unit.failed] == ["bad"]
    assert db.execute("SELECT plugin, state, attempts FROM delivery").fetchall() == [
        ("bad", "open", 1)
    ]
    assert journal.state_of(db, unit.journal_id) == journal.GATHERED


def test_a_broken_statement_in_a_group_costs_its_own_plugin(
    bench: Bench, db: sqlite3.Connection
) -> None:
    """Of many events in one commit only that plugin's part of that event is undone."""
    before, bad, beside, after = (bench.tx() for _ in range(4))
    node = new_node(before)
    before.write("INSERT INTO a_t VALUES (1)")
    bad.publish_json("hydro/x", {})
    bad.write("INSERT INTO a_t VALUES (2)")
    bad.write("INSERT INTO nowhere VALUES (1)")
    beside.write("INSERT INTO a_t VALUES (3)")
    after.write("INSERT INTO a_t VALUES (4)")
    units = [
        bench.unit(node, ("good", before)),
        bench.unit(Node(id=2), ("bad", bad), ("good", beside)),
        bench.unit(Node(id=3), ("good", after)),
    ]
    db.execute("BEGIN")
    assert apply_all(db, units, 5.0) == units
    db.execute("COMMIT")
    assert db.execute("SELECT n FROM a_t ORDER BY n").fetchall() == [(1,), (3,), (4,)]
    assert db.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM nodes").fetchone() == (1,)
    assert [[plugin for plugin, _ in unit.failed] for unit in units] == [[], ["bad"], []]
    assert [unit.parcels for unit in units] == [[], [], []]
    states = [journal.state_of(db, unit.journal_id) for unit in units]
    assert states == [journal.DONE, journal.GATHERED, journal.DONE]


def test_a_unit_that_is_run_twice_has_its_effects_once(
    bench: Bench, db: sqlite3.Connection
) -> None:
    """After a commit of unknown outcome the same unit recognises that it was done."""
    db.execute("CREATE TABLE a_count (n)")
    db.execute("INSERT INTO a_count VALUES (0)")
    tx = bench.tx()
    tx.write("UPDATE a_count SET n = n + 1")
    tx.publish_json("hydro/x", {})
    unit = bench.unit(Node(id=1), ("a", tx))
    bench.apply(unit)
    bench.apply(unit)
    assert db.execute("SELECT n FROM a_count").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM outbox").fetchone() == (1,)


def test_a_unit_that_was_rolled_back_is_done_again(bench: Bench, db: sqlite3.Connection) -> None:
    """After a rollback the second run does everything, as if there had been no first."""
    tx = bench.tx()
    node = new_node(tx)
    tx.write("INSERT INTO a_t VALUES (7)")
    unit = bench.unit(node, ("a", tx))
    db.execute("BEGIN")
    unit.apply(db, 5.0)
    db.execute("ROLLBACK")
    bench.apply(unit)
    assert db.execute("SELECT n FROM a_t").fetchall() == [(7,)]
    assert db.execute("SELECT count(*) FROM nodes").fetchone() == (1,)


def test_a_name_that_is_taken_fails_that_plugin_alone(bench: Bench, db: sqlite3.Connection) -> None:
    """The unique index turns a lost race into a retry, never into a second owner of a name."""
    first, second = bench.tx(), bench.tx()
    bench.apply(bench.unit(new_node(first), ("hello", first)))
    second.set_node(hardware_id="other", uid="u1")
    unit = bench.apply(bench.unit(Node(id=2, known=False, uid="other"), ("hello", second)))
    assert [plugin for plugin, _ in unit.failed] == ["hello"]
    assert not unit.node.known
    assert db.execute("SELECT count(*) FROM nodes").fetchone() == (1,)


def test_nobody_creates_a_node_by_accident(bench: Bench, db: sqlite3.Connection) -> None:
    """A patch without a name, on a node that nobody creates, vanishes."""
    tx = bench.tx()
    tx.set_node(life="online")
    bench.apply(bench.unit(Node(id=3, known=False, uid="x"), ("heartbeat", tx)))
    assert db.execute("SELECT count(*) FROM nodes").fetchone() == (0,)


def test_what_is_wrong_is_said_at_once() -> None:
    """A misspelt field, a wildcard in a topic and a value JSON cannot carry fail in the hook itself."""
    tx = Gathered(None, nodes.Roster())  # type: ignore[arg-type] # nothing is read here
    with pytest.raises(TypeError, match="did you mean 'lifecycle_state'"):
        tx.set_node(lifecycle="x")
    with pytest.raises(DataError):
        tx.publish_json("hydro/+/x", {})
    with pytest.raises(DataError, match=r"channels\[1\]\.value"):
        tx.publish_json("hydro/x", {"channels": [{}, {"value": float("nan")}]})


def test_a_closed_tx_refuses() -> None:
    """What comes after the hook was given up changes nothing, and says so."""
    tx = Gathered(None, nodes.Roster())  # type: ignore[arg-type] # nothing is read here
    tx.close()
    with pytest.raises(RuntimeError, match="closed"):
        tx.write("x")


def test_a_hello_takes_along_what_waits_under_the_uid(bench: Bench, db: sqlite3.Connection) -> None:
    """A node known by its uid alone says whose it is: what waits in the lane of the uid, and its open
    deliveries, go on in the lane of the hardware_id, so that their order is kept."""
    waiting = bench.unit(Node(id=0, known=False))
    db.execute("UPDATE journal SET lane = 'nd-1' WHERE id = ?", (waiting.journal_id,))
    journal.put_delivery(db, journal.Delivery(99, "a", "nd-1", "open", 1, 0.0, "why"))
    db.execute("INSERT INTO nodes (id, uid, created_at, updated_at) VALUES (7, 'nd-1', 1, 1)")
    tx = bench.tx()
    tx.set_node(hardware_id="hw")
    unit = bench.apply(bench.unit(Node(id=7, uid="nd-1"), ("a", tx)))
    assert unit.left == {"nd-1"}
    assert journal.waiting_lanes(db) == [("hw", waiting.journal_id, 1)]
    assert journal.open_deliveries(db) == [("hw", "a", 1)]
