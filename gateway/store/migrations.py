"""Numbered `.sql` files, applied once and in order; a changed old file is noticed by its hash.

The core's files lie in `store/sql`, a plugin's in the folder that its manifest names. One
transaction for each file, together with its mark, so that a power cut leaves all of it or nothing.
Tables that a newer version made are left alone: whoever knows only the older ones is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import PluginError, StoreError
from gateway.failpoint import failpoint
from gateway.store.sqlite import Connection, Error, is_trouble

CORE = Path(__file__).parent / "sql"
_CREATES = re.compile(
    r"\bcreate\s+(?:unique\s+)?(?:table|index|view|trigger)\s+(?:if\s+not\s+exists\s+)?[\"'`\[]?(\w+)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(\w+)", re.DOTALL)
# they end our transaction, or reach outside of it: half a file could stay
_NOT_WITHIN = {
    "begin", "commit", "end", "rollback", "savepoint", "release",
    "attach", "detach", "vacuum", "pragma",
}  # fmt: skip


def migrate_core(connection: Connection) -> int:
    """Bring the core's tables to this version; returns the schema version.

    Raises StoreError where the database was written by a newer gateway.
    """
    files = _numbered(CORE)
    done = core_version(connection)
    if done > len(files):
        raise StoreError(
            f"the database has schema {done}, this gateway knows {len(files)}",
            why="a newer gateway wrote it",
            hint="install that version again, restore a backup of before (gateway backup list), "
            "or start with another --state-dir",
        )
    for number, file in enumerate(files[done:], done + 1):
        _apply(connection, file.read_text("utf-8"), f"PRAGMA user_version={number}")
    return len(files)


def newest() -> int:
    """The schema that this gateway knows."""
    return len(_numbered(CORE))


def core_version(connection: Connection) -> int:
    """The schema of the core's tables in this database; 0 where there are none yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def core_due(connection: Connection) -> int:
    """The schema that `migrate_core` would bring an older database to; 0 where nothing is due."""
    last = newest()
    return last if 0 < core_version(connection) < last else 0


def plugin_due(connection: Connection, plugin: str, folder: Path) -> int:
    """The same for one plugin's tables."""
    last = len(_numbered(folder))
    return last if 0 < len(_hashes(connection, plugin)) < last else 0


def migrate_plugin(connection: Connection, plugin: str, folder: Path) -> int:
    """Bring one plugin's tables up to date; returns its schema version.

    Raises PluginError where a file was edited after it was applied, creates a name that does not
    start with the plugin's, is no valid SQL, or where a newer version of the plugin was here.
    """
    files = _numbered(folder)
    hashes = _hashes(connection, plugin)
    if len(hashes) > len(files):
        raise PluginError(
            plugin,
            f"its tables have schema {len(hashes)}, this version knows {len(files)}",
            why="a newer version of it wrote them",
            hint="install that version again, or restore a backup of before (gateway backup list)",
        )
    for number, file in enumerate(files, 1):
        text = file.read_text("utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if number <= len(hashes):
            if hashes[number - 1] != digest:
                raise PluginError(
                    plugin,
                    f"{file.name} was changed after it had been applied",
                    why="its hash differs from the one kept in the database",
                    hint="restore the file, and put the change into a new, higher-numbered one",
                )
            continue
        _check(plugin, file.name, text)
        hashes.append(digest)
        mark = _plugin_mark(plugin, number, hashes)
        try:
            _apply(connection, text, mark)
        except Error as error:
            if is_trouble(error):
                raise  # the disk's fault: no reason to switch the plugin off
            raise PluginError(
                plugin, f"{file.name} cannot be applied", why=str(error), hint="mend the SQL"
            ) from error
    return len(files)


def _plugin_mark(plugin: str, number: int, hashes: list[str]) -> str:
    return (
        "INSERT INTO plugins (name, schema_version, hashes) VALUES "
        f"({_quote(plugin)}, {number}, {_quote(json.dumps(hashes))}) ON CONFLICT (name) DO "
        "UPDATE SET schema_version = excluded.schema_version, hashes = excluded.hashes"
    )


def statements(text: str) -> Iterator[str]:
    """The statements of a script, each with the comments before it."""
    rest = ""
    for line in text.splitlines(keepends=True):
        for part in re.split(r"(?<=;)", line):
            rest += part
            if part.endswith(";") and sqlite3.complete_statement(rest):
                yield rest
                rest = ""
    if _WORD.match(rest + "\n"):
        yield rest


def _numbered(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.sql"))


def _hashes(connection: Connection, plugin: str) -> list[str]:
    row = connection.execute("SELECT hashes FROM plugins WHERE name = ?", (plugin,)).fetchone()
    return list(json.loads(row[0])) if row else []


def _apply(connection: Connection, text: str, mark: str) -> None:
    """One file in one transaction. Statement by statement, so that each can be its last."""
    failpoint("migrate.before")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in (*statements(text), mark):
            connection.execute(statement)
            failpoint("migrate.statement")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    failpoint("migrate.after")


def _check(plugin: str, file: str, text: str) -> None:
    prefix = plugin.replace("-", "_").lower() + "_"
    for name in _CREATES.findall(text):
        if not name.lower().startswith(prefix):
            raise PluginError(
                plugin,
                f"{file} creates {name!r}",
                why="a plugin's tables share one database with everybody else's",
                hint=f"call it {prefix}{name}",
            )
    for statement in statements(text):
        found = _WORD.match(statement)
        if found and found[1].lower() in _NOT_WITHIN:
            raise PluginError(
                plugin,
                f"{file} has {found[1].upper()}",
                why="each file is one transaction of the gateway's, all of it or nothing",
                hint="leave it out",
            )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
