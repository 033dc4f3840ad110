"""A copy of the database without secrets: for somebody else's eyes.

Rules of this file. It works on a copy, never on the store. What nodes said (journal, dead letters)
and what waits to be sent goes as a whole, because anything can stand in it. Of the tables of plugins
a row goes when it holds a secret: under a column's name, or under a key of a JSON document.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from gateway.settings.secret import is_secret

LEFT_OUT = "messages, dead letters and what waits to be sent"
_EMPTIED = ("journal", "delivery", "refused", "outbox")
_CORE = (*_EMPTIED, "nodes", "node_names", "subscriptions", "plugins")


def strip(connection: sqlite3.Connection) -> None:
    """Take the secrets out of a copy, also out of its free pages."""
    with connection:
        connection.execute("UPDATE nodes SET secret = NULL, trial_secret = NULL")
        for table in _EMPTIED:
            connection.execute(f"DELETE FROM {table}")
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            if table not in _CORE:
                _strip_table(connection, table)
    connection.execute("VACUUM").fetchall()


def _strip_table(connection: sqlite3.Connection, table: str) -> None:
    columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    names = [column[1] for column in columns]
    keys = [column[1] for column in columns if column[5]] or ["rowid"]
    listed = ", ".join(f'"{name}"' for name in (*keys, *names))
    where = " AND ".join(f'"{key}" IS ?' for key in keys)
    for row in connection.execute(f'SELECT {listed} FROM "{table}"').fetchall():
        key, values = row[: len(keys)], row[len(keys) :]
        if holds_secret(dict(zip(names, values, strict=True))):
            connection.execute(f'DELETE FROM "{table}" WHERE {where}', key)


def holds_secret(value: Any) -> bool:
    """True where a secret stands in it that is not empty and not hidden."""
    if isinstance(value, Mapping):
        return any(
            (is_secret(str(key)) and inner not in (None, "", "***") and not _is_flag(inner))
            or holds_secret(inner)
            for key, inner in value.items()
        )
    if isinstance(value, list | tuple):
        return any(holds_secret(item) for item in value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return holds_secret(json.loads(value))
        except (ValueError, RecursionError):
            return True  # it looks like a document and cannot be read: nobody can vouch for it
    return False


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | int | float)
