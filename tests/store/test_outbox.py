"""The outbox's rows: order, replacement, damage, and that everything may be done twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store import migrations, outbox
from gateway.store.journal import checksum
from gateway.store.sqlite import open_writer


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(connection)
    yield connection
    connection.close()


def parcel(number: int, replace: str | None = None, body: bytes = b"{}") -> outbox.Parcel:
    topic = "hydro/g/z/n/config"
    return outbox.Parcel(number, 1, topic, body, "{}", replace, None, 0, checksum(topic, body))


def numbers(db: sqlite3.Connection) -> list[int]:
    return [row.id for row in outbox.waiting(db)]


def test_what_waits_comes_in_order(db: sqlite3.Connection) -> None:
    """By number, whatever the order of their commits."""
    outbox.put(db, [parcel(3), parcel(1), parcel(2)])
    assert numbers(db) == [1, 2, 3]


def test_a_newer_one_replaces_an_older_one_with_the_same_key(db: sqlite3.Connection) -> None:
    """The older row goes in the same transaction."""
    outbox.put(db, [parcel(1, "config/1"), parcel(2, "config/2"), parcel(3)])
    outbox.put(db, [parcel(4, "config/1")])
    assert numbers(db) == [2, 3, 4]


def test_putting_a_group_again_changes_nothing(db: sqlite3.Connection) -> None:
    """After a commit of unknown outcome the same rows are put again (rule 19)."""
    group = [parcel(1, "a"), parcel(2), parcel(3, "a")]
    outbox.put(db, group)
    before = outbox.waiting(db)
    outbox.put(db, group)
    assert outbox.waiting(db) == before
    assert numbers(db) == [2, 3]


def test_what_has_left_may_be_deleted_twice(db: sqlite3.Connection) -> None:
    """Numbers that are not there any more are no error."""
    outbox.put(db, [parcel(1), parcel(2)])
    outbox.gone(db, [1])
    outbox.gone(db, [1, 2, 99])
    assert numbers(db) == []


def test_damaged_bytes_are_noticed(db: sqlite3.Connection) -> None:
    """A flipped bit in the body makes the row not intact (rule 20)."""
    outbox.put(db, [parcel(1)])
    db.execute("UPDATE outbox SET body = x'7b7c'")
    (found,) = outbox.waiting(db)
    assert not found.intact()
