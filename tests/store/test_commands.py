"""`commands.db`: one side writes, the other only reads, and each command is seen once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.store.commands import CommandFile, CommandWatch


def test_commands_are_seen_once_and_in_order(tmp_path: Path) -> None:
    """A look returns what is new since the last one."""
    file, watch = CommandFile(tmp_path / "commands.db"), CommandWatch(tmp_path / "commands.db")
    assert watch.look() == []
    first = file.put("config.push", "n1", {"a": 1})
    second = file.put("status", "", {})
    seen = watch.look()
    assert [(a.id, a.verb, a.node) for a in seen] == [
        (first, "config.push", "n1"),
        (second, "status", ""),
    ]
    assert watch.look() == []
    third = file.put("status", "", {})
    assert [a.id for a in watch.look()] == [third]
    watch.close()


def test_numbers_do_not_start_again_when_old_commands_are_removed(tmp_path: Path) -> None:
    """After the file was emptied of old commands, new ones are still new to the watch."""
    path = tmp_path / "commands.db"
    file, watch = CommandFile(path), CommandWatch(path)
    file.put("a", "", {})
    assert len(watch.look()) == 1
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM commands")
    connection.close()
    file.put("b", "", {})
    assert [a.verb for a in watch.look()] == ["b"]
    watch.close()


def test_yesterdays_commands_are_not_carried_out(tmp_path: Path) -> None:
    """A command that lay about for a day is not run at the next start."""
    path = tmp_path / "commands.db"
    CommandFile(path).put("a", "", {})
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE commands SET at = at - 80000")
    connection.close()
    watch = CommandWatch(path)
    assert watch.look() == []
    watch.close()
