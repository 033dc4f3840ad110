"""The plugin's rows: the only file of it with SQL about the twin.

Rules of this file. It decides nothing. A node's number can be given out again when a node was never
registered or was forgotten, so rows are believed only together with the node's name or age.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import Node, Tx
from gateway_config.actions import Move
from gateway_config.twin import Desired, Shown, Twin

KEEP = 50
"""Revisions that are kept for each node."""
STRANGERS_FOR = 86_400.0
"""Seconds for which the report of a node that was never registered is kept."""

# a walk over all rows: strangers have numbers in a row, so every twentieth of them pays for it
_WALK_EVERY = 20

_DESIRED = (
    "revision, sha256, document, state, sends, step, sent_at, next_at, via_gh, via_zone, carried"
)
_SHOWN = "revision, sha256, state, top, boot_id, hello_seq, report_seq, boots, proof, document, place, name"
_STAMPS = {
    "sent": "sent_at",
    "received": "received_at",
    "applied": "applied_at",
    "verified": "verified_at",
}


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All that this plugin knows about one node."""

    twin: Twin
    text: str = ""
    """The desired document as it is sent, with its secret."""
    via_gh: str = ""
    via_zone: str = ""
    carried: bool = False
    proof: str = ""
    report: str = ""
    """The document that the node showed last, redacted; "" where it showed none."""
    place: str = ""
    """Where it reported from last, as `greenhouse/zone/node` in its own spelling; "" for nowhere."""


def load(tx: Tx, node: Node, *, foreign: bool) -> Kept:
    """What the tables hold about this node."""
    sql = f"SELECT {_DESIRED} FROM config_desired WHERE node_id = ?"
    found = tx.read(sql, node.id) if node.known else []
    desired, text, via_gh, via_zone, carried = None, "", "", "", 0
    if found:
        revision, sha256, text, state, sends, step, sent_at, next_at, *rest = found[0]
        via_gh, via_zone, carried = rest
        desired = Desired(
            revision=revision,
            sha256=sha256,
            state=state,
            sends=sends,
            step=step,
            sent_at=sent_at,
            next_at=next_at,
        )
    shown, proof, report, place = _load_shown(tx, node)
    return Kept(
        twin=Twin(desired=desired, shown=shown, foreign=foreign),
        text=text,
        via_gh=via_gh,
        via_zone=via_zone,
        carried=bool(carried),
        proof=proof,
        report=report,
        place=place,
    )


def _load_shown(tx: Tx, node: Node) -> tuple[Shown, str, str, str]:
    # by name as well: what came before the node was registered stands under a number of its own
    names = sorted(names_of(node))
    marks = ", ".join("?" * len(names))
    found = tx.read(
        f"SELECT {_SHOWN} FROM config_reported WHERE name IN ({marks}) "
        "ORDER BY node_id = ? DESC, at DESC LIMIT 1",
        *names,
        node.id,
    )
    if not found:
        return Shown(), "", "", ""
    revision, sha256, state, top, boot_id, hello_seq, report_seq, boots, *rest, _name = found[0]
    shown = Shown(
        revision=revision,
        sha256=sha256,
        state=state,
        top=top,
        boot_id=boot_id,
        hello_seq=hello_seq,
        report_seq=report_seq,
        boots=tuple(boots.split()),
    )
    proof, report, place = rest
    return shown, proof, report, place


def names_of(node: Node) -> set[str]:
    """The node's names in lower case."""
    return {name.lower() for name in (node.uid, node.hardware_id) if name}


def save_desired(tx: Tx, node: Node, kept: Kept) -> None:
    """Write the desired side."""
    desired = kept.twin.desired
    assert desired is not None, "nothing desired is nothing to save"
    tx.write(
        f"INSERT OR REPLACE INTO config_desired (node_id, {_DESIRED}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        node.id,
        desired.revision,
        desired.sha256,
        kept.text,
        desired.state,
        desired.sends,
        desired.step,
        desired.sent_at,
        desired.next_at,
        kept.via_gh,
        kept.via_zone,
        int(kept.carried),
    )


def save_shown(tx: Tx, node: Node, kept: Kept, name: str, at: float) -> None:
    """Write the reported side; another row under this number or this name has had its time."""
    shown, name = kept.twin.shown, (node.hardware_id or name).lower()
    tx.write(
        "DELETE FROM config_reported WHERE (node_id = ? AND name <> ?) OR (name = ? AND node_id <> ?)",
        node.id,
        name,
        name,
        node.id,
    )
    if not node.known and node.id % _WALK_EVERY == 0:
        tx.write(
            "DELETE FROM config_reported WHERE at < ? AND node_id NOT IN (SELECT id FROM nodes)",
            at - STRANGERS_FOR,
        )
    tx.write(
        f"INSERT INTO config_reported (node_id, {_SHOWN}, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET "
        + ", ".join(f"{c} = excluded.{c}" for c in [*_SHOWN.split(", "), "at"]),
        node.id,
        shown.revision,
        shown.sha256,
        shown.state,
        shown.top,
        shown.boot_id,
        shown.hello_seq,
        shown.report_seq,
        " ".join(shown.boots),
        kept.proof,
        kept.report,
        kept.place,
        name,
        at,
    )


def save_refusal(tx: Tx, node: Node, name: str, word: str, at: float) -> None:
    """Count a message that was not believed."""
    tx.write(
        "INSERT INTO config_reported (node_id, name, refused, refused_word, refused_at) "
        "VALUES (?, ?, 1, ?, ?) ON CONFLICT (node_id) DO UPDATE SET refused = refused + 1, "
        "refused_word = excluded.refused_word, refused_at = excluded.refused_at",
        node.id,
        (node.hardware_id or name).lower(),
        word,
        at,
    )


def add_revision(
    tx: Tx, node: Node, kept: Kept, at: float, author: str = "", note: str = ""
) -> None:
    """Begin the history of a revision, and drop the oldest."""
    desired = kept.twin.desired
    assert desired is not None, "a revision is born desired"
    document = json.loads(kept.text)
    document.pop("node_secret", None)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    tx.write(
        "INSERT INTO config_revisions (node_id, revision, sha256, document, state, author, note, "
        "queued_at) VALUES (?, ?, ?, ?, 'queued', ?, ?, ?)",
        node.id,
        desired.revision,
        desired.sha256,
        text,
        author,
        note,
        at,
    )
    tx.write(
        "DELETE FROM config_revisions WHERE node_id = ? AND revision <= ? - ?",
        node.id,
        desired.revision,
        KEEP,
    )


def move_revision(tx: Tx, node: Node, move: Move, at: float) -> None:
    """Write how far a revision came."""
    stamp = _STAMPS.get(move.state, "final_at")
    tx.write(
        f"UPDATE config_revisions SET state = ?, reason = ?, path = ?, differs = ?, {stamp} = ? "
        "WHERE node_id = ? AND revision = ?",
        move.state,
        move.reason[:500],
        move.path[:200],
        json.dumps(list(move.differs)),
        at,
        node.id,
        move.revision,
    )
    if move.state == "verified":  # only now: a newer one may yet have been rolled back
        tx.write(
            "UPDATE config_revisions SET state = 'superseded', final_at = ? "
            "WHERE node_id = ? AND revision < ? AND state = 'verified'",
            at,
            node.id,
            move.revision,
        )


def last_verified(tx: Tx, node: Node) -> int:
    """The highest revision that the node verified, 0 for none."""
    found = tx.read(
        "SELECT max(revision) FROM config_revisions WHERE node_id = ? AND verified_at IS NOT NULL",
        node.id,
    )
    return found[0][0] or 0 if found else 0


def revision(tx: Tx, node: Node, number: int) -> dict[str, Any] | None:
    """The document of an old revision, without its secret."""
    found = tx.read(
        "SELECT document FROM config_revisions WHERE node_id = ? AND revision = ?", node.id, number
    )
    return dict(json.loads(found[0][0])) if found else None


def forget_before(tx: Tx, node: Node) -> None:
    """This node is new: what is older under its number was another node's."""
    born = node.created_at
    tx.write(
        "DELETE FROM config_desired WHERE node_id = ? AND EXISTS (SELECT 1 FROM config_revisions r "
        "WHERE r.node_id = config_desired.node_id AND r.revision = config_desired.revision "
        "AND r.queued_at < ?)",
        node.id,
        born,
    )
    tx.write("DELETE FROM config_revisions WHERE node_id = ? AND queued_at < ?", node.id, born)
    tx.write("DELETE FROM config_channels WHERE node_id = ? AND seen_at < ?", node.id, born)


def document_of(text: str) -> dict[str, Any]:
    """A stored text as a document, {} for none."""
    value = json.loads(text) if text else {}
    return dict(value) if isinstance(value, Mapping) else {}
