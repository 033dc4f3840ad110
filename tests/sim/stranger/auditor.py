"""A stranger's plugin that writes down each event once it has succeeded, and fails or dawdles by chance."""

from __future__ import annotations

from gateway import (
    ConfigReported,
    Event,
    Manifest,
    Node,
    NodeHeartbeat,
    NodeHello,
    Status,
    Tx,
    hookimpl,
)
from tests.sim import mood


@hookimpl
def manifest() -> Manifest:
    """One table; it wants statuses too."""
    return Manifest(version="1.0", messages=(Status,), migrations="auditor_migrations")


@hookimpl
def node_hello(event: NodeHello, node: Node, tx: Tx) -> None:
    """A hello."""
    _note(event, node, tx)


@hookimpl
def node_heartbeat(event: NodeHeartbeat, node: Node, tx: Tx) -> None:
    """A beat, or several that were folded."""
    _note(event, node, tx)


@hookimpl
def config_reported(event: ConfigReported, node: Node, tx: Tx) -> None:
    """A config report."""
    _note(event, node, tx)


@hookimpl
def node_message(event: Event, node: Node, tx: Tx) -> None:
    """A status."""
    _note(event, node, tx)


def _note(event: Event, node: Node, tx: Tx) -> None:
    mood.swing()
    source = event.source
    name = event.hardware_id if isinstance(event, NodeHello) else node.hardware_id or source.name
    tx.write(
        "INSERT INTO auditor_effects (journal_id, lane, kind, boot_id, seq, first_seq, "
        "retained) VALUES (?, ?, ?, ?, ?, ?, ?)",
        source.journal_id,
        name,
        event.kind,
        event.boot_id or "",
        event.seq or 0,
        source.first_seq,
        source.retained,
    )
