"""`commands.db`: what the operator asks for, written by the command line alone (rule 17).

Two processes that write one database fight over it, so the gateway only reads this one: it polls
`PRAGMA data_version` and takes each new command into its journal under a key made from the
command's id, which makes a command that is read twice one command.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import StoreError
from gateway.store.sqlite import make_private

_DAY = 86_400.0
NAME = "commands.db"


class Asked(NamedTuple):
    """One command as the operator asked it; `args` is JSON text."""

    id: str
    at: float
    verb: str
    node: str
    args: str


def dedupe_key(command_id: str) -> bytes:
    """The journal's key for a command."""
    return hashlib.blake2b(b"cmd:" + command_id.encode(), digest_size=16).digest()


class CommandFile:
    """The command line's side: puts commands, removes those older than a day."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, verb: str, node: str, args: Mapping[str, Any]) -> str:
        """Add a command; returns its id. Raises StoreError where the folder cannot be written."""
        command_id = secrets.token_hex(16)
        now = time.time()
        try:
            make_private(self.path)
            connection = sqlite3.connect(self.path, timeout=5.0)
            try:
                with connection:
                    connection.execute("PRAGMA synchronous=FULL").fetchall()
                    connection.execute(
                        "CREATE TABLE IF NOT EXISTS commands (n INTEGER PRIMARY KEY AUTOINCREMENT, "
                        "id TEXT UNIQUE, at REAL, verb TEXT, node TEXT, args TEXT)"
                    )
                    connection.execute("DELETE FROM commands WHERE at < ?", (now - _DAY,))
                    connection.execute(
                        "INSERT INTO commands (id, at, verb, node, args) VALUES (?,?,?,?,?)",
                        (command_id, now, verb, node, json.dumps(dict(args))),
                    )
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the command cannot be handed over through {self.path}",
                why=str(error),
                hint=_next(str(error), self.path.parent),
            ) from error
        return command_id


def _next(why: str, folder: Path) -> str:
    """What to do about a command file that cannot be written."""
    if "full" in why or "No space" in why:
        return f"make space: df -h {folder}"
    if "Read-only file system" in why:
        return f"remount it writable: mount | grep {folder}"
    return "run this as the user that runs the gateway"


class CommandWatch:
    """The gateway's side: what is new since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._seen = 0

    def look(self) -> list[Asked]:
        """Commands of the last half day that this watch has not returned before."""
        connection = self._open()
        if connection is None:
            return []
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return []
            found = connection.execute(
                "SELECT n, id, at, verb, node, args FROM commands WHERE n > ? AND at > ? ORDER BY n",
                (self._seen, time.time() - _DAY / 2),
            ).fetchall()
        except sqlite3.Error:
            self.close()  # the file was replaced or is being made; look again at the next turn
            return []
        self._version = version
        if found:
            self._seen = found[-1][0]
        return [Asked(*row[1:]) for row in found]

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._version = -1

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and self.path.exists():
            try:
                self._connection = sqlite3.connect(
                    f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0
                )
            except sqlite3.Error:
                return None
        return self._connection
