"""The twin: what a node should run, what it shows, and what follows from the two (PROTOCOL B5, B6).

Rules of this file. Pure: no clock, no randomness, no database, no secrets; each function takes the
twin and what happened at `now` (wall clock, seconds) and returns the twin after it and what to do.
Whoever calls has checked signatures already. At most one revision is live, an end is an end, and
a late or doubled message changes nothing: boot_id and seq tell (rule 5 of the design).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from gateway import CONFIG_STATES, may_become
from gateway_config.actions import Action, Ignore, Move, Queue, Send

LIVE = frozenset({"queued", "sent", "received", "applied"})
ANSWERS = frozenset({"rejected", "rolled_back"})  # final for that (revision, sha256)

FIRST_DELAY = 5.0
MAX_DELAY = 300.0
FOREIGN_SENDS = 5
GAP = 2.0  # a report that crosses our publish on the way causes no other one; behind a proof none crosses
HIGHEST = 2**31 - 1  # beyond it is a mistake of the node, not a number to continue from
_BOOTS = 8
_SENDS_TO_BE_SURE = (
    2  # since its hello: the first may have crossed it, the second has the key that counts
)


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision that an operator asked for, and how far it came."""

    revision: int
    sha256: str
    state: str = "queued"
    sends: int = 0
    step: int = 0
    sent_at: float = 0.0
    next_at: float | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the node showed last; revision 0 is none."""

    revision: int = 0
    sha256: str = ""
    state: str = ""
    top: int = 0
    boot_id: str = ""
    hello_seq: int = 0
    report_seq: int = 0
    boots: tuple[str, ...] = ()


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of one node. `foreign`: it takes plain documents and shows no revision."""

    desired: Desired | None = None
    shown: Shown = Shown()
    foreign: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A `hello`, or a `report` with a header, as far as the twin is concerned."""

    kind: str
    revision: int = 0
    sha256: str = ""
    state: str = ""
    reason: str = ""
    path: str = ""
    boot_id: str = ""
    seq: int = 0
    proved: bool = False
    """Signed under the node_secret that the desired document holds."""
    rekeyed: bool = False
    """Signed otherwise than what it said before: what is on its way to it is signed with the old key."""


Step: TypeAlias = tuple[Twin, tuple[Action, ...]]


def delay(step: int) -> float:
    """The back-off after the `step`-th send in a row: 5, 10, 20 ... 300 s."""
    return min(FIRST_DELAY * 2.0 ** min(max(step - 1, 0), 10), MAX_DELAY)


def next_revision(twin: Twin) -> int:
    """One more than the highest that either side knows."""
    own = twin.desired.revision if twin.desired else 0
    return max(own, twin.shown.revision, twin.shown.top) + 1


def push(twin: Twin, sha256: str, now: float, why: str = "") -> Step:
    """The operator wants a new document; what was under way is superseded."""
    old = _live(twin)
    before = (Move(revision=old.revision, state="superseded", reason=why),) if old else ()
    revision = next_revision(twin)
    fresh = replace(twin, desired=Desired(revision=revision, sha256=sha256))
    twin, sent = _send(fresh, now)
    return twin, (*before, Queue(revision), *sent)


def retry(twin: Twin, now: float) -> Step:
    """The operator says: once more. What has ended is asked for under a new number, because a node
    answers for a failed (revision, sha256) without another trial."""
    desired = twin.desired
    if desired is None or desired.state == "verified":
        return twin, ()
    if desired.state not in LIVE:
        return push(twin, desired.sha256, now)
    return _send(replace(twin, desired=replace(desired, sends=0, step=0)), now)


def stop(twin: Twin, reason: str) -> Step:
    """Give the live revision up."""
    return _move(twin, "expired", reason=reason) if _live(twin) else (twin, ())


def tick(twin: Twin, now: float, *, offline: bool = False) -> Step:
    """Time has passed. A node that is known to be offline costs no send; it will say hello."""
    desired = _live(twin)
    if desired is None or desired.next_at is None:
        return twin, ()
    # a wall clock that was set back must not put the next send off for years
    if now < desired.next_at <= now + 2 * MAX_DELAY:
        return twin, ()
    if offline:
        return replace(twin, desired=replace(desired, next_at=now + MAX_DELAY)), ()
    return _send_or_expire(twin, now)


def online(twin: Twin, now: float) -> Step:
    """The node is back after a silence: no need to wait for the back-off."""
    desired = _live(twin)
    if desired is None or now - desired.sent_at < GAP:
        return twin, ()
    return _send_or_expire(_fresh_step(twin), now)


def hello(twin: Twin, said: Said, now: float) -> Step:
    """The node said hello: it has just connected, and whatever was on its way is lost."""
    heard = _hear(twin, said)
    if isinstance(heard, Ignore):
        return twin, (heard,)
    if heard.foreign:
        return _send_or_expire(_fresh_step(heard), now) if _live(heard) else (heard, ())
    return _settle(_fresh_step(heard), now) if heard.desired else (heard, ())


def report(twin: Twin, said: Said, now: float) -> Step:
    """The node reported a revision, its hash and mostly a state."""
    desired = twin.desired
    meant = desired and (said.revision, said.sha256) == (desired.revision, desired.sha256)
    heard = _hear(twin, said, proof=bool(meant) and said.proved and said.state == "verified")
    if isinstance(heard, Ignore) or desired is None:
        return (twin, (heard,)) if isinstance(heard, Ignore) else (heard, ())
    if meant:
        if said.state == "verified" and not said.proved:
            return twin, (Ignore("signature"),)
        return _follow(heard, said, now)
    early = desired.state != "verified" and now - desired.sent_at < GAP
    crossed = early and said.revision < desired.revision
    return (heard, ()) if crossed or said.state in ANSWERS else _settle(heard, now)


def plain_report(twin: Twin, differs: tuple[str, ...], now: float) -> Step:
    """A foreign node showed its document; `differs` are the desired paths that it does not have."""
    desired = twin.desired
    if desired is None or desired.state not in LIVE | {"verified"}:
        return twin, ()
    if not differs:
        return _move(twin, "verified") if desired.state != "verified" else (twin, ())
    actions: tuple[Action, ...] = ()
    if desired.state != "verified":
        twin, actions = _move(twin, "applied", next_at=desired.next_at)
    if desired.state == "verified" or now >= desired.sent_at + delay(desired.step):
        twin, sent = _send_or_expire(twin, now)
        actions = (*actions, *sent)
    moved = (replace(a, differs=differs) if isinstance(a, Move) else a for a in actions)
    return twin, tuple(moved)


def _hear(twin: Twin, said: Said, *, proof: bool = False) -> Twin | Ignore:
    if not 0 <= said.revision <= HIGHEST:
        return Ignore("revision")
    shown = twin.shown
    if said.boot_id in shown.boots and not proof:  # what was proved stays true in any boot
        return Ignore("stale")
    if said.boot_id:
        if said.boot_id != shown.boot_id:
            # where one of the past proves something, who speaks next tells which of the two is over
            last = "" if said.boot_id in shown.boots else shown.boot_id
            boots = tuple(b for b in (*shown.boots[-_BOOTS:], last) if b not in ("", said.boot_id))
            shown = replace(shown, boot_id=said.boot_id, boots=boots, hello_seq=0, report_seq=0)
        count = f"{said.kind}_seq"
        if 0 < said.seq <= getattr(shown, count):
            return Ignore("stale")
        shown = replace(shown, **{count: said.seq or getattr(shown, count)})
    shown = replace(shown, top=max(shown.top, said.revision))
    if said.state not in ANSWERS:  # a refused revision is not what the node runs
        same = (said.revision, said.sha256) == (shown.revision, shown.sha256)
        state = said.state or (shown.state if same else "")
        shown = replace(shown, revision=said.revision, sha256=said.sha256, state=state)
    return replace(twin, shown=shown)


def _settle(twin: Twin, now: float) -> Step:
    """Act on the difference between what the node shows and what it should run."""
    desired, shown = _desired(twin), twin.shown
    if desired.state not in LIVE | {"verified"}:
        return twin, ()
    if (shown.revision, shown.sha256) == (desired.revision, desired.sha256):
        soon = now + delay(desired.step + 1)  # what it said of it may have died with a broker
        if desired.state in ("queued", "sent"):
            return _move(twin, "received", next_at=soon)
        return replace(twin, desired=replace(desired, next_at=soon)) if _live(twin) else twin, ()
    if shown.revision >= desired.revision:
        # somebody else's revision: ours would be refused as old. What is verified is not fought for
        if desired.state == "verified":
            return twin, ()
        return push(twin, desired.sha256, now, why=f"the node shows v{shown.revision}")
    return _send(twin, now)


def _follow(twin: Twin, said: Said, now: float) -> Step:
    """The report is about the desired revision."""
    desired = _desired(twin)
    if not said.state or said.state == desired.state:
        return _settle(twin, now)
    if _live(twin) and (said.state, said.reason) == ("rejected", "signature"):
        # no word about the document: what it could not check may be from before its key changed
        if said.rekeyed:
            return _send(_fresh_step(twin), now)
        if desired.step < _SENDS_TO_BE_SURE:
            return twin, ()
    next_at = None if said.state in ANSWERS | {"verified"} else now + MAX_DELAY
    if not may_become(CONFIG_STATES, desired.state, said.state):
        return twin, ()
    return _move(twin, said.state, reason=said.reason, path=said.path, next_at=next_at)


def _send_or_expire(twin: Twin, now: float) -> Step:
    if twin.foreign and _desired(twin).sends >= FOREIGN_SENDS:
        return _move(twin, "expired", reason=f"not confirmed after {FOREIGN_SENDS} sends")
    return _send(twin, now)


def _send(twin: Twin, now: float) -> Step:
    desired = _desired(twin)
    # from `verified` too: the node lost it, and the revision starts again
    starts = desired.state in ("queued", "verified")
    after = replace(
        desired,
        state="sent" if starts else desired.state,
        sends=desired.sends + 1,
        step=desired.step + 1,
        sent_at=now,
        next_at=now + delay(desired.step + 1),
    )
    moved = (Move(revision=desired.revision, state="sent"),) if starts else ()
    return replace(twin, desired=after), (Send(), *moved)


def _move(
    twin: Twin, state: str, *, reason: str = "", path: str = "", next_at: float | None = None
) -> Step:
    desired = _desired(twin)
    after = replace(twin, desired=replace(desired, state=state, next_at=next_at))
    return after, (Move(revision=desired.revision, state=state, reason=reason, path=path),)


def _live(twin: Twin) -> Desired | None:
    return twin.desired if twin.desired is not None and twin.desired.state in LIVE else None


def _fresh_step(twin: Twin) -> Twin:
    return replace(twin, desired=replace(_desired(twin), step=0))


def _desired(twin: Twin) -> Desired:
    assert twin.desired is not None, "the callers have looked"
    return twin.desired
