"""The outbox's SQL: what must leave, until the broker has it. Safe to run twice, like the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.failpoint import failpoint
from gateway.store.journal import checksum
from gateway.store.sqlite import Connection


class Parcel(NamedTuple):
    """A row of `outbox`."""

    id: int
    node_id: int
    topic: str
    body: bytes
    options: str
    replace_key: str | None
    expires_at: float | None
    state: int
    crc: int

    def intact(self) -> bool:
        """False where the bytes are not those that were written (rule 20)."""
        sound = isinstance(self.topic, str) and isinstance(self.body, bytes)
        return sound and self.crc == checksum(self.topic, self.body)


def put(connection: Connection, parcels: Iterable[Parcel]) -> None:
    """Queue parcels; each takes the place of older ones with its replace key."""
    for parcel in parcels:
        if parcel.replace_key is not None:
            connection.execute(
                "DELETE FROM outbox WHERE replace_key = ? AND id < ?",
                (parcel.replace_key, parcel.id),
            )
        connection.execute("INSERT OR IGNORE INTO outbox VALUES (?,?,?,?,?,?,?,?,?)", parcel)
    failpoint("outbox.put")


def gone(connection: Connection, ids: Iterable[int]) -> None:
    """The broker has these, or they are pointless now."""
    connection.executemany("DELETE FROM outbox WHERE id = ?", ((i,) for i in ids))
    failpoint("outbox.gone")


def waiting(connection: Connection) -> list[Parcel]:
    """Everything that has not been acknowledged, in order; at start-up."""
    return [Parcel(*row) for row in connection.execute("SELECT * FROM outbox ORDER BY id")]
