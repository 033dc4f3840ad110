"""What everybody was told, and what must hold of it: at every step, and when all is quiet again.

Rules of this file. The ledger believes nobody: it looks into the committed store with a connection of
its own. What is wrong is raised where it is seen, so that the trace ends there.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway_heartbeat.liveness import Grace, offline_after

from tests.sim.board import Board, Told
from tests.sim.network import Letter

if TYPE_CHECKING:
    from tests.sim.machine import Connected
    from tests.sim.world import World

ONCE = ("node_hello", "config_report", "status")
"""Kinds of which every message has its own row."""
_PATIENCE = 120.0
"""Redelivery, a commit, a late plugin, a look at the deadlines: what a state may lag behind."""
Key = tuple[str, str, str, int]


class WrongError(AssertionError):
    """A promise was broken."""


class Ledger(Told):
    """Of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.acked: set[Key] = set()
        self.receipts = 0
        self.heard_since: float | None = None
        """Since when the gateway has been connected without a break: every deadline starts anew there."""
        self._heard_on: list[Connected] = []
        self._connection: sqlite3.Connection | None = None

    # -- what is seen as it happens ------------------------------------------------------------

    def acknowledged(self, letter: Letter) -> None:
        """The gateway told the broker that it has this."""
        key = key_of(letter.topic, letter.payload)
        if key is not None and not letter.retain:
            self.acked.add(key)

    def sent(self, topic: str, payload: bytes) -> None:
        """The gateway publishes: what it says was committed before, and names a real state."""
        if "barrier" in topic:
            return
        if not self.rows("SELECT 1 FROM outbox WHERE topic = ? LIMIT 1", topic):
            raise WrongError(f"published before its commit: {topic} {payload[:200]!r}")

    def receipt(self, board: Board, payload: bytes) -> None:
        """A board was told that it is registered."""
        message = json.loads(payload)
        if message.get("accepted") is False:
            return
        self.receipts += 1
        sql = "SELECT lifecycle_state FROM nodes WHERE hardware_id = ?"
        if not self.rows(sql, board.name):
            raise WrongError(f"{board.name} holds a receipt and is not in the registry")

    def log(self, board: Board, text: str) -> None:
        """Its log goes into the trace."""
        self._world.note(f"{board.name}: {text}")

    # -- what must hold at any moment ----------------------------------------------------------

    def look(self) -> None:
        """States that lie: alive though long dead, verified though never proved."""
        now = self._world.loop.time()
        engine = self._world.machine.engine
        connected = (
            engine is not None
            and not self._world.machine.dead
            and hasattr(engine, "wiring")
            and engine.wiring.link.connected
            and not any(state.in_backlog for state in engine.wiring.link.state.values())
        )
        if not connected:
            self.heard_since = None
            return
        wires = list(self._world.machine.wires)
        if self.heard_since is None or wires != self._heard_on:
            self.heard_since, self._heard_on = now, wires  # a break may be shorter than we look
        if not self._world.machine.database.exists():
            return
        boards = {board.name: board for board in self._world.boards}
        rows = self.rows(
            "SELECT n.hardware_id, n.life, c.state, c.revision, c.sha256 FROM nodes n "
            "LEFT JOIN config_desired c ON c.node_id = n.id WHERE n.hardware_id IS NOT NULL"
        )
        for name, life, state, revision, sha in rows:
            self._look_at_life(boards[name], life, now)
            if state == "verified" and (revision, sha) not in boards[name].proved:
                raise WrongError(f"{name} is said to have verified v{revision}, and never did")

    def _look_at_life(self, board: Board, life: str, now: float) -> None:
        limit = offline_after(board.settings["interval_s"], Grace()) + _PATIENCE
        assert self.heard_since is not None
        if life in ("online", "late") and not board.on:
            silent = now - max(board.went_off, self.heard_since)
            if silent > limit:
                raise WrongError(f"{board.name} is {life} after {silent:.0f} s without power")

    # -- what must hold when all is quiet ------------------------------------------------------

    def unsettled(self) -> list[str]:
        """What is not as it should be in the end; empty once everything has converged."""
        return list(self._unsettled())

    def _unsettled(self) -> Iterator[str]:
        for table, where in (
            ("journal", "state <> 1 AND id NOT IN (SELECT journal_id FROM delivery)"),
            ("delivery", "state = 'open'"),
            ("outbox", "1"),
        ):
            (count,) = self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0]
            if count:
                yield f"{count} rows of {table} wait"
        found = {
            row[0]: row[1:]
            for row in self.rows(
                "SELECT n.hardware_id, n.lifecycle_state, n.life, n.secret, n.trial_secret, "
                "n.desired_revision, c.revision, c.sha256, c.state FROM nodes n "
                "LEFT JOIN config_desired c ON c.node_id = n.id"
            )
        }
        if set(found) != {board.name for board in self._world.boards}:
            yield f"the registry has {sorted(map(str, found))}"
        for board in self._world.boards:
            if board.name in found:
                yield from self._unsettled_node(board, *found[board.name])

    def _unsettled_node(self, board: Board, *row: Any) -> Iterator[str]:
        lifecycle, life, secret, trial_secret, desired, revision, sha, state = row
        good = board.node.store.good
        if lifecycle != "REGISTERED_BACKEND" or life != "online":
            yield f"{board.name} is {lifecycle}, {life}"
        if (state, revision, sha) != ("verified", good.revision, good.sha):
            yield f"{board.name} runs v{good.revision}, the gateway says v{revision} {state}"
        if (secret, trial_secret) != (good.secret, None) or board.node.store.trial:
            yield f"{board.name} and the gateway hold different secrets"
        if desired != revision:
            yield f"{board.name}'s receipts speak of v{desired}, desired is v{revision}"

    def close_the_books(self) -> dict[str, int]:
        """Nothing acknowledged is lost, nothing has two effects, each node's events ran in order."""
        rows = self.rows(
            "SELECT journal_id, lane, kind, boot_id, seq, first_seq, retained "
            "FROM auditor_effects ORDER BY n"
        )
        # a retained copy of what was done long ago, and is pruned, comes again as what it is
        once = Counter((k, lane, boot, seq) for _, lane, k, boot, seq, _, past in rows if not past)
        shown = {(k, lane, boot, seq) for _, lane, k, boot, seq, _, past in rows if past}
        doubles = [key for key, count in once.items() if count > 1 and key[0] in ONCE and key[3]]
        if doubles:
            raise WrongError(f"{len(doubles)} messages had effects twice, first {doubles[0]}")
        beats: set[Key] = set()
        last: dict[str, int] = {}
        for number, lane, kind, boot, seq, first, _ in rows:
            if number <= last.get(lane, 0):
                raise WrongError(f"{lane}: message {number} ran after {last[lane]}")
            last[lane] = number
            if kind == "heartbeat":
                beats.update((kind, lane, boot, n) for n in range(first or seq, seq + 1))
        dead = set(self._dead())
        lost = self.acked - set(once) - shown - beats - dead
        overtaken = {key for key in lost if self._is_overtaken(key, beats)}
        if lost - overtaken:
            first = min(lost - overtaken)
            raise WrongError(f"{len(lost)} acknowledged messages are lost, first {first}")
        return {
            "acknowledged": len(self.acked),
            "effects": len(rows),
            "dead": len(dead),
            "overtaken": len(overtaken),
        }

    def _is_overtaken(self, key: Key, beats: set[Key]) -> bool:
        """Of beats the latest counts; a broker without an order may bring an older one behind it."""
        kind, lane, boot, seq = key
        later = any(b[:3] == (kind, lane, boot) and b[3] > seq for b in beats)
        return kind == "heartbeat" and self._world.broker.by_filter and later

    def _dead(self) -> Iterator[Key]:
        for topic, payload in self.rows(
            "SELECT j.topic, j.payload FROM delivery d JOIN journal j ON j.id = d.journal_id "
            "WHERE d.state = 'dead' AND d.plugin = 'auditor'"
        ):
            key = key_of(topic, payload)
            if key is not None:
                yield key

    # -- the store -----------------------------------------------------------------------------

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What is committed."""
        if self._connection is None:
            path: Path = self._world.machine.database
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Let go of the store."""
        if self._connection is not None:
            self._connection.close()


def key_of(topic: str, payload: bytes) -> Key | None:
    """(kind, node, boot_id, seq) of a node's message; None for what has no number of its own."""
    try:
        message = json.loads(payload)
    except ValueError:
        return None
    kind = topic.rsplit("/", 1)[-1]
    if kind not in (*ONCE, "heartbeat") or not isinstance(message, dict) or not message.get("seq"):
        return None
    name = message["hardware_id"] if kind == "node_hello" else topic.split("/")[3]
    return kind, name, message["boot_id"], message["seq"]


def names(wrong: Iterable[str]) -> str:
    """A few of many, for a message."""
    listed = list(wrong)
    return "; ".join(listed[:5]) + (f"; and {len(listed) - 5} more" if len(listed) > 5 else "")
