"""Single bits that rot in the database: what is noticed, what does no harm, and what nobody can promise.

A journal or outbox row carries a CRC of its topic and payload (rule 20), so that a wrong message is
never served. Everything else is SQLite's promise and no more: a flip that leaves its pages well
formed changes what it hits.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import StoreError
from gateway.store import journal, outbox
from gateway.store.backup.health import damage
from gateway.store.sqlite import open_writer
from tests.faults.power.child import DATABASE
from tests.faults.power.plan import Plan, migrate
from tests.faults.power.truth import TABLES

WRONG = "a wrong message would be served"
AT_START = "found at the start: the gateway goes back to a backup"
BY_CRC = "found by the row's CRC: a dead letter, the node is asked again"
READING = "found while reading"
NO_HARM = "no harm"
MISSING = "an earlier state, or rows are missing"
COLUMN = "another column of a message"
TABLE = "another table"
OPERATIONS = 120


class Content(NamedTuple):
    """What a store says."""

    messages: dict[int, journal.Row]
    parcels: dict[int, outbox.Parcel]
    others: dict[str, list[tuple[Any, ...]]]


class Rotting:
    """A store whose bits rot, one at a time."""

    def __init__(self, folder: Path, seed: int, *, wal: bool = False) -> None:
        """With `wal` the bits of the write-ahead log rot, else those of the database itself."""
        self._ever: dict[tuple[str, int], set[tuple[str, bytes]]] = {}
        self._place = folder / "state"
        self._place.mkdir(parents=True)
        self._dice = random.Random(f"flips {seed} {wal}")
        source = folder / "made" / DATABASE
        with closing(open_writer(source)) as connection:
            migrate(connection)
            if wal:  # what the checkpoint took is in the database, the rest in the log
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            for operation in Plan(seed, OPERATIONS).operations:
                connection.execute("BEGIN")
                operation(connection)
                connection.execute("COMMIT")
                self._note(_content(connection))
            if not wal:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._files = {p.name: p.read_bytes() for p in source.parent.iterdir() if not p.name.endswith("-shm")}  # fmt: skip
        self._target = f"{DATABASE}-wal" if wal else DATABASE
        self._lay_out(self._files)
        self._whole = self._read()

    def flip(self) -> str:
        """One bit, somewhere; what becomes of it."""
        data = bytearray(self._files[self._target])
        place = self._dice.randrange(len(data) * 8)
        data[place // 8] ^= 1 << place % 8
        self._lay_out({**self._files, self._target: bytes(data)})
        try:
            if damage(self._place / DATABASE, self._place / "backups"):
                return AT_START
            return self._compare(self._read())
        except StoreError:
            return AT_START
        except (sqlite3.Error, TypeError, ValueError, OverflowError):
            return READING

    def flips(self, count: int) -> Counter[str]:
        """So many, each on the whole store."""
        return Counter(self.flip() for _ in range(count))

    def _lay_out(self, files: dict[str, bytes]) -> None:
        for path in self._place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, data in files.items():
            (self._place / name).write_bytes(data)

    def _note(self, content: Content) -> None:
        for key, body in _bodies(content):
            self._ever.setdefault(key, set()).add(body)

    def _read(self) -> Content:
        with closing(sqlite3.connect(self._place / DATABASE)) as connection:
            return _content(connection)

    def _compare(self, found: Content) -> str:
        said = self._whole
        if any(not each.intact() for each in (*found.messages.values(), *found.parcels.values())):
            return BY_CRC
        if any(body not in self._ever.get(key, ()) for key, body in _bodies(found)):
            return WRONG
        if found == said:
            return NO_HARM
        if (
            found.messages.keys() != said.messages.keys()
            or found.parcels.keys() != said.parcels.keys()
        ):
            return MISSING
        same = (found.messages, found.parcels) == (said.messages, said.parcels)
        return TABLE if same else COLUMN


def _content(connection: sqlite3.Connection) -> Content:
    rows = connection.execute(f"SELECT {journal.COLUMNS} FROM journal").fetchall()
    others = {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
        for table in TABLES
    }
    parcels = {parcel.id: parcel for parcel in outbox.waiting(connection)}
    return Content({row[0]: journal.Row(*row) for row in rows}, parcels, others)


def _bodies(content: Content) -> Iterator[tuple[tuple[str, int], tuple[str, bytes]]]:
    """What each message says, under its number."""
    for row in content.messages.values():
        yield ("journal", row.id), (row.topic, row.payload)
    for parcel in content.parcels.values():
        yield ("outbox", parcel.id), (parcel.topic, parcel.body)
