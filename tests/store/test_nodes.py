"""The registry: what the roster holds in memory is what the tables say; names are one node's."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.api import Node
from gateway.store import migrations, nodes
from gateway.store.sqlite import open_writer

QUERY = (
    "SELECT id, uid, hardware_id, type, lifecycle_state, created_at "
    "FROM nodes ORDER BY created_at DESC LIMIT 5;"
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(connection)
    yield connection
    connection.close()


def register(db: sqlite3.Connection, roster: nodes.Roster, hardware_id: str, at: float) -> Node:
    before = roster.stranger(hardware_id)
    changes = {"uid": f"nd-{hardware_id}".lower(), "hardware_id": hardware_id}
    after = nodes.patched(before, changes | {"lifecycle_state": "REGISTERED_BACKEND"}, at)
    nodes.write(db, before, after)
    roster.put(before, after)
    return after


def test_a_roster_that_is_loaded_is_the_one_that_was_written(db: sqlite3.Connection) -> None:
    """Nodes, names in any case, and the next number."""
    roster, again = nodes.Roster(), nodes.Roster()
    for number in range(5):
        register(db, roster, f"HW-{number}", float(number))
    again.load(db)
    assert again.all() == roster.all()
    assert again.find("hw-3") == again.find("ND-HW-3") == roster.find("HW-3")
    assert again.stranger("new").id == roster.stranger("new").id


def test_only_what_differs_is_written(db: sqlite3.Connection) -> None:
    """A change of one field leaves what somebody else wrote meanwhile."""
    node = register(db, nodes.Roster(), "hw", 1.0)
    db.execute("UPDATE nodes SET name = 'tank' WHERE id = ?", (node.id,))
    nodes.write(db, node, nodes.patched(node, {"life": "online"}, 2.0))
    assert db.execute("SELECT name, life, updated_at FROM nodes").fetchall() == [
        ("tank", "online", 2.0)
    ]


def test_a_forgotten_node_does_not_come_back(db: sqlite3.Connection) -> None:
    """An event that was under way when its node was forgotten changes nothing, in memory as on disk."""
    roster, again = nodes.Roster(), nodes.Roster()
    seen = register(db, roster, "hw", 1.0)
    nodes.delete(db, seen.id)
    roster.forget(seen.id)
    after = nodes.patched(seen, {"life": "offline"}, 2.0)
    nodes.write(db, seen, after)
    roster.put(seen, after)
    again.load(db)
    assert roster.all() == again.all() == []


def test_a_name_is_one_nodes(db: sqlite3.Connection) -> None:
    """The index refuses a second owner; the event is then run again."""
    roster = nodes.Roster()
    register(db, roster, "hw", 1.0)
    before = roster.stranger("other")
    with pytest.raises(sqlite3.IntegrityError):
        nodes.write(db, before, nodes.patched(before, {"uid": "nd-hw"}, 2.0))


def test_a_forgotten_node_leaves_no_name_and_nothing_to_send(db: sqlite3.Connection) -> None:
    """Its row, its names, and what waits for it."""
    roster = nodes.Roster()
    node = register(db, roster, "hw", 1.0)
    db.execute(
        "INSERT INTO outbox (id, node_id, topic, body, options, crc) VALUES (1, ?, 't', '', '{}', 0)",
        (node.id,),
    )
    nodes.delete(db, node.id)
    roster.forget(node.id)
    assert roster.find("hw") is None
    for table in ("nodes", "node_names", "outbox"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_operators_query_works_in_the_sqlite_shell(
    db: sqlite3.Connection, tmp_path: Path
) -> None:
    """The newest five, with a program that knows nothing of us, while the gateway has the store open."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 shell is not installed: sudo apt install sqlite3")
    roster = nodes.Roster()
    for number in range(7):
        register(db, roster, f"hw{number}", 100.0 + number)
    words = ["sqlite3", "-readonly", str(tmp_path / "gateway.db"), QUERY]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [row[1] for row in rows] == [f"nd-hw{n}" for n in (6, 5, 4, 3, 2)]
    assert {row[4] for row in rows} == {"REGISTERED_BACKEND"}
