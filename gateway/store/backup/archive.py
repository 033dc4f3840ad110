"""A backup: one zip file with the database, the settings, the keys they name, and what it says of itself.

Rules of this file. The database is copied by SQLite's own backup, from a snapshot, while anybody
writes; a copy that is not sound never becomes a backup. A file appears under its name when it is
whole and synced, never before. The number in the name gives the order: a board without a battery may
wake up in the past.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import sqlite3
import time
import zipfile
import zlib
from calendar import timegm
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.errors import DataError, StoreError
from gateway.failpoint import failpoint
from gateway.store.backup import redact
from gateway.store.backup.plan import DATABASE, Plan
from gateway.store.sqlite import open_reader, sync_folder

FORMAT = 1
FOLDER = "backups"
MANIFEST = "backup.json"
STATE_FILES = ("client_id", "broker.mode")
"""Small files of the state folder without which the gateway would be another one to its broker."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What `zipfile` raises over a file that is not what it was."""
_NAME = re.compile(r"gateway-(\d{6})-(\d{8}T\d{6}Z)-([a-z]+)\.zip")


@dataclass(frozen=True)
class Member:
    """One file in a backup; `path` says where it came from, empty in the state folder."""

    name: str
    size: int
    crc: int
    path: str = ""
    mode: int = 0o600


@dataclass(frozen=True)
class Backup:
    """What a backup says of itself. Times are seconds since 1970, sizes bytes."""

    file: Path
    kind: str
    created_at: float
    version: str
    host: str
    state_dir: str
    schema: int
    nodes: int
    secrets: bool
    members: tuple[Member, ...] = ()
    left_out: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def number(self) -> int:
        """Its place in the order of its folder; 0 for a name that somebody gave."""
        found = _NAME.fullmatch(self.file.name)
        return int(found[1]) if found else 0


def create(plan: Plan, folder: Path, file: Path | None = None) -> Backup:
    """Make a backup in `folder` under a name of its own, or as `file`.

    Raises StoreError where the store cannot be read or the disk is full, DataError where the store
    is damaged or `file` is there already.
    """
    if file is not None and file.exists():
        raise DataError(
            f"{file} is there already",
            why="a backup is never written over another file",
            hint="take another name",
        )
    target = file.parent if file is not None else folder
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(target):
            return _create(plan, target, file or target / _next_name(target, plan.kind))
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreError(
            f"the backup cannot be written to {target}",
            why=f"{getattr(error, 'filename', None) or target}: "
            f"{getattr(error, 'strerror', None) or error}",
            hint="make space there or name another place: gateway backup create -o FILE",
        ) from error


def _create(plan: Plan, folder: Path, file: Path) -> Backup:
    part, copy = folder / f".{file.name}.part", folder / f".{file.name}.db.part"
    try:
        schema, nodes = _copy(plan, copy)
        failpoint("backup.copied")
        members = []
        with part.open("xb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as zipped:
                members.append(_put(zipped, DATABASE, copy))
                members += _put_files(zipped, plan)
                made = Backup(
                    file, plan.kind, time.time(), __version__, socket.gethostname(),
                    str(plan.state_dir.resolve()), schema, nodes, plan.secrets, tuple(members),
                    tuple(plan.left_out),
                )  # fmt: skip
                says = {k: v for k, v in asdict(made).items() if k != "file"}
                zipped.writestr(MANIFEST, json.dumps(says, indent=1))
            raw.flush()
            os.fsync(raw.fileno())
        failpoint("backup.written")
        os.replace(part, file)
        sync_folder(folder)
        failpoint("backup.named")
        return made
    finally:
        for left in (part, copy, Path(f"{copy}-journal")):
            left.unlink(missing_ok=True)


def _copy(plan: Plan, copy: Path) -> tuple[int, int]:
    """The database as it is at one moment; its schema and its number of nodes."""
    path = plan.state_dir / DATABASE
    copy.touch(mode=0o600)
    with closing(open_reader(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE").fetchall()
        trouble = unsound(target)
        if trouble:
            raise DataError(
                f"{path} is damaged and was not backed up",
                why=trouble,
                hint="restart the gateway: it goes back to the last good backup by itself",
            )
        if not plan.secrets:
            redact.strip(target)
        (schema,) = target.execute("PRAGMA user_version").fetchone()
        (nodes,) = target.execute("SELECT count(*) FROM nodes").fetchone()
        return int(schema), int(nodes)


def unsound(connection: sqlite3.Connection, check: str = "quick_check") -> str:
    """What SQLite finds wrong with a database; "" where nothing is."""
    try:
        (found,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return str(error)
    return "" if found == "ok" else str(found).replace("\n", " ")


def _put_files(zipped: zipfile.ZipFile, plan: Plan) -> Iterator[Member]:
    for name in STATE_FILES:
        if (plan.state_dir / name).is_file():
            yield _put(zipped, f"state/{name}", plan.state_dir / name)
    for number, path in enumerate(plan.files):
        yield _put(zipped, f"files/{number:02}-{path.name}", path, plan.texts.get(path))


def _put(zipped: zipfile.ZipFile, name: str, path: Path, text: str | None = None) -> Member:
    if text is not None:
        zipped.writestr(name, text)
    else:
        zipped.write(path, name)
    info = zipped.getinfo(name)
    outside = str(path.resolve()) if name.startswith("files/") else ""
    mode = 0o600 if name == DATABASE else path.stat().st_mode & 0o777
    return Member(name, info.file_size, info.CRC, outside, mode)


def read(file: Path) -> Backup:
    """What a backup says of itself, without looking at the rest.

    Raises DataError for a file that is none, StoreError for one that cannot be read.
    """
    with opened(file) as zipped:
        return manifest(file, zipped)


def manifest(file: Path, zipped: zipfile.ZipFile) -> Backup:
    try:
        says: dict[str, Any] = json.loads(zipped.read(MANIFEST))
        if says["format"] > FORMAT:
            raise DataError(
                f"{file} has format {says['format']}, this gateway knows {FORMAT}",
                why="a newer gateway made it",
                hint="install that version",
            )
        says["members"] = tuple(Member(**member) for member in says["members"])
        says["left_out"] = tuple(says["left_out"])
        return Backup(file=file, **says)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file, f"it does not say what it is ({error})") from error


@contextmanager
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """The backup as a zip. What is damaged is a DataError, also while it is read from."""
    try:
        with zipfile.ZipFile(file) as zipped:
            yield zipped
    except _BROKEN as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"{file} cannot be read", why=error.strerror or str(error), hint="gateway backup list"
        ) from error


def _damaged(file: Path, why: str) -> DataError:
    return DataError(f"{file} is no backup, or a damaged one", why=why, hint="gateway backup list")


def listed(folder: Path) -> list[Path]:
    """The backups in a folder, the newest first."""
    found = [path for path in folder.glob("*.zip") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name, reverse=True)


def prune(folder: Path, kind: str, keep: int) -> list[Path]:
    """Remove the oldest of one kind so that `keep` are left, at least one; returns those removed."""
    mine = [path for path in listed(folder) if path.name.endswith(f"-{kind}.zip")]
    gone = mine[max(1, keep) :]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def made_at(path: Path) -> float:
    """When a listed backup was made, by its name."""
    found = _NAME.fullmatch(path.name)
    assert found is not None
    moment = time.strptime(found[2], "%Y%m%dT%H%M%SZ")
    return float(timegm(moment))


def _next_name(folder: Path, kind: str) -> str:
    newest = listed(folder)[:1]
    number = int(newest[0].name.split("-")[1]) + 1 if newest else 1
    return f"gateway-{number:06}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{kind}.zip"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One backup at a time in a folder; what one that was killed left half done goes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left in _parts(folder):
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)


def _parts(folder: Path) -> Iterable[Path]:
    return [p for p in folder.glob(".gateway-*.part*") if p.is_file()]
