"""The journal's SQL: take in, read on, mark done, retry, park, prune.

Functions over a connection, each safe to run a second time with the same arguments (rule 19): ids
are given out by the gateway before the commit, so a row that is there already is recognised.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gateway.failpoint import failpoint
from gateway.store.sqlite import Connection

WAITING, DONE, GATHERED = 0, 1, 2
BACKLOG, RETAINED, REPLAYED = 1, 2, 4
LEAST = 5000
"""Rows that pruning leaves: a broker keeps 1,000 for each of our two sessions by our own settings, and each of
them may have made a row that tells plugins what it changed."""

COLUMNS = "id, at, observed, session, class, kind, lane, topic, payload, crc, flags, copies, first_seq, dedupe"
_LANE_OF = (
    "SELECT coalesce(hardware_id, uid) FROM nodes "
    "WHERE id = (SELECT node_id FROM node_names WHERE name = ?)"
)
_INSERT = f"INSERT OR IGNORE INTO journal ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


class Row(NamedTuple):
    """A row of the journal, in the order of its columns."""

    id: int
    at: float
    observed: float
    session: str
    klass: str
    kind: str
    lane: str
    topic: str
    payload: bytes
    crc: int
    flags: int = 0
    copies: int = 1
    first_seq: int = 0
    dedupe: bytes | None = None

    def intact(self) -> bool:
        """False where the bytes are not those that were written (rule 20)."""
        sound = isinstance(self.topic, str) and isinstance(self.payload, bytes)
        return sound and self.crc == checksum(self.topic, self.payload)


class Refused(NamedTuple):
    """A message that was not taken."""

    id: int
    at: float
    topic: str
    payload: bytes
    word: str
    detail: str


def checksum(topic: str, payload: bytes) -> int:
    """The CRC32 that a journal or outbox row carries."""
    return zlib.crc32(payload, zlib.crc32(topic.encode("utf-8", "surrogatepass") + b"\0"))


def add(connection: Connection, rows: Sequence[Row]) -> set[int]:
    """Insert rows; returns the ids of those that are duplicates of another row (same dedupe key)."""
    before = connection.total_changes
    connection.executemany(_INSERT, rows)
    failpoint("journal.added")
    if connection.total_changes - before == len(rows):
        return set()
    kept = {
        row.id
        for row in rows
        if connection.execute("SELECT 1 FROM journal WHERE id = ?", (row.id,)).fetchone()
    }
    return {row.id for row in rows} - kept


def refuse(connection: Connection, rows: Iterable[Refused], keep: int = 1_000_000) -> None:
    """Keep refused messages, the newest `keep` of them."""
    connection.executemany("INSERT OR IGNORE INTO refused VALUES (?,?,?,?,?,?)", rows)
    failpoint("journal.refused")
    connection.execute("DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (keep,))


def mark(connection: Connection, journal_id: int, state: int, answer: str | None = None) -> None:
    """A row's new state, and the answer where it is a command."""
    connection.execute(
        "UPDATE journal SET state = ?, answer = coalesce(?, answer) WHERE id = ?",
        (state, answer, journal_id),
    )


def answer(connection: Connection, journal_id: int, text: str) -> None:
    """The answer to a command that took its time."""
    connection.execute("UPDATE journal SET answer = ? WHERE id = ?", (text, journal_id))


def state_of(connection: Connection, journal_id: int) -> int | None:
    """The row's state, None where there is no such row."""
    row = connection.execute("SELECT state FROM journal WHERE id = ?", (journal_id,)).fetchone()
    return None if row is None else int(row[0])


def waiting_lanes(connection: Connection) -> list[tuple[str, int, int]]:
    """(lane, first id, number) of everything that waits, oldest lane first."""
    return connection.execute(
        "SELECT lane, min(id), count(*) FROM journal WHERE state = 0 GROUP BY lane ORDER BY 2"
    ).fetchall()


def next_of_lane(connection: Connection, lane: str, after: int, limit: int) -> list[Row]:
    """The lane's next waiting rows behind `after`, in order."""
    return [
        Row(*row)
        for row in connection.execute(
            f"SELECT {COLUMNS} FROM journal WHERE state = 0 AND lane = ? AND id > ? "
            "ORDER BY id LIMIT ?",
            (lane, after, limit),
        )
    ]


def get(connection: Connection, journal_id: int) -> Row | None:
    """One row."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM journal WHERE id = ?", (journal_id,)
    ).fetchone()
    return None if row is None else Row(*row)


def move_lane(connection: Connection, old: str, new: str) -> None:
    """A node got its final name: what waits under the old one goes on under the new one."""
    connection.execute("UPDATE journal SET lane = ? WHERE lane = ? AND state = 0", (new, old))
    failpoint("journal.lane_moved")
    connection.execute("UPDATE delivery SET lane = ? WHERE lane = ?", (new, old))


class Delivery(NamedTuple):
    """A delivery that failed or is late: a row of `delivery`."""

    journal_id: int
    plugin: str
    lane: str
    state: str
    attempts: int
    next_at: float
    error: str


def put_delivery(connection: Connection, delivery: Delivery) -> None:
    """Write a delivery's row anew, in the lane that its node has by now."""
    lane = delivery.lane
    found = connection.execute(_LANE_OF, (lane,)).fetchone()
    if found is not None:
        lane = found[0].lower()
    row = delivery._replace(lane=lane)
    connection.execute("INSERT OR REPLACE INTO delivery VALUES (?,?,?,?,?,?,?)", row)
    failpoint("delivery.put")


def begin_attempt(connection: Connection, journal_id: int, plugin: str, attempts: int) -> None:
    """An open delivery is about to be tried for the so-manieth time."""
    connection.execute(
        "UPDATE delivery SET attempts = ? WHERE journal_id = ? AND plugin = ? AND state = 'open'",
        (attempts, journal_id, plugin),
    )
    failpoint("delivery.begun")


def end_delivery(connection: Connection, journal_id: int, plugin: str) -> None:
    """This delivery is done; so is its journal row when no other is open."""
    connection.execute(
        "DELETE FROM delivery WHERE journal_id = ? AND plugin = ?", (journal_id, plugin)
    )
    failpoint("delivery.ended")
    settle(connection, journal_id)


def settle(connection: Connection, journal_id: int) -> None:
    """Mark a gathered row done when none of its deliveries is open any more."""
    connection.execute(
        "UPDATE journal SET state = 1 WHERE id = ? AND state = 2 AND NOT EXISTS "
        "(SELECT 1 FROM delivery WHERE journal_id = journal.id AND state = 'open')",
        (journal_id,),
    )


def open_deliveries(connection: Connection) -> list[tuple[str, str, int]]:
    """(lane, plugin, number) of everything that waits for another attempt."""
    return connection.execute(
        "SELECT lane, plugin, count(*) FROM delivery WHERE state = 'open' GROUP BY plugin, lane"
    ).fetchall()


def head_delivery(connection: Connection, lane: str, plugin: str) -> Delivery | None:
    """The oldest open delivery of this (lane, plugin)."""
    row = connection.execute(
        "SELECT journal_id, plugin, lane, state, attempts, next_at, error FROM delivery "
        "WHERE state = 'open' AND plugin = ? AND lane = ? ORDER BY journal_id LIMIT 1",
        (plugin, lane),
    ).fetchone()
    return None if row is None else Delivery(*row)


class Replayed(NamedTuple):
    """(lane, plugin) with rows that are open again, and whole messages that wait again."""

    deliveries: list[tuple[str, str]]
    rows: list[Row]


def replay(connection: Connection, where: str, params: Sequence[Any]) -> Replayed:
    """Open dead deliveries again; a message that never got to a plugin (`-`) waits again."""
    mine = f"state = 'dead' AND {where}"
    chosen = f"(SELECT journal_id FROM delivery WHERE plugin {{}} '-' AND {mine})"
    whole = f"WHERE id IN {chosen.format('=')}"
    pairs = connection.execute(
        f"SELECT DISTINCT lane, plugin FROM delivery WHERE plugin <> '-' AND {mine}", params
    ).fetchall()
    # its node may have got another name since: the letter has moved with it, the row was done
    lane = "(SELECT lane FROM delivery WHERE journal_id = journal.id AND plugin = '-')"
    connection.execute(
        f"UPDATE journal SET state = 0, flags = flags | 4, lane = {lane} {whole}", params
    )
    rows = [Row(*r) for r in connection.execute(f"SELECT {COLUMNS} FROM journal {whole}", params)]
    connection.execute(
        f"UPDATE journal SET state = 2, flags = flags | 4 WHERE id IN {chosen.format('<>')}", params
    )
    connection.execute(f"DELETE FROM delivery WHERE plugin = '-' AND {mine}", params)
    connection.execute(
        f"UPDATE delivery SET state = 'open', attempts = 0, next_at = 0 WHERE {mine}", params
    )
    return Replayed(pairs, rows)


def prune(
    connection: Connection,
    before: float,
    keep_rows: int,
    step: int = 2000,
    least: int | None = None,
) -> int:
    """Remove rows that are done, by age and by number, at most `step` of them; returns how many.

    The newest `least` (`LEAST`) stay whatever the wall clock says, which may have jumped: a broker may send them
    again, and an id that was given out once is never given out again. They are counted, because a message
    that came again took an id too and has left no row. Commands stay for a day whatever
    the number, because their key is what makes a command that is read twice one command. Rows with
    dead letters stay until those are dropped or replayed.
    """
    newest = connection.execute("SELECT max(id) FROM journal").fetchone()[0] or 0
    oldest = connection.execute("SELECT id, at FROM journal ORDER BY id LIMIT 1").fetchone()
    if oldest is None or (oldest[0] > newest - keep_rows and oldest[1] >= before):
        return 0  # the usual case, without a walk over the table
    others = connection.execute(
        "SELECT id FROM journal ORDER BY id DESC LIMIT 1 OFFSET ?",
        (LEAST if least is None else least,),
    ).fetchone()
    if others is None:
        return 0
    cursor = connection.execute(
        "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE state = 1 AND id <= ? "
        "AND (at < ? OR (id <= ? AND class <> 'command')) "
        "AND NOT EXISTS (SELECT 1 FROM delivery WHERE journal_id = journal.id) "
        "ORDER BY id LIMIT ?)",
        (others[0], before, newest - keep_rows, step),
    )
    failpoint("journal.pruned")
    return cursor.rowcount


def counters(connection: Connection) -> dict[str, int]:
    """What `status` shows of the journal."""

    def one(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0])

    return {
        "waiting": one("SELECT count(*) FROM journal WHERE state = 0"),
        "open": one("SELECT count(*) FROM delivery WHERE state = 'open'"),
        "dead": one("SELECT count(*) FROM delivery WHERE state = 'dead'"),
        "refused": one("SELECT count(*) FROM refused"),
    }
