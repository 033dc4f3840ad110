"""What goes out: the envelope of PROTOCOL B5, or a foreign node's plain document on A5's topic.

`Case` is one event's business with one node: it carries out what the twin decided.

Rules of this file. Hash and signature are over the document's text as it is sent; a text that was
made once is never made again from its parts. The key is chosen at the moment of sending, because
a node may have been re-admitted, or have proved its new secret, since the operator pushed.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from gateway import Node, Problem, Topics, Tx, encode, sign
from gateway_config import document, rows
from gateway_config.actions import Action, Move, Queue, Send
from gateway_config.twin import ANSWERS, Step

TEMP_GH, TEMP_ZONE = document.TEMP
NODE_LIMIT = 4_096
"""Bytes of one MQTT payload that a node takes (B8)."""
FOREIGN_LIMIT = 4_095
"""A foreign node stores less than it receives (A1.2)."""
_LONGEST_KEY = "secret"
_LATE = 9_999_999_999
_STALE = 600.0
"""Seconds after which a send that never left is pointless: the back-off has made a newer one."""


def text_of(document: dict[str, Any]) -> str:
    """The document as the text that travels. Raises DataError with the path of a bad value."""
    return encode(document).decode()


def sha256_of(text: str) -> str:
    """The hash of the text's bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def secret_in(text: str) -> str:
    """The node_secret inside a document's text, "" where there is none."""
    if not text:
        return ""
    secret = json.loads(text).get("node_secret")
    return secret if isinstance(secret, str) else ""


def key_for(node: Node, text: str, claim_key: str, proof: str) -> tuple[str, str]:
    """(its name in the envelope, the key): B5's rule for K.

    `proof` says under which of its two secrets the node signed last: from then on that one is the
    secret it has, even where the report that ends its trial was lost.
    """
    if proof == "trial" and node.trial_secret:
        return "secret", node.trial_secret
    if node.secret:
        return "secret", node.secret
    if claim_key:
        return "claim", claim_key
    return "open", secret_in(text)


def envelope(
    hardware_id: str, revision: int, text: str, key: tuple[str, str], *, ts: int = 0
) -> dict[str, Any]:
    """The envelope around a document's text; the outbox puts `ts` in when it leaves."""
    sha256 = sha256_of(text)
    name, secret = key
    return {
        "message_type": "config",
        "revision": revision,
        "sha256": sha256,
        "ts": ts,
        "key": name,
        "doc": text,
        "sig": sign(secret, "config", hardware_id, revision, sha256),
    }


def size_problem(node: Node, revision: int, text: str, *, foreign: bool) -> Problem | None:
    """What is wrong with the size, counted as the payload on the wire; None where it fits."""
    if foreign:
        size, limit = len(text.encode()), FOREIGN_LIMIT
    else:
        made = envelope(node.hardware_id or "", revision, text, (_LONGEST_KEY, ""), ts=_LATE)
        size, limit = len(encode(made)), NODE_LIMIT
    if size <= limit:
        return None
    return Problem(
        "", f"{size:,} bytes on the wire, {size - limit:,} over the {limit:,} that a node takes"
    )


class Case:
    """One event's business with one node; `node` and `kept` are as this event leaves them."""

    def __init__(self, tx: Tx, node: Node, at: float, *, protocol: int = 0) -> None:
        self.tx = tx
        self.node = node
        self.at = at
        self.author = ""
        self.foreign = max(node.protocol, protocol) < 1
        self.root = tx.host.root
        self._topics = Topics(self.root)
        self._claim_key = tx.host.claim_key

    @cached_property
    def kept(self) -> rows.Kept:
        """What the tables hold about the node; read by whoever needs it first."""
        return rows.load(self.tx, self.node, foreign=self.foreign)

    def change(self, **changes: Any) -> None:
        """Change the node, where that changes anything."""
        real = {k: v for k, v in changes.items() if getattr(self.node, k) != v}
        if real:
            self.tx.set_node(**real)
            self.node = replace(self.node, **real)

    def take(self, step: Step) -> tuple[Action, ...]:
        """Carry out what the twin decided, and keep the desired side of it."""
        before = self.kept.twin.desired
        twin, actions = step
        self.kept = replace(self.kept, twin=twin)
        for action in actions:
            if isinstance(action, Queue):
                rows.add_revision(self.tx, self.node, self.kept, self.at, self.author)
                self.change(desired_revision=action.revision)
            elif isinstance(action, Move):
                rows.move_revision(self.tx, self.node, action, self.at)
                if action.state in ANSWERS or action.state == "expired":
                    # no config will follow; the receipt must not promise one
                    self.change(desired_revision=rows.last_verified(self.tx, self.node))
            elif isinstance(action, Send):
                self._send()
        if twin.desired is not None and twin.desired != before:
            rows.save_desired(self.tx, self.node, self.kept)
        return actions

    def _send(self) -> None:
        desired = self.kept.twin.desired
        assert desired is not None, "only what is desired is sent"
        text, key = self.kept.text, f"config:{self.node.id}"
        secret = secret_in(text)
        if self.foreign:
            self.tx.publish_json(self.topic(), json.loads(text), replace=key, expires=_STALE)
        else:
            k = key_for(self.node, text, self._claim_key, self.kept.proof)
            made = envelope(self.node.hardware_id or "", desired.revision, text, k)
            self.tx.publish_json(self.topic(), made, replace=key, expires=_STALE, stamp="ts")
        # receipts are signed with the one on trial from here on
        self.change(trial_secret=secret if secret != self.node.secret else None)

    def topic(self) -> str:
        """Where it goes: our nodes listen under their hardware_id for ever, foreign ones by A5."""
        node, kept = self.node, self.kept
        if self.foreign and node.bound:
            return self._topics.config(*self._spelled(node.gh, node.zone, node.uid))
        if self.foreign and kept.via_gh:
            return self._topics.config(*self._spelled(kept.via_gh, kept.via_zone, node.uid))
        return self.temp_topic()

    def temp_topic(self) -> str:
        """Where every node listens for a config for ever."""
        *_, name = self._spelled(TEMP_GH, TEMP_ZONE, self.node.hardware_id or self.node.uid)
        return self._topics.temp_config(name)

    def _spelled(self, gh: str, zone: str, name: str) -> tuple[str, str, str]:
        """The place as the node spells it: we compare in lower case, it may not."""
        said = self.kept.place.split("/")
        same = [word.lower() for word in said] == [gh.lower(), zone.lower(), name.lower()]
        return (said[0], said[1], said[2]) if same else (gh, zone, name)
