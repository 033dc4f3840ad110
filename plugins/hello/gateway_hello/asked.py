"""What the operator asks of hello: approve, reject, re-admit, decommission."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from gateway import Command, Event, Node, Tx
from gateway_hello.reception import REGISTERED, WAITING, known


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, weakref=True, eq=False):
    """`[plugins.hello]`: `receipt_expires`, seconds after which an unsent receipt is pointless."""

    receipt_expires: float = 30.0


class Approve(Command, kw_only=True):
    """Let a waiting node in."""

    kind: ClassVar[str] = "nodes.approve"


class Reject(Command, kw_only=True):
    """Keep a node out until it is re-admitted."""

    kind: ClassVar[str] = "nodes.reject"


class Readmit(Command, kw_only=True):
    """Take a rejected, decommissioned or suspected node back; its old secret is forgotten."""

    kind: ClassVar[str] = "nodes.readmit"


class Decommission(Command, kw_only=True):
    """The end of a node's service (A5)."""

    kind: ClassVar[str] = "nodes.decommission"


COMMANDS: tuple[type[Command], ...] = (Approve, Reject, Readmit, Decommission)


def obey(event: Event, node: Node, tx: Tx) -> None:
    """Do it, and say what came of it."""
    if not node.known:
        tx.answer({"error": "there is no such node"}, ok=False)
        return
    kept = known(tx, node)
    changes: dict[str, object] = {}
    admission = "accepted"
    note = ""
    if isinstance(event, Approve):
        if node.lifecycle_state == WAITING and kept.admission:
            changes["lifecycle_state"] = REGISTERED
        elif node.lifecycle_state == WAITING:
            note = "it has only been seen; it is registered once it says who it is"
    elif isinstance(event, Reject):
        admission = "rejected"
    elif isinstance(event, Decommission):
        changes["lifecycle_state"] = "DECOMMISSIONED"
    else:
        changes |= {"lifecycle_state": REGISTERED, "secret": None, "trial_secret": None}
        changes |= {"gh": "", "zone": ""} if node.lifecycle_state == "DECOMMISSIONED" else {}
        if node.bound and node.lifecycle_state != "DECOMMISSIONED":
            del changes["lifecycle_state"]
    if changes:
        tx.set_node(**changes)
    tx.write(
        "INSERT INTO hello_nodes (node_id, admission, boot_id, boots, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (node_id) DO UPDATE SET admission = excluded.admission, suspects = 0",
        node.id,
        admission,
        kept.boot_id,
        kept.boots,
        event.source.received_at,
    )
    state = changes.get("lifecycle_state", node.lifecycle_state)
    said = {"uid": node.uid, "lifecycle_state": state, "admission": admission}
    tx.answer({**said, "note": note} if note else said)
