"""What nodes say, and what time does: hellos, config reports, wake-ups, changes of the node.

Rules of this file. A node that has proved a secret is believed only under a signature (B9); what is
not believed is counted and changes nothing. A retained message is the past and no proof. A bind is
done when the node reports from the place itself (A5), never before.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from msgspec.structs import replace

from gateway import (
    LIFECYCLE,
    ConfigReported,
    Host,
    NodeChange,
    NodeHello,
    Topics,
    Turn,
    may_become,
    signed,
)
from gateway_config import channels, compare, rows, twin
from gateway_config.actions import Ignore, Move
from gateway_config.asked import Settings
from gateway_config.desk import closed_to
from gateway_config.sending import Case, secret_in
from gateway_config.twin import ANSWERS, MAX_DELAY, Said

log = logging.getLogger(__name__)

PENDING_FOR = 1_800.0
"""Seconds after which a bind that nobody confirmed is given up (A5)."""
_LARGEST = 16_384
# what B6 adds to the document of A6.3
_HEADER = frozenset(
    {"message_type", "boot_id", "seq", "revision", "sha256", "state", "reason", "path"}
    | {"sig", "trace_id", "ts"}
)


def hello(event: NodeHello, case: Case) -> None:
    """A hello shows a revision, and that the node has just connected."""
    if event.source.retained:
        return
    said = Said(
        kind="hello",
        revision=event.config_revision,
        sha256=event.config_sha256,
        boot_id=event.boot_id or "",
        seq=event.seq or 0,
    )
    name = event.hardware_id.lower()
    key = _key(case, event)
    if key is None:
        rows.save_refusal(case.tx, case.node, name, "signature", case.at)
        return
    _keep_proof(case, key)
    _listen(case, name, twin.hello(_open(case), said, case.at))


def report(event: ConfigReported, case: Case) -> None:
    """A report with a header is ours; one without is a document to compare."""
    if event.source.retained:
        return
    name = event.source.name
    if event.revision is None and event.state is None and case.foreign:
        _arrive(event, case)
        _plain(event, case, name)
        return
    key = _key(case, event)
    if key is None:
        rows.save_refusal(case.tx, case.node, name, "signature", case.at)
        return
    before = case.kept.proof
    _keep_proof(case, key)
    if not case.foreign:
        case.change(protocol=max(case.node.protocol, 1))  # a header is our firmware's
    proved = bool(key) and key == secret_in(case.kept.text)
    said = replace(_said(event), proved=proved, rekeyed=case.kept.proof != before)
    actions = twin.report(_open(case), said, case.at)
    if any(isinstance(a, Ignore) for a in actions[1]):
        _listen(case, name, actions)
        return
    _arrive(event, case)
    _document(event, case, take_over=said.state in ("", "verified"))
    _listen(case, name, actions)
    _settle_secret(case, said, key)
    desired = case.kept.twin.desired
    if desired is not None and desired.state == "verified" and said.state == "verified":
        _finish_bind(event, case)


def _said(event: ConfigReported) -> Said:
    return Said(
        kind="report",
        revision=event.revision or 0,
        sha256=event.sha256 or "",
        state=event.state or "",
        reason=event.reason or "",
        path=event.path or "",
        boot_id=event.boot_id or "",
        seq=event.seq or 0,
    )


def wake(case: Case) -> None:
    """The plugin's own timer: send again, or give a bind up."""
    node = case.node
    if node.pending_at is not None and not 0 <= case.at - node.pending_at < PENDING_FOR:
        place = f"{node.pending_gh}/{node.pending_zone}"
        log.warning("bind of %s to %s expired: no report from there in 30 min", node.uid, place)
        case.change(pending_gh="", pending_zone="", pending_at=None)
        case.take(twin.stop(case.kept.twin, f"not bound to {place} within 30 min"))
        return
    case.take(twin.tick(_open(case), case.at, offline=node.life == "offline"))


def changed(change: NodeChange, case: Case) -> None:
    """The node is new, is back, or has come to its end."""
    if change.field == "node":
        rows.forget_before(case.tx, case.node)
        document = rows.document_of(case.kept.report)
        channels.upsert(case.tx, case.node.id, document, case.at)
    elif change.field == "lifecycle_state" and change.after == "DECOMMISSIONED":
        case.take(twin.stop(case.kept.twin, "the node was decommissioned"))
    elif change.field == "life" and change.before == "offline" and change.after == "online":
        case.take(twin.online(_open(case), case.at))


def due(host: Host, _settings: Settings) -> list[Turn]:
    """The nodes whose next send is due; none while the broker is away."""
    if not host.connected:
        return []
    now = time.time()
    found = host.read(
        "SELECT node_id FROM config_desired WHERE (next_at <= ? OR next_at > ?) "
        "AND node_id IN (SELECT id FROM nodes)",
        now,
        now + 2 * MAX_DELAY,
    )
    return [Turn(node_id) for (node_id,) in found]


def unbound(host: Host, _settings: Settings) -> list[Turn]:
    """The nodes whose bind has waited too long."""
    late = time.time() - PENDING_FOR
    return [Turn(n.id) for n in host.nodes() if n.pending_at is not None and n.pending_at <= late]


def _open(case: Case) -> twin.Twin:
    """The twin; for a node that may get nothing, without its desired side."""
    kept = case.kept.twin
    return replace(kept, desired=None) if closed_to(case.node) else kept


def _listen(case: Case, name: str, step: twin.Step) -> None:
    actions = case.take(step)
    for action in actions:
        if isinstance(action, Ignore):
            if action.word != "stale":
                rows.save_refusal(case.tx, case.node, name, action.word, case.at)
            return
        if isinstance(action, Move):
            _log(case, action)
    rows.save_shown(case.tx, case.node, case.kept, name, case.at)


def _log(case: Case, move: Move) -> None:
    level = logging.WARNING if move.state in ANSWERS | {"expired"} else logging.INFO
    why = ": ".join(t for t in (move.path, move.reason) if t)
    tail = f" ({why})" if why else ""
    log.log(level, "config of %s: v%d %s%s", case.node.uid, move.revision, move.state, tail)


def _key(case: Case, event: NodeHello | ConfigReported) -> str | None:
    """The key that signed this, "" where no signature is needed, None where it is not believed."""
    node = case.node
    if case.foreign:
        return ""
    parts = event.signed_parts(node.hardware_id or event.source.name)
    for key in (node.secret, node.trial_secret, secret_in(case.kept.text)):
        if signed(event.sig, key, *parts):
            return key
    return None if node.secret else ""


def _keep_proof(case: Case, key: str) -> None:
    # a message of ours that needs no signature comes from a board that has no secret (any more)
    proof = "" if not key else "secret" if key == case.node.secret else "trial"
    case.kept = replace(case.kept, proof=proof)
    if proof == "trial":  # it may have been given up too early
        case.change(trial_secret=key)


def _settle_secret(case: Case, said: Said, key: str) -> None:
    """A verified report under a new secret makes it the node's secret; an end takes it back."""
    node, desired = case.node, case.kept.twin.desired
    if said.state == "verified" and key and key == (node.trial_secret or node.secret):
        case.change(secret=key, trial_secret=None)
        if case.kept.proof != "secret":
            case.kept = replace(case.kept, proof="secret")
            rows.save_shown(case.tx, node, case.kept, node.hardware_id or node.uid, case.at)
    elif (
        desired is not None
        and desired.state in ANSWERS
        and desired.revision == said.revision
        and not case.kept.carried
        and case.kept.proof != "trial"
    ):
        case.change(trial_secret=None)


def _arrive(event: ConfigReported, case: Case) -> None:
    """Where the node speaks now; what the broker keeps of where it spoke before is a zombie (D1)."""
    topics = Topics(case.root)
    place = topics.place_in(event.source.topic)
    if not place or place == case.kept.place:
        return
    if case.kept.place:
        gh, zone, name = case.kept.place.split("/")
        for kind in ("status", "lwt"):
            case.tx.clear_retained(topics.of(gh, zone, name, kind))
    case.kept = replace(case.kept, place=place)


def _plain(event: ConfigReported, case: Case, name: str) -> None:
    document = event.document
    _document(event, case, take_over=True)
    desired = rows.document_of(case.kept.text)
    differs = tuple(compare.differing(desired, document)[:100])
    _listen(case, name, twin.plain_report(_open(case), differs, case.at))
    now = case.kept.twin.desired
    if now is not None and now.state in ("applied", "verified") and case.node.trial_secret:
        case.change(secret=case.node.trial_secret, trial_secret=None)
    _finish_bind(event, case)


def _document(event: ConfigReported, case: Case, *, take_over: bool) -> None:
    """Keep the redacted document of a report, and take its channels over."""
    payload: dict[str, Any] = {k: v for k, v in event.document.items() if k not in _HEADER}
    if "channels" not in payload or len(event.source.payload) > _LARGEST:
        return
    shown = compare.redacted(payload)
    if "mqtt" in payload and "node_id" in payload:
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        case.kept = replace(case.kept, report=text)
    if take_over and case.node.known:
        channels.upsert(case.tx, case.node.id, shown, case.at)


def _finish_bind(event: ConfigReported, case: Case) -> None:
    """Bound is who reports from the place itself; a temp topic never finishes a bind."""
    node, source = case.node, event.source
    place = (source.gh.lower(), source.zone.lower())
    if not node.pending_zone or place != (node.pending_gh, node.pending_zone):
        return
    case.change(gh=place[0], zone=place[1], pending_gh="", pending_zone="", pending_at=None)
    if may_become(LIFECYCLE, node.lifecycle_state, "ASSIGNED_TO_ZONE"):
        case.change(lifecycle_state="ASSIGNED_TO_ZONE")
    if case.foreign:  # what another service left there would pull it back at each connect (C4)
        case.tx.clear_retained(case.temp_topic())
    log.info("%s is bound to %s/%s", node.uid, *place)
