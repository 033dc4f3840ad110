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


def test_an_older_plugin_is_refused(db: sqlite3.Connection, tmp_path: Path) -> None:
    """Tables of a newer version of a plugin are left alone, as those of a newer core are."""
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE door_a ADD COLUMN m")
    migrations.migrate_plugin(db, "door", tmp_path)
    (tmp_path / "0002_b.sql").unlink()
    with pytest.raises(PluginError, match="schema 2, this version knows 1") as caught:
        migrations.migrate_plugin(db, "door", tmp_path)
    assert "newer version" in caught.value.why
    assert db.execute("SELECT m FROM door_a").fetchall() == []


@pytest.mark.parametrize(
    "word", ["COMMIT", "begin", "PRAGMA user_version=7", "/* x */ -- y\n VACUUM"]
)
def test_a_file_cannot_leave_its_transaction(
    db: sqlite3.Connection, tmp_path: Path, word: str
) -> None:
    """A statement that would end the transaction is refused before the first one ran."""
    (tmp_path / "0001_a.sql").write_text(
        f"CREATE TABLE door_a (n);\n{word};\nCREATE TABLE door_b (n)"
    )
    with pytest.raises(PluginError, match=r"0001_a\.sql has"):
        migrations.migrate_plugin(db, "door", tmp_path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'door%'").fetchone() == (
        0,
    )


def test_statements_are_told_apart() -> None:
    """A semicolon in a text, a comment or a trigger ends nothing; what follows the last one counts."""
    text = (
        "-- one; two\nCREATE TABLE a (n DEFAULT 'x;y'); CREATE TABLE b (n);\n"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM a; END;\n"
        "INSERT INTO a\n  VALUES ('c')\n-- the end\n"
    )
    found = list(migrations.statements(text))
    assert len(found) == 4
    assert "".join(found).split() == text.split()
    assert list(migrations.statements("-- nothing\n;\n  \n")) == ["-- nothing\n;"]


def test_what_is_due_is_known_before(
    db: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new database and one of today have nothing due; an older one names where it would go."""
    assert migrations.core_due(sqlite3.connect(":memory:")) == 0
    assert migrations.core_due(db) == 0
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
    assert migrations.plugin_due(db, "door", tmp_path) == 0
    migrations.migrate_plugin(db, "door", tmp_path)
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE door_a ADD COLUMN m")
    assert migrations.plugin_due(db, "door", tmp_path) == 2
    monkeypatch.setattr(migrations, "CORE", tmp_path)
    assert migrations.core_due(db) == 2


def test_a_disk_that_fails_is_not_the_plugins_fault(tmp_path: Path) -> None:
    """A database that cannot be written while a plugin's tables are made is the disk's trouble: the
    plugin is not switched off for it."""
    migrations.migrate_core(connection := open_writer(tmp_path / "gateway.db"))
    folder = tmp_path / "door_migrations"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE door_a (n)")
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        migrations.migrate_plugin(connection, "door", folder)
    connection.close()
