"""What a hello, a first sign of life, or the operator does to the registry.

Rules of this file. The hardware_id is the identity. The first hello names the node; none renames it, takes a
type away, or changes anything when it is a repetition. Every hello is answered, after its commit, under
the one name that a node never changes.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from gateway import (
    ConfigReported,
    Event,
    Host,
    Node,
    NodeHello,
    TimeRequest,
    Topics,
    Tx,
    is_temp,
    node_type,
    signed,
)
from gateway_hello.registry import NOBODY, Facts, Verdict, admit, after, is_earlier, uids

log = logging.getLogger(__name__)
REGISTERED = "REGISTERED_BACKEND"
WAITING = "PROVISIONED_WIFI"
"""The state of a node that we have seen and not (yet) registered."""
_BOUND = {"ASSIGNED_TO_ZONE", "ACTIVE", "DEGRADED", "MAINTENANCE"}
_TIME_EXPIRES = 10.0


class Desk(NamedTuple):
    """Where a hello is worked on, and for how long a receipt is worth sending."""

    tx: Tx
    expires: float


class Known(NamedTuple):
    """The row of `hello_nodes`."""

    admission: str = ""
    boot_id: str = ""
    boots: str = ""


def known(tx: Tx, node: Node) -> Known:
    """What hello remembers of a node."""
    if not node.known:
        return Known()
    rows = tx.read("SELECT admission, boot_id, boots FROM hello_nodes WHERE node_id = ?", node.id)
    return Known(*rows[0]) if rows else Known()


def hello(event: NodeHello, node: Node, desk: Desk) -> None:
    """Register, update or refuse, and queue the receipt."""
    tx = desk.tx
    at = event.source.received_at
    held = _by_wish(event, node, tx)
    if not _is_its_own(event, held):
        _receipt(event, Node(id=held.id, known=False), desk, "identity")
        return
    kept = known(tx, held)
    verdict = admit(_facts(event, held, kept, tx.host))
    if verdict.reason in ("decommissioned", "rejected", "identity"):
        if verdict.reason == "identity":
            _suspect(event, held, tx, at)
        _receipt(event, held, desk, verdict.reason)
        return
    if is_earlier(event.boot_id or "", kept.boot_id, kept.boots):
        _receipt(event, held, desk, verdict.reason)
        return
    uid = _free_uid(event, tx) if _is_unnamed(held, kept) else held.uid
    changes = _changes(event, held, uid, verdict)
    if held is not node:
        changes["uid"] = uid  # tells the gateway which node this hello makes whole
    if changes:
        tx.set_node(**changes)
    admission = "accepted" if not verdict.reason else "pending"
    boot_id = event.boot_id or ""
    if (admission, boot_id) != (kept.admission, kept.boot_id):
        _remember(tx, held.id, admission, boot_id, after(kept.boot_id, kept.boots), at)
    node_now = {"uid": uid, "lifecycle_state": changes.get("lifecycle_state", held.lifecycle_state)}
    _receipt(event, held, desk, verdict.reason, node_now)
    if not held.known:
        state = "registered" if not verdict.reason else "waits for approval"
        log.info("node %s (%s, %s) %s", uid, changes.get("type"), event.hardware_id, state)


def _is_unnamed(node: Node, kept: Known) -> bool:
    """True for a node that is new, or was seen on its way here only: its uid was made without its type, and
    nobody has been told. A broker that keeps no order among topics brings a status before the hello."""
    if not node.known or not node.uid:
        return True
    met = kept.admission or node.lifecycle_state != WAITING
    return node.hardware_id is not None and not met


def _by_wish(event: NodeHello, node: Node, tx: Tx) -> Node:
    """A node that was known by its uid only, and now says whose it is."""
    if node.known or event.wanted_uid is None:
        return node
    found = tx.find_node(event.wanted_uid)
    return found if found is not None and found.known and found.hardware_id is None else node


def _is_its_own(event: NodeHello, node: Node) -> bool:
    """False where the hardware_id is nobody's, or another node's uid: no name may mean two nodes."""
    if event.hardware_id in NOBODY:
        why = "it is the name of every board that cannot read its own address"
    elif node.known and node.hardware_id not in (None, event.hardware_id):
        why = f"it is the uid of {node.hardware_id}"
    else:
        return True
    log.warning("%s cannot be registered under this hardware_id: %s", event.hardware_id, why)
    return False


def _facts(event: NodeHello, node: Node, kept: Known, host: Host) -> Facts:
    admission = kept.admission
    if not admission and node.known and node.lifecycle_state in (REGISTERED, *_BOUND):
        admission = "accepted"
    return Facts(
        registration=host.registration,
        known=node.known,
        lifecycle_state=node.lifecycle_state,
        admission=admission,
        must_sign=node.must_sign,
        signed=node.signed(event),
        claimed=signed(event.claim, host.claim_key, event.hardware_id, event.boot_id or ""),
        offline=node.life == "offline",
        reflashed=node.secret is not None and node.protocol < 1 <= event.protocol,
    )


def _free_uid(event: NodeHello, tx: Tx) -> str:
    for uid in uids(event.hardware_id, node_type(event.node_type), event.wanted_uid):
        if tx.find_node(uid) is None:
            return uid
    raise RuntimeError("no free uid")  # the last candidate is made from the whole hardware_id


def _changes(event: NodeHello, node: Node, uid: str, verdict: Verdict) -> dict[str, Any]:
    """What differs; {} for a repetition."""
    wanted: dict[str, Any] = {
        "hardware_id": event.hardware_id,
        "uid": uid,
        "protocol": event.protocol,
        "lifecycle_state": _lifecycle(node, verdict),
    }
    if event.node_type is not None or not node.known:
        wanted["type"] = node_type(event.node_type)
    for name, value in (
        ("fw_version", event.fw_version),
        ("hardware_revision", event.hardware_revision),
        ("boot_id", event.boot_id),
        ("name", event.node_name),
    ):
        if value is not None:
            wanted[name] = value[:64]
    if verdict.readmit:
        wanted |= {"secret": None, "trial_secret": None}
    if not node.known:
        wanted |= {"first_seen_at": event.source.received_at, "life": "seen"}
        return wanted
    return {name: value for name, value in wanted.items() if getattr(node, name) != value}


def _lifecycle(node: Node, verdict: Verdict) -> str:
    if verdict.reason == "pending_approval":
        return WAITING
    if node.known and node.bound and node.lifecycle_state in _BOUND:
        return node.lifecycle_state
    return REGISTERED


def _remember(tx: Tx, node_id: int, admission: str, boot_id: str, boots: str, at: float) -> None:
    tx.write(
        "INSERT INTO hello_nodes (node_id, admission, boot_id, boots, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (node_id) DO UPDATE SET admission = excluded.admission, "
        "boot_id = excluded.boot_id, boots = excluded.boots, at = excluded.at",
        node_id,
        admission,
        boot_id,
        boots,
        at,
    )


def _suspect(event: NodeHello, node: Node, tx: Tx, at: float) -> None:
    log.warning(
        "a hello of %s is not signed as it should be: a clone, or a board that was wiped. "
        "next: gateway nodes readmit %s",
        event.hardware_id,
        node.uid or event.hardware_id,
    )
    if node.known:
        tx.write(
            "UPDATE hello_nodes SET suspects = suspects + 1, suspect_at = ? WHERE node_id = ?",
            at,
            node.id,
        )


def _receipt(
    event: NodeHello, node: Node, desk: Desk, reason: str, now: dict[str, Any] | None = None
) -> None:
    """`now`: what this very hello makes of the node."""
    message: dict[str, Any] = {
        "message_type": "hello_ack",
        "hardware_id": event.hardware_id,
        "boot_id": event.boot_id,
        "seq": event.seq,
        "uid": node.uid,
        "lifecycle_state": node.lifecycle_state,
        "config_revision": node.desired_revision if node.known else 0,
        **(now or {}),
    }
    if reason:
        message |= {"accepted": False, "reason": reason}
    desk.tx.publish_json(
        Topics(desk.tx.host.root).hello_ack(event.spelled),
        message,
        expires=desk.expires,
        replace=f"hello_ack:{event.hardware_id}",
        stamp="unix_ts",
        sign=("hello_ack", "hardware_id", "boot_id", "seq", "unix_ts", "config_revision"),
    )


def evidence(event: Event, node: Node, tx: Tx) -> None:
    """B7: a node that never said hello to us becomes known by what it says."""
    source = event.source
    if source.retained or not source.name or source.name in NOBODY:
        return
    if node.known and node.lifecycle_state != WAITING:
        return
    proves = isinstance(event, ConfigReported) and (
        is_temp(source.gh, source.zone) or event.node_id == source.name
    )
    admission = known(tx, node).admission
    is_let_in = tx.host.registration == "open" or admission == "accepted"
    state = REGISTERED if proves and is_let_in else WAITING
    if proves and not admission and not is_let_in:
        _remember(tx, node.id, "pending", "", "", source.received_at)
    if node.known:
        if state == REGISTERED and admission in ("", "accepted"):
            tx.set_node(lifecycle_state=state)
        return
    said = event.document.get("type") if isinstance(event, ConfigReported) else None
    kind = node_type(said if isinstance(said, str) else None)
    names: dict[str, Any] = {"uid": source.name, "gh": source.gh, "zone": source.zone}
    if is_temp(source.gh, source.zone):
        uid = next(u for u in uids(source.name, kind, None) if tx.find_node(u) is None)
        names = {"uid": uid, "hardware_id": source.name}
    tx.set_node(
        **names,
        type=kind,
        lifecycle_state=state,
        life="seen",
        first_seen_at=source.received_at,
    )
    log.info("node %s was there before us: %s", names["uid"], state)


def answer_time(_event: TimeRequest, tx: Tx) -> None:
    """A3: one answer for everybody who asked meanwhile."""
    tx.publish_json(
        Topics(tx.host.root).time_response(),
        {"message_type": "time_response"},
        expires=_TIME_EXPIRES,
        replace="time_response",
        stamp=("unix_ts", "server_time"),
    )
