"""Opening SQLite the way the promise needs it (DESIGN §5).

`synchronous` belongs to a connection, not to the file, and a pragma that is not fetched can swallow
an error: every pragma here is read back. A file made anew is only safe once its folder is synced,
and a folder once the one above it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.errors import StoreError
from gateway.failpoint import failpoint

Connection = sqlite3.Connection
Error = sqlite3.Error
_STEPS = 100_000
LEVELS = {"OFF": 0, "NORMAL": 1, "FULL": 2}


def open_writer(path: Path, synchronous: str = "FULL") -> Connection:
    """The connection that writes; only the writer's thread uses it.

    Raises StoreError where the file is no database, or cannot be made or written.
    """
    try:
        make_private(path)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=5.0
        )
        failpoint("store.connected")
        try:
            _expect(connection, "PRAGMA journal_mode=WAL", "wal")
            connection.execute(f"PRAGMA synchronous={synchronous}").fetchall()
            _expect(connection, "PRAGMA synchronous", LEVELS[synchronous])
            connection.execute("PRAGMA wal_autocheckpoint=2000").fetchall()
            connection.execute("PRAGMA cache_size=-8192").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        failpoint("store.made")
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise _explain(path, error) from error
    return connection


def open_reader(path: Path) -> Connection:
    """A read-only connection; each thread needs its own. Raises StoreError where there is none."""
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0
        )
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        if not path.exists():
            raise StoreError(
                f"there is no database at {path}",
                why=str(error),
                hint="start the gateway once (gateway run), or name another folder with --state-dir",
            ) from error
        raise _explain(path, error) from error
    return connection


def make_private(path: Path) -> None:
    """Make the file, and its folder, for this user alone: secrets of nodes and networks lie in it.

    What is there already keeps the modes that its owner gave it. Raises OSError.
    """
    make_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o600))


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder, and those above it, so that their names survive a power cut. Raises OSError.

    One that is there may be the work of a run that was killed before it could sync the name, so the
    name is synced in any case; where the folder above may not be read it is somebody else's work.
    """
    if not folder.exists():
        make_folder(folder.parent, 0o777)
        folder.mkdir(exist_ok=True, mode=mode)
    with contextlib.suppress(PermissionError):
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# primary result codes that tell of the disk or of a neighbour, never of somebody's SQL
_TROUBLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def is_trouble(error: Exception) -> bool:
    """True for trouble with the disk (tried for ever), False for a wrong statement (a failure)."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return not isinstance(
            error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError
        )
    return (code & 0xFF) in _TROUBLE


class UndoneError(Exception):
    """A statement has ended the transaction of everybody (`OR ROLLBACK`, or one that took too long)."""


@contextlib.contextmanager
def at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """Interrupt what runs longer; SQLite then rolls the whole transaction back."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def rows(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(sql, parameters).fetchall()


def _expect(connection: Connection, pragma: str, wanted: object) -> None:
    got = connection.execute(pragma).fetchone()
    if got is None or got[0] != wanted:
        raise sqlite3.OperationalError(f"{pragma} answered {got}, not {wanted}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the disk says while a database is made ready is a StoreError, for a person to read."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, sqlite3.Error) and not is_trouble(error):
            raise
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"{path} is not a usable SQLite database",
            why=text,
            hint="start the gateway (gateway run): it sets the file aside and takes the last backup",
        )
    return unwritable(path, text)


def unwritable(path: Path, text: str) -> StoreError:
    """The error for a database that cannot be used where it is."""
    return StoreError(
        f"the database {path} cannot be opened for writing",
        why=text,
        hint=f"make {path.parent} writable for this user, or name another folder with --state-dir",
    )
