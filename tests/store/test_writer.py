"""The writer: group commit, and what it does when the disk or an operation fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.store.sqlite import open_writer
from gateway.store.writer import Writer


def in_writer(path: Path, body: Callable[[Writer], Any], **options: Any) -> Any:
    """Run an async body with a started writer on a table `t`."""

    async def run() -> Any:
        connection = open_writer(path)
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)")
        writer = Writer(options.pop("open_", lambda: open_writer(path)), **options)
        writer.start(options.get("connection", connection))
        try:
            return await body(writer)
        finally:
            await writer.close()

    return asyncio.run(run())


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    finally:
        connection.close()


def insert(n: int) -> Callable[[sqlite3.Connection], int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT OR IGNORE INTO t VALUES (?)", (n,))
        return n

    return operation


def test_what_arrives_during_a_commit_shares_the_next_one(tmp_path: Path) -> None:
    """A thousand operations submitted at once need far fewer commits than operations."""

    async def body(writer: Writer) -> tuple[list[int], int]:
        futures = [writer.submit(insert(n)) for n in range(1000)]
        return await asyncio.gather(*futures), writer.commits

    results, commits = in_writer(tmp_path / "x.db", body)
    assert results == list(range(1000))
    assert commits <= 10
    assert count(tmp_path / "x.db") == 1000


def test_an_operation_that_raises_costs_only_itself(tmp_path: Path) -> None:
    """Neighbours of a failing operation in its group are committed, and it leaves no trace."""

    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (99)")
        raise ValueError("mine")

    async def body(writer: Writer) -> list[Any]:
        futures = [writer.submit(insert(1)), writer.submit(bad), writer.submit(insert(2))]
        return await asyncio.gather(*futures, return_exceptions=True)

    results = in_writer(tmp_path / "x.db", body)
    assert results[0] == 1
    assert results[2] == 2
    assert isinstance(results[1], ValueError)
    assert count(tmp_path / "x.db") == 2


def test_a_wrong_statement_is_no_trouble_with_the_disk(tmp_path: Path) -> None:
    """A constraint that fails is the operation's failure, not a reason to try for ever."""

    def twice(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO t VALUES (1)")

    async def body(writer: Writer) -> list[Any]:
        return await asyncio.gather(writer.submit(twice), return_exceptions=True)

    assert isinstance(in_writer(tmp_path / "x.db", body)[0], sqlite3.IntegrityError)


class FailingCommit:
    """A connection whose COMMIT does its work and then reports an error, `times` times: the
    unknown outcome of rule 19."""

    def __init__(self, real: sqlite3.Connection, left: list[int]) -> None:
        self._real = real
        self._left = left

    def execute(self, sql: str, *args: Any) -> Any:
        result = self._real.execute(sql, *args)
        if sql == "COMMIT" and self._left[0] > 0:
            self._left[0] -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return result

    def close(self) -> None:
        self._real.close()


def test_a_commit_that_failed_is_taken_again_on_a_new_connection(tmp_path: Path) -> None:
    """After a COMMIT of unknown outcome nobody is told anything until the group is surely there."""
    path = tmp_path / "x.db"
    left = [2]
    opened: list[int] = []
    told: list[Exception | None] = []

    def open_() -> Any:
        opened.append(1)
        return FailingCommit(open_writer(path), left)

    async def run() -> list[int]:
        first = open_writer(path)
        first.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        writer = Writer(open_, on_trouble=told.append)
        writer.start(FailingCommit(first, left))  # type: ignore[arg-type] # only execute and close are used
        results = await asyncio.gather(*(writer.submit(insert(n)) for n in range(5)))
        await writer.close()
        return results

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]
    assert len(opened) == 2
    assert [error is not None for error in told] == [True, False]
    assert count(path) == 5


def test_closing_commits_what_is_queued(tmp_path: Path) -> None:
    """`close` loses nothing that was submitted before it."""

    async def body(writer: Writer) -> None:
        for n in range(200):
            writer.submit(insert(n))

    in_writer(tmp_path / "x.db", body)
    assert count(tmp_path / "x.db") == 200


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    """Submitting after `close` is a mistake that is said at once."""

    async def body(writer: Writer) -> None:
        await writer.close()
        with pytest.raises(RuntimeError, match="closed"):
            writer.submit(insert(1))

    in_writer(tmp_path / "x.db", body)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError("none left")])
def test_whatever_fails_in_a_commit_the_writer_lives(tmp_path: Path, error: Exception) -> None:
    """Not only SQLite can fail: the group is taken again, on a new connection, and nobody is told of
    anything before it is there. A writer that ended would hold everybody up without a word."""
    path = tmp_path / "x.db"
    left = [2]

    class Failing(FailingCommit):
        def execute(self, sql: str, *args: Any) -> Any:
            if sql == "COMMIT" and left[0] > 0:
                left[0] -= 1
                raise error
            return self._real.execute(sql, *args)

    async def run() -> list[int]:
        first = open_writer(path)
        first.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        writer = Writer(lambda: Failing(open_writer(path), left))  # type: ignore[arg-type,return-value] # the same
        writer.start(Failing(first, left))  # type: ignore[arg-type] # only execute and close are used
        async with asyncio.timeout(20):
            results = await asyncio.gather(*(writer.submit(insert(n)) for n in range(5)))
        await writer.close()
        return results

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]
    assert count(path) == 5
