"""Reading the store from beside the gateway: the command line and plugins' threads."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from gateway.errors import StoreError, StoreTroubleError
from gateway.store.commands import dedupe_key
from gateway.store.sqlite import Connection, Error, is_trouble, open_reader


class Reader:
    """Read-only access from any thread; each thread gets a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def connection(self) -> Connection:
        """This thread's connection. Raises StoreError where there is no database."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = open_reader(self.path)
        return found

    def tuples(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of a query. Raises StoreError naming what SQLite said."""
        try:
            return self.connection().execute(sql, params).fetchall()
        except Error as error:
            kind = StoreTroubleError if is_trouble(error) else StoreError
            raise kind("the store cannot answer", why=str(error)) from error

    def rows(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries. Raises StoreError naming what SQLite said."""
        try:
            cursor = self.connection().execute(sql, params)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except Error as error:
            raise StoreError("the store cannot answer", why=str(error)) from error

    def answer(self, command_id: str) -> dict[str, Any] | None:
        """What became of a command: `{"ok": ..., "result": ...}`, None while it is not done."""
        found = self.tuples(
            "SELECT answer FROM journal WHERE dedupe = ? AND answer IS NOT NULL",
            dedupe_key(command_id),
        )
        return None if not found else dict(json.loads(found[0][0]))

    def close(self) -> None:
        """Close this thread's connection."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = None
