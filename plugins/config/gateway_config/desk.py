"""What an operator may ask for, and how it becomes a revision, or a list of problems.

Rules of this file. Nothing is queued while there is one problem, and all problems are named at
once. A document never leaves without its node_secret (field failure C8), and no answer holds one.
At most one new secret is on its way to a node, so that none that the node may hold is forgotten.
"""

from __future__ import annotations

import secrets
from typing import Any

from msgspec.structs import replace

from gateway import LIFECYCLE, Command, DataError, Node, Problem, may_become
from gateway_config import compare, document, rows, twin
from gateway_config.asked import (
    ConfigPush,
    ConfigRetry,
    ConfigRollback,
    ConfigSet,
    NodesBind,
    Settings,
)
from gateway_config.sending import Case, secret_in, sha256_of, size_problem, text_of

_TOO_EARLY = ("MANUFACTURED", "UNPROVISIONED", "PROVISIONED_WIFI")


class _Done(Exception):
    """There is nothing to queue: this is the answer."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer


async def serve(event: Command, node: Node, case: Case, settings: Settings) -> None:
    """Do what the operator asked, and answer."""
    found = closed_to(node)
    if found:
        refuse(case, found)
        return
    case.author = str(getattr(event, "author", ""))[:80]
    if isinstance(event, ConfigRetry):
        _retry(case)
        return
    try:
        wanted = _wanted(event, case)
    except DataError as error:
        refuse(case, [Problem(getattr(event, "path", ""), error.why or error.what)])
    except _Done as done:
        case.tx.answer(done.answer)
    else:
        rotate = isinstance(event, ConfigPush) and event.rotate
        await _queue(case, wanted, settings, rotate=rotate)


def refuse(case: Case, found: list[Problem]) -> None:
    """Answer with the problems; nothing was queued."""
    listed = [{"path": p.path, "message": p.message} for p in found]
    case.tx.answer({"problems": listed, "type": case.node.type}, ok=False)


def closed_to(node: Node) -> list[Problem]:
    """Why this node gets no config at all."""
    if not node.known:
        return [Problem("", "there is no node of this name")]
    if node.lifecycle_state == "DECOMMISSIONED":
        return [Problem("", "the node is decommissioned: gateway nodes readmit takes it back")]
    if node.lifecycle_state in _TOO_EARLY:
        return [Problem("", f"the node is {node.lifecycle_state}: it has not been registered yet")]
    return []


def _wanted(event: Command, case: Case) -> dict[str, Any]:
    """The document that the operator wants, without a node_secret unless he gave one."""
    if isinstance(event, ConfigPush):
        return _filled(event.document, case.node)
    if isinstance(event, ConfigSet):
        return compare.with_value(base(case), event.path, event.value)
    if isinstance(event, ConfigRollback):
        old = rows.revision(case.tx, case.node, event.revision)
        if old is None:
            raise DataError(f"there is no v{event.revision}", why=f"v{event.revision} is not kept")
        now = base(case)
        return {**old, **{k: now[k] for k in ("node_id", "gh_uid", "zone_uid") if k in now}}
    if isinstance(event, NodesBind):
        return _bound(event, case)
    if not (case.node.bound or case.node.pending_zone):
        raise _Done(binding="keep", note="it is not bound")
    return document.bound_to(base(case), "", "")


def _bound(event: NodesBind, case: Case) -> dict[str, Any]:
    gh, zone = event.gh.strip().lower(), event.zone.strip().lower()
    made = document.bound_to(base(case), gh, zone)
    if not document.target(made)[0]:
        raise DataError("no place", why=f"{gh}/{zone} is the name space of unbound nodes")
    if (case.node.gh, case.node.zone) == (gh, zone) and not case.node.pending_zone:
        raise _Done(binding="keep", note=f"it is bound to {gh}/{zone} already")
    return made


def base(case: Case) -> dict[str, Any]:
    """The document to start a change from: the desired one, else what the node showed, else least."""
    made = rows.document_of(case.kept.text)
    if not made:
        shown = compare.without_hidden(rows.document_of(case.kept.report))
        made = {**document.skeleton(case.node.uid, case.node.type), **shown}
        made["node_id"] = case.node.uid
        made.pop("fw_version", None)  # the node writes that one
        if case.node.bound:
            made = document.bound_to(made, case.node.gh, case.node.zone)
    made.pop("node_secret", None)
    return made


def _filled(given: dict[str, Any], node: Node) -> dict[str, Any]:
    """What the registry knows and the document leaves out; the rest must be there."""
    place = (node.pending_gh, node.pending_zone) if node.pending_zone else (node.gh, node.zone)
    known = document.bound_to(document.skeleton(node.uid, node.type), *place)
    for name in ("channels", "wifi", "mqtt"):
        known.pop(name)
    return {**known, **given}


async def _queue(case: Case, wanted: dict[str, Any], settings: Settings, *, rotate: bool) -> None:
    made, found = _with_secret(case, wanted, rotate)
    found += document.problems(made, tuple(settings.metrics))
    found += [
        Problem(path, "holds the *** of a shown document instead of the real value")
        for path in compare.hidden_in(made)
    ]
    found += _against_node(case, made)
    found += [p for p in await case.tx.host.problems(made, case.node) if p not in found]
    revision = twin.next_revision(case.kept.twin)
    text = ""
    try:
        text = text_of(made)
    except DataError as error:  # document.problems named the place already
        found = found or [Problem("", error.what)]
    else:
        too_big = size_problem(case.node, revision, text, foreign=case.foreign)
        found += [too_big] if too_big else []
    if found:
        refuse(case, found)
        return
    binding = _bind(case, made)
    pending = pending_secret(case)
    case.kept = replace(
        case.kept, text=text, carried=bool(pending) and pending == made["node_secret"]
    )
    case.take(twin.push(case.kept.twin, sha256_of(text), case.at))
    case.tx.answer(_accepted(case, binding=binding))


def _accepted(case: Case, **more: Any) -> dict[str, Any]:
    desired = case.kept.twin.desired
    assert desired is not None, "it has just been queued"
    return {
        "revision": desired.revision,
        "sha256": desired.sha256,
        "bytes": len(case.kept.text.encode()),
        "state": desired.state,
        "foreign": case.foreign,
        **more,
    }


def _against_node(case: Case, made: dict[str, Any]) -> list[Problem]:
    """What is wrong with this document for this node."""
    node, found = case.node, []
    name = made.get("node_id")
    if name != node.uid and isinstance(name, str):
        found.append(Problem("node_id", f"this node is {node.uid}, the document is for {name}"))
    if not case.foreign:
        return found
    unbinds = bool(node.bound or node.pending_zone)
    if not document.target(made)[0] and not unbinds:
        found.append(
            Problem("gh_uid", "a field node that is not bound takes only a document that binds it")
        )
    before = rows.document_of(case.kept.text)
    if before and case.kept.twin.desired and case.kept.twin.desired.state == "verified":
        changed = {c.path.partition(".")[0] for c in compare.diff(before, made)}
        if changed and changed <= {"wifi", "mqtt"}:
            found.append(
                Problem("version", "a field node ignores a change of wifi or mqtt alone: change it")
            )
    return found


def pending_secret(case: Case) -> str:
    """The secret that may be on its way to the node and is not proved, "" for none."""
    desired, secret = case.kept.twin.desired, secret_in(case.kept.text)
    if desired is None or secret == case.node.secret:
        return ""
    if desired.state in twin.ANSWERS and not case.kept.carried:
        return ""  # the only revision that brought it was refused or rolled back
    return secret


def _with_secret(
    case: Case, wanted: dict[str, Any], rotate: bool
) -> tuple[dict[str, Any], list[Problem]]:
    pending, given = pending_secret(case), wanted.get("node_secret")
    kept = pending or case.node.secret or secret_in(case.kept.text)
    given = None if given == compare.HIDDEN else given
    if given is None:
        given = secrets.token_hex(32) if rotate or not kept else kept
    found = []
    if pending and given != pending:
        waits = "another new secret is still on its way to the node; let that end first"
        found.append(Problem("node_secret", waits))
    return {**wanted, "node_secret": given}, found


def _bind(case: Case, made: dict[str, Any]) -> str:
    """What this document does to the node's place (A5): keep, bind, move or unbind."""
    node, place = case.node, document.target(made)
    here, pending = (node.gh, node.zone), (node.pending_gh, node.pending_zone)
    case.kept = replace(case.kept, via_gh="", via_zone="")
    if not place[0]:
        if not (node.bound or node.pending_zone):
            return "keep"
        case.kept = replace(case.kept, via_gh=node.gh, via_zone=node.zone)
        case.change(gh="", zone="", pending_gh="", pending_zone="", pending_at=None)
        _unassign(case)
        return "unbind"
    if place == here:
        case.change(pending_gh="", pending_zone="", pending_at=None)
        return "keep"
    moves = node.bound
    if moves:
        if case.foreign:  # best effort: out of the old zone, then into the new one (A5)
            out = {**document.bound_to(base(case), "", ""), "node_secret": made["node_secret"]}
            case.tx.publish_json(case.topic(), out)
        case.change(gh="", zone="")
        _unassign(case)
    case.change(pending_gh=place[0], pending_zone=place[1], pending_at=case.at)
    return "move" if moves else "bind" if place != pending else "keep"


def _unassign(case: Case) -> None:
    if may_become(LIFECYCLE, case.node.lifecycle_state, "REGISTERED_BACKEND"):
        case.change(lifecycle_state="REGISTERED_BACKEND")


def _retry(case: Case) -> None:
    desired = case.kept.twin.desired
    if desired is None:
        refuse(case, [Problem("", "no config was ever pushed to this node")])
        return
    if desired.state == "verified":
        case.tx.answer(_accepted(case, note="it is verified; there is nothing to try again"))
        return
    case.take(twin.retry(case.kept.twin, case.at))
    case.tx.answer(_accepted(case))
