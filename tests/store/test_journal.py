"""The journal's rows: duplicates, order, deliveries, pruning."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.flow.work import Ids
from gateway.store import journal, migrations
from gateway.store.sqlite import open_writer


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(connection)
    yield connection
    connection.close()


def row(number: int, lane: str = "a", key: bytes | None = None, at: float = 100.0) -> journal.Row:
    topic, payload = f"hydro/g/z/{lane}/status", b"{}"
    crc = journal.checksum(topic, payload)
    return journal.Row(
        number, at, at, "control", "journal", "status", lane, topic, payload, crc, dedupe=key
    )


def test_the_same_key_is_one_row(db: sqlite3.Connection) -> None:
    """A second message with the key of an earlier one is reported and not kept."""
    assert journal.add(db, [row(1, key=b"k")]) == set()
    assert journal.add(db, [row(2, key=b"k"), row(3, key=b"other")]) == {2}
    assert journal.get(db, 2) is None


def test_adding_a_group_again_changes_nothing(db: sqlite3.Connection) -> None:
    """A group that is taken again after a failed commit finds its own rows, not duplicates."""
    group = [row(1, key=b"a"), row(2), row(3, key=b"c")]
    assert journal.add(db, group) == set()
    assert journal.add(db, group) == set()
    assert db.execute("SELECT count(*) FROM journal").fetchone() == (3,)


def test_a_lane_is_read_in_order(db: sqlite3.Connection) -> None:
    """Rows of one lane come in the order of their ids, behind the mark, and only waiting ones."""
    journal.add(db, [row(n, lane="a" if n % 2 else "b") for n in range(1, 11)])
    journal.mark(db, 3, journal.DONE)
    assert [r.id for r in journal.next_of_lane(db, "a", 1, 10)] == [5, 7, 9]
    assert journal.waiting_lanes(db) == [("a", 1, 4), ("b", 2, 5)]


def test_a_row_is_done_when_its_last_delivery_is(db: sqlite3.Connection) -> None:
    """A gathered row stays open until every plugin has it; a dead letter does not hold it open."""
    journal.add(db, [row(1)])
    db.execute("UPDATE journal SET state = 2")
    for plugin in ("one", "two"):
        journal.put_delivery(db, journal.Delivery(1, plugin, "a", "open", 0, 0.0, ""))
    journal.end_delivery(db, 1, "one")
    assert journal.state_of(db, 1) == journal.GATHERED
    journal.put_delivery(db, journal.Delivery(1, "two", "a", "dead", 5, 0.0, "why"))
    journal.settle(db, 1)
    assert journal.state_of(db, 1) == journal.DONE


def test_a_replayed_message_waits_under_the_name_that_its_node_has_by_now(
    db: sqlite3.Connection,
) -> None:
    """A whole message that was given up under a node's first name waits again in the lane of its last."""
    journal.add(db, [row(1), row(2, lane="b")])
    journal.mark(db, 1, journal.DONE)
    journal.put_delivery(db, journal.Delivery(1, "-", "a", "dead", 1, 0.0, "damaged"))
    journal.move_lane(db, "a", "b")
    replayed = journal.replay(db, "journal_id = ?", (1,))
    assert [(r.id, r.lane, r.flags) for r in replayed.rows] == [(1, "b", journal.REPLAYED)]
    assert [r.id for r in journal.next_of_lane(db, "b", 0, 10)] == [1, 2]


def test_damaged_bytes_are_noticed(db: sqlite3.Connection) -> None:
    """A flipped bit in a payload makes the row not intact."""
    journal.add(db, [row(1)])
    db.execute("UPDATE journal SET payload = x'7b7c'")
    found = journal.get(db, 1)
    assert found is not None
    assert not found.intact()


def test_pruning_keeps_what_is_not_done(db: sqlite3.Connection) -> None:
    """Age and number remove done rows only; waiting rows and rows with dead letters stay."""
    journal.add(db, [row(n, at=10.0) for n in range(1, 101)])
    for number in range(1, 91):
        journal.mark(db, number, journal.DONE)
    journal.put_delivery(db, journal.Delivery(5, "p", "a", "dead", 5, 0.0, "why"))
    removed = journal.prune(db, before=20.0, keep_rows=1_000_000, least=0)
    assert removed == 89
    left = {r[0] for r in db.execute("SELECT id FROM journal")}
    assert left == {5, *range(91, 101)}


def test_pruning_by_number_keeps_the_newest(db: sqlite3.Connection) -> None:
    """With young rows the number decides, and a command keeps its key for its day."""
    journal.add(db, [row(n, at=1e9) for n in range(1, 51)])
    db.execute("UPDATE journal SET class = 'command' WHERE id = 2")
    for number in range(1, 51):
        journal.mark(db, number, journal.DONE)
    journal.prune(db, before=0.0, keep_rows=10, least=0)
    assert [r[0] for r in db.execute("SELECT id FROM journal ORDER BY id")] == [2, *range(41, 51)]


def test_pruning_never_makes_a_number_free_again(db: sqlite3.Connection) -> None:
    """However far the wall clock jumps, the newest rows stay: plugins keep the numbers of messages, and
    a message that the broker sends again is still known."""
    newest = journal.LEAST + 500
    journal.add(db, [row(n, key=b"%d" % n, at=10.0) for n in range(1, newest + 1)])
    db.execute("UPDATE journal SET state = ?", (journal.DONE,))
    assert journal.prune(db, before=1e12, keep_rows=0) == 500
    assert Ids.load(db).journal() == newest + 1
    assert journal.add(db, [row(newest + 1, key=b"%d" % newest)]) == {newest + 1}


def test_numbers_of_doubles_are_no_rows_that_stay(db: sqlite3.Connection) -> None:
    """A message that comes again takes a number and leaves no row; as many rows stay as were promised."""
    journal.add(db, [row(n, key=b"%d" % n, at=10.0) for n in range(1, 21)])
    assert journal.add(db, [row(n + 20, key=b"%d" % n) for n in range(1, 21)]) == {*range(21, 41)}
    journal.add(db, [row(n, key=b"%d" % n, at=10.0) for n in range(41, 49)])
    for number in range(1, 49):
        journal.mark(db, number, journal.DONE)
    assert journal.prune(db, before=1e12, keep_rows=40, least=28) == 0
    assert journal.prune(db, before=1e12, keep_rows=40, least=27) == 1
    assert journal.add(db, [row(49, key=b"2")]) == {49}


def test_the_newest_refused_are_kept(db: sqlite3.Connection) -> None:
    """Refused messages are bounded by number."""
    rows = [journal.Refused(n, 1.0, "t", b"x", "not_json", "why") for n in range(1, 31)]
    journal.refuse(db, rows, keep=10)
    assert [r[0] for r in db.execute("SELECT id FROM refused ORDER BY id")] == list(range(21, 31))
