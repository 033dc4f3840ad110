"""A store that is damaged: found at the start, set aside, never deleted, and gone back from.

Rules of this file. Damage is what SQLite says about the file; a disk that does not answer is no
damage and moves nothing. What was acknowledged and is still readable in the damaged file is taken
over. What happened stands beside the file that was set aside, for `gateway status` and for a person.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.errors import DataError, StoreError
from gateway.failpoint import failpoint
from gateway.store import journal, migrations
from gateway.store.backup import archive
from gateway.store.backup.plan import DATABASE
from gateway.store.backup.restore import aside, settle, unpacked
from gateway.store.sqlite import Connection, sync_folder, unwritable

_COMMANDS = "commands.db"
_SETTLED = ("journal", "latest")


class Healed(NamedTuple):
    """What was done about a damaged store. `file` is None where a new one was begun."""

    why: str
    kept: Path
    file: Path | None
    made_at: float = 0.0

    def __str__(self) -> str:
        if self.file is None:
            now = "there was no backup, so a new one was begun: nodes register themselves again"
        else:
            made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.made_at))
            now = f"went back to {self.file.name} of {made}"
        return f"the database was damaged ({self.why}); it is kept as {self.kept.name}; {now}"


def damage(path: Path, backups: Path) -> str:
    """Why the store at `path` cannot be used, "" where it can. Raises StoreError where the disk does
    not answer, or somebody else holds the file."""
    if not path.exists():
        return ""
    if path.stat().st_size == 0:
        # SQLite takes an empty file for a new one, and deletes the WAL that lies beside it
        wal = Path(f"{path}-wal")
        was_used = archive.listed(backups) or (wal.exists() and wal.stat().st_size)
        return "the file is empty" if was_used else ""
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as connection:
            return archive.unsound(connection)
    except sqlite3.OperationalError as error:
        raise unwritable(path, str(error)) from error


def heal(path: Path, backups: Path, why: str) -> Healed:
    """Set the damaged store aside and put the newest good backup in its place, if there is one."""
    folder = path.parent
    kept = _set_aside(path)
    failpoint("health.aside")
    for file in archive.listed(backups):
        try:
            made_at = _put_back(file, folder)
        except (DataError, StoreError):
            continue  # an older one may be good
        if made_at is not None:
            return _told(Healed(why, kept, file, made_at))
    return _told(Healed(why, kept, None))


def _set_aside(path: Path) -> Path:
    commands = path.parent / _COMMANDS
    if commands.exists():  # commands that the lost store had done would be done again
        os.replace(commands, f"{commands}.corrupt")
    (kept,) = aside(path.parent, [path], "corrupt")
    return kept


def _put_back(file: Path, folder: Path) -> float | None:
    with archive.opened(file) as zipped, unpacked(file, zipped, folder) as (found, database):
        if not found.secrets or found.schema > migrations.newest():
            return None
        with closing(sqlite3.connect(database)) as connection:
            if archive.unsound(connection):
                return None
        settle(database)
        os.replace(database, folder / DATABASE)
        sync_folder(folder)
        return found.created_at


def _told(healed: Healed) -> Healed:
    note = Path(f"{healed.kept}.txt")
    note.write_text(f"{healed}\n")
    return healed


def told(folder: Path) -> list[str]:
    """What was done about damaged stores whose files are still there, the newest first."""
    notes = sorted(folder.glob(f"{DATABASE}.corrupt-*.txt"), reverse=True)
    return [note.read_text(errors="replace").strip() for note in notes]


def take_over(connection: Connection, healed: Healed) -> int:
    """Copy what was acknowledged and not done from the damaged file, as far as it can be read, and
    say in the journal what happened; returns the number of messages."""
    found: dict[int, journal.Row] = {}
    for direction in ("ASC", "DESC"):  # from both ends, so that one bad page costs what is on it
        found |= _waiting(healed.kept, direction)
    connection.execute("BEGIN IMMEDIATE")
    before = connection.total_changes
    journal.add(connection, [found[number] for number in sorted(found)])
    taken = connection.total_changes - before
    body = {"what": str(healed), "taken_over": taken}
    _say(connection, json.dumps(body).encode())
    connection.execute("COMMIT")
    failpoint("health.taken_over")
    return taken


def _waiting(damaged: Path, direction: str) -> dict[int, journal.Row]:
    rows: dict[int, journal.Row] = {}
    try:
        with closing(sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)) as source:
            for row in source.execute(
                f"SELECT {journal.COLUMNS} FROM journal NOT INDEXED WHERE state = 0 "
                f"ORDER BY id {direction}"
            ):
                kept = journal.Row(*row)
                if kept.klass in _SETTLED and isinstance(kept.payload, bytes) and kept.intact():
                    rows[kept.id] = kept
    except (sqlite3.Error, TypeError, ValueError, AttributeError):
        return rows  # here the damage begins
    return rows


def _say(connection: Connection, payload: bytes) -> None:
    topic = "$gateway/store"
    connection.execute(
        "INSERT INTO journal (id, at, observed, session, class, kind, lane, topic, payload, crc, state) "
        "SELECT coalesce(max(id), 0) + 1, ?, 0, 'host', 'journal', 'store', '$gateway', ?, ?, ?, 1 "
        "FROM journal",
        (time.time(), topic, payload, journal.checksum(topic, payload)),
    )
