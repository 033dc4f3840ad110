"""Numbered `.sql` files, applied once and in order; a changed old file is noticed by its hash.

The core's files lie in `store/sql`, a plugin's in the folder that its manifest names. One
transaction for each file, together with its mark, so that a power cut leaves all of it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from gateway.errors import PluginError, StoreError
from gateway.failpoint import failpoint
from gateway.store.sqlite import Connection, Error

CORE = Path(__file__).parent / "sql"
_CREATES = re.compile(
    r"\bcreate\s+(?:unique\s+)?(?:table|index|view|trigger)\s+(?:if\s+not\s+exists\s+)?[\"'`\[]?(\w+)",
    re.IGNORECASE,
)


def migrate_core(connection: Connection) -> int:
    """Bring the core's tables to this version; returns the schema version.

    Raises StoreError where the database was written by a newer gateway.
    """
    files = _numbered(CORE)
    (done,) = connection.execute("PRAGMA user_version").fetchone()
    if done > len(files):
        raise StoreError(
            f"the database has schema {done}, this gateway knows {len(files)}",
            why="a newer gateway wrote it",
            hint="install that version again, or start with another --state-dir",
        )
    for number, file in enumerate(files[done:], done + 1):
        _apply(connection, file.read_text("utf-8"), f"PRAGMA user_version={number}")
    return len(files)


def migrate_plugin(connection: Connection, plugin: str, folder: Path) -> int:
    """Bring one plugin's tables up to date; returns its schema version.

    Raises PluginError where a file was edited after it was applied, creates a name that does not
    start with the plugin's, or is no valid SQL.
    """
    files = _numbered(folder)
    row = connection.execute("SELECT hashes FROM plugins WHERE name = ?", (plugin,)).fetchone()
    hashes: list[str] = json.loads(row[0]) if row else []
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
        _check_names(plugin, file.name, text)
        hashes.append(digest)
        mark = (
            "INSERT INTO plugins (name, schema_version, hashes) VALUES "
            f"({_quote(plugin)}, {number}, {_quote(json.dumps(hashes))}) ON CONFLICT (name) DO "
            "UPDATE SET schema_version = excluded.schema_version, hashes = excluded.hashes"
        )
        try:
            _apply(connection, text, mark)
        except Error as error:
            raise PluginError(
                plugin, f"{file.name} cannot be applied", why=str(error), hint="mend the SQL"
            ) from error
    return len(files)


def _numbered(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.sql"))


def _apply(connection: Connection, text: str, mark: str) -> None:
    failpoint("migrate.before")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{text};\n{mark};\nCOMMIT;")
    except Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    failpoint("migrate.after")


def _check_names(plugin: str, file: str, text: str) -> None:
    prefix = plugin.replace("-", "_").lower() + "_"
    for name in _CREATES.findall(text):
        if not name.lower().startswith(prefix):
            raise PluginError(
                plugin,
                f"{file} creates {name!r}",
                why="a plugin's tables share one database with everybody else's",
                hint=f"call it {prefix}{name}",
            )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
