"""Opening the database: the settings that the promise needs, and clear words where it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.store.commands import CommandFile
from gateway.store.sqlite import open_reader, open_writer


def test_the_writer_is_durable(tmp_path: Path) -> None:
    """WAL and FULL are really in force on the connection that writes."""
    connection = open_writer(tmp_path / "a" / "x.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Somebody's text file in the database's place gives what, why and what to do."""
    path = tmp_path / "gateway.db"
    path.write_text("this is not a database, " * 100)
    with pytest.raises(StoreError) as caught:
        open_writer(path)
    assert "not a usable SQLite database" in caught.value.what
    assert "sets the file aside" in caught.value.hint
    assert caught.value.exit_code == 74


def test_a_read_only_folder_is_named() -> None:
    """A folder that nobody may write, not even root, gives its name and the way out."""
    with pytest.raises(StoreError, match="cannot be opened for writing") as caught:
        open_writer(Path("/proc/hellogate/gateway.db"))
    assert "--state-dir" in caught.value.hint


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    """A path that cannot be a file gives one clear error, whoever runs it."""
    (tmp_path / "gateway.db").mkdir()
    with pytest.raises(StoreError) as caught:
        open_writer(tmp_path / "gateway.db")
    assert "--state-dir" in caught.value.hint


def test_reading_what_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    """A reader of a missing store is told to start the gateway once."""
    with pytest.raises(StoreError) as caught:
        open_reader(tmp_path / "gateway.db")
    assert "gateway run" in caught.value.hint
    assert not (tmp_path / "gateway.db").exists()


def test_what_holds_secrets_is_for_its_user_alone(tmp_path: Path) -> None:
    """Database, its log, the commands and the folder: others may not even look (umask 022 or not)."""
    folder = tmp_path / "state"
    before = os.umask(0o022)
    try:
        connection = open_writer(folder / "gateway.db")
        connection.execute("CREATE TABLE t (x)")
        CommandFile(folder / "commands.db").put("status", "", {})
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
        connection.close()
    finally:
        os.umask(before)
    assert modes.pop("state") == 0o700
    assert {"gateway.db", "gateway.db-wal", "gateway.db-shm", "commands.db"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_the_name_of_a_new_database_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file made anew is only safe once its folder is synced, and a folder once the one above it is."""
    synced: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    open_writer(tmp_path / "state" / "gateway.db").close()
    assert {tmp_path, tmp_path / "state"} <= set(synced)
