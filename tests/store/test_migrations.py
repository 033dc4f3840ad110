"""Migrations: once, in order, all or nothing, and within a plugin's own names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import PluginError, StoreError
from gateway.store import migrations
from gateway.store.sqlite import open_writer


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(connection)
    yield connection
    connection.close()


def test_the_core_has_its_eight_tables(db: sqlite3.Connection) -> None:
    """The design names eight core tables, and there are no others."""
    found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found == {
        "journal", "delivery", "refused", "nodes", "node_names", "outbox", "subscriptions", "plugins",
    }  # fmt: skip


def test_the_query_that_operators_know_works(db: sqlite3.Connection) -> None:
    """The documented query on `nodes` runs as it is written."""
    db.execute("INSERT INTO nodes (uid, created_at, updated_at) VALUES ('n', 1, 1)")
    rows = db.execute(
        "SELECT id, uid, hardware_id, type, lifecycle_state, created_at "
        "FROM nodes ORDER BY created_at DESC LIMIT 5;"
    ).fetchall()
    assert rows == [(1, "n", None, "unknown", "UNPROVISIONED", 1.0)]


def test_a_newer_store_is_refused(db: sqlite3.Connection) -> None:
    """A database of a newer gateway is left alone, with a hint."""
    db.execute("PRAGMA user_version=999").fetchall()
    with pytest.raises(StoreError, match="schema 999"):
        migrations.migrate_core(db)


def test_files_are_applied_once_and_in_order(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A second run applies nothing, a new file alone is added later."""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
    assert migrations.migrate_plugin(db, "door", folder) == 1
    assert migrations.migrate_plugin(db, "door", folder) == 1
    (folder / "0002_b.sql").write_text("ALTER TABLE door_a ADD COLUMN m")
    assert migrations.migrate_plugin(db, "door", folder) == 2
    assert db.execute("SELECT schema_version FROM plugins WHERE name = 'door'").fetchone() == (2,)


def test_an_edited_old_file_is_noticed(db: sqlite3.Connection, tmp_path: Path) -> None:
    """Changing history is refused with the way to do it right."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
    migrations.migrate_plugin(db, "door", tmp_path)
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n, m)")
    with pytest.raises(PluginError, match="was changed") as caught:
        migrations.migrate_plugin(db, "door", tmp_path)
    assert caught.value.plugin == "door"


def test_a_plugin_stays_in_its_own_names(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A table without the plugin's name in front is refused before anything is made."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n); CREATE TABLE nodes2 (n)")
    with pytest.raises(PluginError, match="nodes2"):
        migrations.migrate_plugin(db, "door", tmp_path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'door_a'").fetchone() == (0,)


def test_half_a_file_leaves_nothing(db: sqlite3.Connection, tmp_path: Path) -> None:
    """A statement that fails takes the whole file back."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n); CREATE TABLE door_a (n)")
    with pytest.raises(PluginError, match="cannot be applied"):
        migrations.migrate_plugin(db, "door", tmp_path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'door_a'").fetchone() == (0,)
