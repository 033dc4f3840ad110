"""Who may become a node, and under which uid. Pure: no clock, no database.

A5 and B9 as functions: `admit` decides about a hello, `uids` lists the names to try, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from gateway import is_uid

Registration = Literal["open", "approve", "claim"]
Reason = Literal["", "pending_approval", "rejected", "decommissioned", "identity"]

PREFIXES = {
    "ph": "ph",
    "ec": "ec",
    "climate": "clim",
    "irrig": "irr",
    "light": "light",
    "relay": "relay",
    "water_sensor": "water",
    "recirculation": "recirc",
}
"""A2.1: what stands behind `nd-` for each type; `node` for the rest."""

NOBODY = frozenset({"node-temp", "unknown"})
"""What a board calls itself that cannot read its own address (A1.1): the same for all of them."""

SUFFIXES = 5
EARLIER = 4


class Facts(NamedTuple):
    """What is known when a hello arrives."""

    registration: Registration
    known: bool
    lifecycle_state: str
    admission: str
    """`accepted`, `pending`, `rejected`, or "" where hello has never met the node."""
    must_sign: bool
    """True where the node, one of ours, has verified a secret."""
    signed: bool
    """True where the hello is signed under it, or under the one on trial."""
    claimed: bool
    """True where the hello carries the right claim."""
    offline: bool
    """True where the old boot has been silent for its offline time."""
    reflashed: bool
    """True where our firmware says hello, and the secret is one of the field's from before it."""


class Verdict(NamedTuple):
    """`readmit`: the board was wiped and comes back; its old secret is forgotten."""

    reason: Reason
    readmit: bool = False


def admit(facts: Facts) -> Verdict:
    """The table of B9, from what is final to what is open."""
    if facts.lifecycle_state == "DECOMMISSIONED":
        return Verdict("decommissioned")
    if facts.admission == "rejected":
        return Verdict("rejected")
    if facts.must_sign and not facts.signed:
        silent = facts.registration == "open" and facts.offline
        claimed = facts.registration == "claim" and facts.claimed
        return Verdict("", readmit=True) if silent or claimed else Verdict("identity")
    if facts.admission == "accepted" or facts.registration == "open":
        return Verdict("", readmit=facts.reflashed and not facts.signed)
    if facts.registration == "claim":
        return Verdict("" if facts.claimed else "identity")
    return Verdict("pending_approval")


def uids(hardware_id: str, node_type: str, wish: str | None) -> Iterator[str]:
    """Names to try: the wish, the generated one, with -1 to -5, and then one that nobody has."""
    if wish and is_uid(wish):
        yield wish
    base = f"nd-{PREFIXES.get(node_type, 'node')}-{short(hardware_id)}"
    yield base
    for number in range(1, SUFFIXES + 1):
        yield f"{base}-{number}"
    # unlike a number it cannot meet another board's: it is made from all of the hardware_id
    yield f"{base}-{hashlib.sha256(hardware_id.encode()).hexdigest()[:12]}"


def short(hardware_id: str) -> str:
    """A2.1: lower case, no separators, no leading esp32, twelve characters."""
    name = hardware_id.lower()
    for separator in ":-_":
        name = name.replace(separator, "")
    name = name.removeprefix("esp32")[:12]
    return name or hashlib.md5(hardware_id.encode(), usedforsecurity=False).hexdigest()[:12]


def is_earlier(boot_id: str, current: str, boots: str) -> bool:
    """True for a boot that another one has followed: a late message of the past."""
    return bool(boot_id) and boot_id != current and boot_id in boots.split()


def after(current: str, boots: str) -> str:
    """The list of earlier boots once `current` is one of them."""
    return " ".join([current, *boots.split()][:EARLIER]).strip() if current else boots
