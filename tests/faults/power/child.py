"""The process that is traced: a plan's operations through the gateway's own writer.

It says on its standard output, one line for each system call: `begun K` before operation K is handed
to the writer, `acknowledged K` when the writer has answered, which is where the gateway sends a
PUBACK; `trouble` and `mended` as the operator would read them; `refused TEXT` where the gateway would
not start; `hopeless` where the disk was given up; `done` at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import StoreError
from gateway.store import sqlite
from gateway.store.lock import StateLock
from gateway.store.reader import Reader
from gateway.store.sqlite import Connection, explained, open_writer
from gateway.store.writer import Writer
from tests.faults.power.plan import Plan, migrate

FOLDER, DATABASE = "state", "gateway.db"


class Job(NamedTuple):
    """What one process does: operations of a plan, those behind `first` up to `last`, on a store below `root`."""

    root: str
    seed: int
    last: int
    first: int = 0
    synchronous: str = "FULL"
    pages: int = 40
    """Pages in the WAL that start a checkpoint; the gateway's own 2,000 make long runs."""
    lives: int = 1
    """How often the store is opened: the operations are spread over so many runs."""
    reader: bool = True
    """Whether another connection reads all the while, as in the gateway."""
    cold: bool = False
    """The store is there; the writer's own thread opens it, as it does after trouble."""
    names: bool = True
    """False leaves out what makes the names of new files and folders durable: a negative control."""
    attempts: int = 0
    """Give up after so many openings: for disks that never work again. 0: never."""
    swallow: bool = False
    """Acknowledge although the commit failed: a negative control."""

    @property
    def folder(self) -> Path:
        """The state folder."""
        return Path(self.root) / FOLDER


def say(text: str) -> None:
    """One line, one system call, so that its place among the others is known."""
    os.write(1, f"{text}\n".encode())


class Lives:
    """All runs of one store."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._path = job.folder / DATABASE
        self._operations = Plan(job.seed, job.last).operations
        self._dice = random.Random(f"pace {job.seed} {job.first}")
        self._loop = asyncio.get_running_loop()
        self._hopeless: asyncio.Future[None] = self._loop.create_future()
        self._opened = 0

    async def run(self) -> None:
        """Every operation, each in its life."""
        job = self._job
        numbers = range(job.first + 1, job.last + 1)
        size = -(-len(numbers) // job.lives) or 1
        for begin in range(0, len(numbers) or 1, size):
            StateLock(job.folder).take()
            await self._live(numbers[begin : begin + size])

    async def _live(self, numbers: range) -> None:
        reader = Reader(self._path)
        writer = Writer(self._open, on_trouble=_tell)
        writer.start(self._broken() if self._job.cold else self._migrated())
        if self._job.reader:
            _read_on(reader)
        waiting: set[asyncio.Future[Any]] = set()
        for number in numbers:
            say(f"begun {number}")
            future = writer.submit(self._operations[number - 1])
            future.add_done_callback(partial(_acknowledge, number))
            waiting.add(future)
            if len(waiting) > self._dice.choice((0, 0, 1, 4, 8)):
                waiting = await self._next(waiting)
        while waiting:
            waiting = await self._next(waiting)
        await writer.close()
        reader.close()

    async def _next(self, waiting: set[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
        done, rest = await asyncio.wait(
            {*waiting, self._hopeless}, return_when=asyncio.FIRST_COMPLETED
        )
        if self._hopeless in done:
            say("hopeless")
            os._exit(0)
        return rest - {self._hopeless}

    def _open(self) -> Connection:
        self._opened += 1
        if self._opened == self._job.attempts:
            self._loop.call_soon_threadsafe(self._hopeless.set_result, None)
        connection = open_writer(self._path, self._job.synchronous)
        connection.execute(f"PRAGMA wal_autocheckpoint={self._job.pages}").fetchall()
        return connection

    def _migrated(self) -> Connection:
        with explained(self._path):  # as the gateway's own start
            connection = self._open()
            migrate(connection)
        return connection

    @staticmethod
    def _broken() -> Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.close()
        return connection


def _read_on(reader: Reader) -> None:
    for _ in range(
        3
    ):  # an error that was meant for the writer may hit us; reading is not what is tried
        with suppress(StoreError):
            reader.connection()
            return


def _leave_out(folder: Path) -> None:
    """In the place of what would sync this folder."""


def _swallow_errors() -> None:
    commit = Writer._commit

    def careless(writer: Writer, group: list[Any]) -> list[Any]:
        try:
            return commit(writer, group)
        except sqlite3.Error:
            connection = writer._connection
            if connection is not None and connection.in_transaction:
                connection.execute("ROLLBACK")
            return [None] * len(group)

    Writer._commit = careless  # type: ignore[method-assign] # that is the defect


def _tell(error: Exception | None) -> None:
    say("mended" if error is None else "trouble")


def _acknowledge(number: int, done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and done.exception() is None:
        say(f"acknowledged {number}")


async def main(job: Job) -> None:
    """Do the job; a start that the gateway refuses is said, as its command line would."""
    if not job.names:
        sqlite.sync_folder = _leave_out
    if job.swallow:
        _swallow_errors()
    try:
        await Lives(job).run()
    except StoreError as error:
        say(f"refused {error}")
    else:
        say("done")


if __name__ == "__main__":
    asyncio.run(main(Job(*json.loads(sys.argv[1]))))
