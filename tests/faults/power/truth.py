"""What the store has to hold after each operation, and whether a store does.

The truth is the same plan on a database in memory, which no disk can hurt. A store is right when it
holds exactly what the truth held after some operation between the last that was acknowledged and the
last that was begun: nothing acknowledged is missing, nothing is half there, there is no gap.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from gateway.store import journal, outbox
from gateway.store.nodes import Roster
from gateway.store.sqlite import Connection, Error, open_writer
from tests.faults.power.child import DATABASE
from tests.faults.power.plan import Plan, migrate

_CORE = ("journal", "delivery", "refused", "nodes", "node_names", "outbox", "plugins")
TABLES = (*_CORE, "power_effects")
Content = tuple[tuple[Any, ...], ...]


class Wrong(AssertionError):
    """A store that is not right, and how."""


class Truth:
    """The store after each operation of a plan: `after[k]`, with `after[0]` the migrated, empty one."""

    def __init__(self, seed: int, count: int) -> None:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection)
        self._found: dict[int, list[int]] = {}
        self._note(connection, 0)
        for number, operation in enumerate(Plan(seed, count).operations, 1):
            connection.execute("BEGIN")
            operation(connection)
            connection.execute("COMMIT")
            self._note(connection, number)
        connection.close()

    def _note(self, connection: Connection, number: int) -> None:
        agree(connection)
        Roster().load(connection)
        self._found.setdefault(hash(content(connection)), []).append(number)

    def judge(self, folder: Path, fresh: bool) -> list[int]:
        """Behind which operations the store in a state folder stands."""
        return self._found.get(hash(reopen(folder / DATABASE, fresh=fresh)), [])


def content(connection: Connection) -> Content:
    """All rows of all tables."""
    return tuple(
        tuple(connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall())
        for table in TABLES
    )


def agree(connection: Connection) -> None:
    """Raise Wrong where rows contradict each other or are not what was written (rule 20)."""
    rows = connection.execute(
        "SELECT id, at, observed, session, class, kind, lane, topic, payload, crc FROM journal"
    )
    _none("damaged journal rows", [row[0] for row in rows if not journal.Row(*row).intact()])
    parcels = outbox.waiting(connection)
    _none("damaged outbox rows", [p.id for p in parcels if not p.intact()])
    _none(
        "effects of events that still wait",
        connection.execute(
            "SELECT e.journal_id FROM power_effects e JOIN journal j ON j.id = e.journal_id "
            "LEFT JOIN delivery d ON d.journal_id = j.id WHERE j.state = 0 OR d.state = 'open'"
        ).fetchall(),
    )
    _none(
        "events that are done without their effect",
        connection.execute(
            "SELECT id FROM journal WHERE state = 1 AND id NOT IN (SELECT journal_id FROM "
            "power_effects) AND id NOT IN (SELECT journal_id FROM delivery)"
        ).fetchall(),
    )
    _none(
        "outbox rows without the effect that wrote them",
        connection.execute(
            "SELECT id FROM outbox WHERE id NOT IN (SELECT outbox_id FROM power_effects)"
        ).fetchall(),
    )
    _none(
        "effects on nodes that are not there",
        connection.execute(
            "SELECT hardware FROM power_effects WHERE hardware NOT IN (SELECT name FROM node_names)"
        ).fetchall(),
    )


def reopen(path: Path, *, fresh: bool) -> Content:
    """What a store holds when the gateway opens it, found sound; raises Wrong where it is not.

    `fresh` says that its tables may not be there yet. What the gateway then reads into memory
    follows from the rows alone, so that it is looked at once for each content, in `Truth`.
    """
    connection = open_writer(path)
    try:
        if fresh:
            migrate(connection)
        said = connection.execute("PRAGMA integrity_check").fetchall()
        if said != [("ok",)]:
            raise Wrong(f"integrity_check: {said[:3]}")
        return content(connection)
    except Error as error:
        raise Wrong(str(error)) from error
    finally:
        connection.close()


def _none(what: str, found: list[Any]) -> None:
    if found:
        raise Wrong(f"{what}: {found[:5]}")
