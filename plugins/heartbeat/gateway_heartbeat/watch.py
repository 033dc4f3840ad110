"""Liveness in the database: one row for a node, one write for a beat.

Rules of this file. Backlog and retained messages are history: they are read for nothing here. A
transition is written with its cause and logged once. While the broker is away nothing expires, and
after a reconnect every deadline starts anew.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
from msgspec.structs import astuple, replace

from gateway import ConfigReported, Event, Host, Node, NodeHeartbeat, NodeHello, Status, Turn, Tx
from gateway_heartbeat.liveness import (
    EARLIER,
    Beat,
    Grace,
    Life,
    Pulse,
    asleep,
    beat,
    declares,
    passed,
    proof,
    will,
)

log = logging.getLogger(__name__)
_COLUMNS = "life, boot_id, boots, seq, proof_observed, wait, declared, learnt, beats, missed"
_FACTS = ("uptime", "free_heap", "min_free_heap", "rssi", "lost")
_UPSERT = (
    f"INSERT INTO heartbeat_nodes (node_id, {_COLUMNS}, since) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (node_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in [*_COLUMNS.split(", "), "since"])
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, weakref=True, eq=False):
    """`[plugins.heartbeat]`: late and offline after this many intervals of silence, and never less
    than `least_grace` seconds beyond one interval."""

    late_after: float = 1.5
    offline_after: float = 3.0
    least_grace: float = 10.0

    @property
    def grace(self) -> Grace:
        """As the pure part wants it."""
        return Grace(self.late_after, self.offline_after, self.least_grace)


class Listening:
    """Since when a gateway has been hearing the broker without a break, observed clock."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.resumed: float | None = None

    def since(self) -> float:
        """`resumed`, or now while we do not know."""
        return self.resumed if self.resumed is not None else self.host.observed()


listening: WeakKeyDictionary[Settings, Listening] = WeakKeyDictionary()


def forget(host: Host) -> None:
    """This gateway does not listen any more."""
    for settings in [s for s, state in listening.items() if state.host is host]:
        del listening[settings]


def pulse_of(tx: Tx, node: Node, now: float, resumed: float | None = None) -> tuple[Pulse, float]:
    """The node's pulse and since when its life is what it is.

    A proof that lies ahead is one of before the wall clock was set back and the gateway started
    anew: silence counts from when we listened again.
    """
    if not node.known:
        return Pulse(), 0.0
    rows = tx.read(f"SELECT {_COLUMNS}, since FROM heartbeat_nodes WHERE node_id = ?", node.id)
    if not rows:
        return Pulse(life=node.life), 0.0
    *found, since = rows[0]
    pulse = Pulse(*found)
    if pulse.proof > now:
        pulse = replace(pulse, proof=now if resumed is None else min(now, resumed))
    return pulse, float(since)


def is_strange(event: Event, node: Node, pulse: Pulse, tx: Tx) -> bool:
    """True for what a double of a board says: it neither proves nor ends anything (B9).

    Hellos and reports of a node with a secret are signed; a boot that was heard without is a double's.
    Beats are not signed, so a boot that nobody announced (after a restored backup it may never say
    hello) counts once the one before it is silent.
    """
    if not node.must_sign:
        return False
    if isinstance(event, NodeHello | ConfigReported):
        if node.believes(event):
            return False
        boots = f"{event.boot_id or ''} {_strange(tx, node)}".split()
        kept = " ".join(dict.fromkeys(boots[:EARLIER]))
        tx.write("UPDATE heartbeat_nodes SET strange = ? WHERE node_id = ?", kept, node.id)
        return True
    if event.boot_id in (pulse.boot_id, node.boot_id):
        return False
    return pulse.life == "online" or (event.boot_id or "") in _strange(tx, node).split()


def _strange(tx: Tx, node: Node) -> str:
    rows = tx.read("SELECT strange FROM heartbeat_nodes WHERE node_id = ?", node.id)
    return str(rows[0][0]) if rows else ""


def on_beat(event: NodeHeartbeat, node: Node, tx: Tx, settings: Settings) -> None:
    """A live beat; of one of the past only how often the node beats."""
    source = event.source
    if not (source.live or node.known):
        return
    before, since = pulse_of(tx, node, source.observed_at)
    if is_strange(event, node, before, tx):
        return
    said = Beat(event.boot_id, event.seq or 0, source.count, event.interval_s)
    if not source.live:
        after = declares(before, said, settings.grace)
        if after is not before:
            _save(event, node, tx, Step(before, after, since, seen=False))
        return
    after = beat(before, said, source.observed_at, settings.grace)
    if after is before:
        return
    _save(event, node, tx, Step(before, after, since))
    facts: dict[str, Any] = {name: getattr(event, name) for name in _FACTS}
    facts["free_heap"] = event.heap
    sets = ", ".join(f"{name} = coalesce(?, {name})" for name in facts)
    tx.write(f"UPDATE heartbeat_nodes SET {sets} WHERE node_id = ?", *facts.values(), node.id)


def on_sign(event: Event, node: Node, tx: Tx, settings: Settings) -> None:
    """Any other live message of the node."""
    if not event.source.live:
        return
    before, since = pulse_of(tx, node, event.source.observed_at)
    if is_strange(event, node, before, tx):
        return
    # ASLEEP tells how long it will be silent
    nap = event.sleep_s if isinstance(event, Status) and event.status == "ASLEEP" else None
    after = proof(before, event.boot_id, event.source.observed_at, settings.grace)
    if nap and nap > 0:
        after = asleep(before, event.boot_id, nap, event.source.observed_at, settings.grace)
    if after is not before:
        _save(event, node, tx, Step(before, after, since))


def on_will(event: Event, node: Node, tx: Tx) -> None:
    """A live will or OFFLINE."""
    if not event.source.live or not node.known:
        return
    before, since = pulse_of(tx, node, event.source.observed_at)
    after = will(before, event.boot_id, node.boot_id)
    if after is not before:
        _save(event, node, tx, Step(before, after, since, seen=False))


def on_time(event: Event, node: Node, tx: Tx, settings: Settings) -> None:
    """The node's deadline may have passed."""
    heard = listening[settings].since()
    before, since = pulse_of(tx, node, event.source.observed_at, heard)
    after = passed(before, event.source.observed_at, heard, settings.grace)
    if after is not before:
        _save(event, node, tx, Step(before, after, since, seen=False))


def due(host: Host, settings: Settings) -> list[Turn]:
    """The job: nodes whose deadline has passed on the observed clock."""
    state = listening.get(settings)
    if state is None:
        state = listening[settings] = Listening(host)
    if not host.connected:
        state.resumed = None
        return []
    now = host.observed()
    if state.resumed is None:
        state.resumed = now  # every deadline starts anew
    rows = host.read(
        "SELECT node_id FROM heartbeat_nodes WHERE wait IS NOT NULL "
        "AND (proof_observed + wait <= ? OR proof_observed > ?) AND ? + wait <= ?",
        now,
        now,
        state.resumed,
        now,
    )
    return [Turn(node_id) for (node_id,) in rows]


def counts(host: Host) -> dict[Life, int]:
    """How many nodes are in which state."""
    return dict(host.read("SELECT life, count(*) FROM nodes GROUP BY life"))


class Step(NamedTuple):
    """A pulse before and after; `since` when its life began, `seen` where the node itself spoke."""

    before: Pulse
    after: Pulse
    since: float
    seen: bool = True


def _save(event: Event, node: Node, tx: Tx, step: Step) -> None:
    before, after, since, seen = step
    at = event.source.received_at
    changes: dict[str, Any] = {"last_seen_at": at} if seen else {}
    if after.life != node.life:
        changes["life"] = after.life
    if after.life != before.life:
        since = at
        name = node.uid or event.source.name
        level = logging.WARNING if after.life == "offline" else logging.INFO
        log.log(level, "node %s is %s (was %s)", name, after.life, before.life)
    tx.write(_UPSERT, node.id, *astuple(after), since)
    if changes:
        tx.set_node(**changes)
