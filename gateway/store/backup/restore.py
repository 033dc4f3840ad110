"""Looking a backup over, and putting it back.

Rules of this file. Nothing is touched before the whole backup was found good; what is in the way is
moved aside and kept. The database comes last: without it nothing was restored, and it can be tried
again. What a restored store must not do a second time is settled before anybody opens it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from gateway.errors import DataError, StoreError
from gateway.failpoint import failpoint
from gateway.store.backup import archive
from gateway.store.backup.archive import Backup, Member
from gateway.store.backup.plan import DATABASE
from gateway.store.journal import checksum
from gateway.store.sqlite import sync_folder

_BESIDE = ("", "-wal", "-shm")
_OF_ANOTHER = (
    f"{DATABASE}-wal", f"{DATABASE}-shm", "commands.db", "commands.db-journal", "running", "trying",
)  # fmt: skip
"""What belongs to another store than the restored one, and would be applied to it."""


class Verdict(NamedTuple):
    """What a look at a backup found. `rows` were compared with their CRC, `damaged` differ."""

    backup: Backup
    rows: int
    damaged: int


def verify(file: Path) -> Verdict:
    """Look at everything in a backup. Raises DataError for one that cannot be restored."""
    with archive.opened(file) as zipped, unpacked(file, zipped) as (found, database):
        rows = damaged = 0
        with closing(sqlite3.connect(database)) as connection:
            trouble = archive.unsound(connection, "integrity_check")
            if trouble:
                raise DataError(
                    f"the database in {file} is damaged", why=trouble, hint="gateway backup list"
                )
            for sql in (
                "SELECT crc, topic, payload FROM journal",
                "SELECT crc, topic, body FROM outbox",
            ):
                for crc, topic, body in connection.execute(sql):
                    rows += 1
                    damaged += crc != checksum(topic, body)
        return Verdict(found, rows, damaged)


def restore(file: Path, folder: Path, *, force: bool = False) -> list[Path]:
    """Put a backup back; returns the files written. `folder` is the state folder.

    The caller holds the folder's lock. Raises DataError where the backup is damaged, StoreError
    where something is in the way (with `force` it is moved aside) or the disk does not take it.
    """
    try:
        with archive.opened(file) as zipped, unpacked(file, zipped, folder) as (found, database):
            settle(database)
            places = {member: _place(member, folder) for member in found.members}
            in_the_way = [p for m, p in places.items() if _differs(zipped, m, p)]
            if in_the_way and not force:
                raise StoreError(
                    f"{', '.join(map(str, in_the_way))} would be overwritten",
                    why="it is there already and differs from the backup",
                    hint="gateway backup restore FILE --force moves it aside and keeps it",
                )
            aside(folder, in_the_way, "before-restore")
            for member, place in places.items():
                if member.name != DATABASE:
                    _write(zipped, member, place)
            failpoint("restore.files")
            for name in _OF_ANOTHER:
                _keep_as(folder / name, "before-restore")
            os.replace(database, folder / DATABASE)
            sync_folder(folder)
            failpoint("restore.done")
            return list(places.values())
    except OSError as error:
        raise StoreError(
            f"the backup cannot be put back to {folder}",
            why=f"{error.filename or file}: {error.strerror or error}",
            hint="make the place writable for this user, or name another one with --state-dir",
        ) from error


def settle(database: Path) -> None:
    """A restored store goes on, and repeats nothing: what waited to be sent is not sent any more
    (receipts and configs are repeated by those who need them, a dose of yesterday is not given
    today), commands are not done again, and messages that waited are marked as replayed."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM outbox")
        connection.execute("UPDATE journal SET state = 1 WHERE state = 0 AND class = 'command'")
        connection.execute("UPDATE journal SET flags = flags | 4 WHERE state <> 1")
        connection.execute(
            "DELETE FROM delivery WHERE state = 'open' AND journal_id IN "
            "(SELECT id FROM journal WHERE class = 'command')"
        )


@contextmanager
def unpacked(
    file: Path, zipped: zipfile.ZipFile, folder: Path | None = None
) -> Iterator[tuple[Backup, Path]]:
    """Compare every member with the manifest, and lay the database out as a file of its own.

    Raises DataError for what differs.
    """
    found = archive.manifest(file, zipped)
    stated = {member.name: (member.size, member.crc) for member in found.members}
    inside = {i.filename: (i.file_size, i.CRC) for i in zipped.infolist()}
    inside.pop(archive.MANIFEST, None)
    broken = zipped.testzip()
    if broken or stated != inside or DATABASE not in stated:
        raise DataError(
            f"{file} is damaged",
            why=f"{broken or 'what it holds'} is not what its list says",
            hint="gateway backup list",
        )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as room:
        database = Path(room, DATABASE)
        with zipped.open(DATABASE) as source, database.open("xb") as target:
            os.fchmod(target.fileno(), 0o600)
            _pour(source, target)
        yield found, database


def aside(folder: Path, paths: list[Path], word: str) -> list[Path]:
    """Move files out of the way under a name with `word` and the time; returns the new names."""
    moved = []
    for path in paths:
        is_database = path == folder / DATABASE
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        new = _free(path, f"{word}-{stamp}")
        for ending in _BESIDE if is_database else ("",):
            old = Path(f"{path}{ending}")
            if old.exists():
                os.replace(old, f"{new}{ending}")
        sync_folder(path.parent)
        moved.append(new)
    return moved


def _keep_as(path: Path, word: str) -> None:
    if path.exists():
        os.replace(path, f"{path}.{word}")


def _free(path: Path, word: str) -> Path:
    new, number = Path(f"{path}.{word}"), 1
    while new.exists():
        number += 1
        new = Path(f"{path}.{word}-{number}")
    return new


def _place(member: Member, folder: Path) -> Path:
    if member.path:
        return Path(member.path)
    return folder / Path(member.name).name


def _differs(zipped: zipfile.ZipFile, member: Member, place: Path) -> bool:
    if not place.exists():
        return False
    return member.name == DATABASE or place.read_bytes() != zipped.read(member.name)


def _write(zipped: zipfile.ZipFile, member: Member, place: Path) -> None:
    if place.exists():
        return  # the same bytes
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    with zipped.open(member.name) as source, part.open("wb") as target:
        os.fchmod(target.fileno(), member.mode & 0o777)
        _pour(source, target)
    os.replace(part, place)
    sync_folder(place.parent)


def _pour(source: IO[bytes], target: IO[bytes]) -> None:
    shutil.copyfileobj(source, target)
    target.flush()
    os.fsync(target.fileno())
