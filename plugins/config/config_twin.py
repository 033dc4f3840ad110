"""What tests of the twin share: what a node says, a twin after a push, and a node that is played."""

from __future__ import annotations

from typing import Any

from gateway_config import twin
from gateway_config.actions import Move
from gateway_config.twin import Said, Twin

SHA = {name: name * 64 for name in "abcdef"}
Pair = tuple[int, str]


def said(kind: str, revision: int = 0, sha256: str = "", **more: Any) -> Said:
    """What a node says, with a boot of its own."""
    return Said(kind=kind, revision=revision, sha256=sha256, **{"boot_id": "b1", **more})


def pushed(sha256: str = SHA["a"], now: float = 0.0, **fields: Any) -> Twin:
    """A twin after a first push."""
    return twin.push(Twin(**fields), sha256, now)[0]


def kinds(step: twin.Step) -> list[str]:
    """The actions of a step in short."""
    return [a.state if isinstance(a, Move) else type(a).__name__.lower() for a in step[1]]


class PlayedNode:
    """What it runs, what is on trial, what it refused last, and all that it has said."""

    def __init__(self) -> None:
        self.slot = (0, "")
        self.trial: Pair | None = None
        self.failed: tuple[Pair, str] | None = None
        self.boot, self.seq = 0, {"hello": 0, "report": 0}
        self.up: list[Said] = []
        self.proofs: set[Pair] = set()

    def say(self, kind: str, pair: Pair, state: str = "") -> None:
        """It waits on the wire. `f` is of another gateway that gave it another secret."""
        self.seq[kind] += 1
        proved = pair[1] != SHA["f"]
        if state == "verified" and proved:
            self.proofs.add(pair)
        self.up.append(
            Said(
                kind=kind,
                revision=pair[0],
                sha256=pair[1],
                state=state,
                boot_id=f"{self.boot:08x}",
                seq=self.seq[kind],
                proved=proved,
            )
        )

    def boots(self) -> None:
        """Hello and its report, both with what it runs now."""
        self.boot += 1
        self.seq = {"hello": 0, "report": 0}
        shown = self.trial or self.slot
        self.say("hello", shown)
        self.say("report", shown, "applied" if self.trial else "verified" if self.slot[0] else "")

    def takes(self, pair: Pair, *, good: bool) -> None:
        """A config arrives, perhaps for the second time; it may be one that the node refuses."""
        if self.failed is not None and self.failed[0] == pair:
            self.say("report", pair, self.failed[1])
        elif pair in (self.slot, self.trial):
            self.say("report", pair, "applied" if self.trial == pair else "verified")
        elif pair[0] <= max(self.slot[0], self.trial[0] if self.trial else 0):
            pass
        elif good:
            self.say("report", pair, "received")
            self.trial = pair
            self.say("report", pair, "applied")
        else:
            self.failed = (pair, "rejected")
            self.say("report", pair, "rejected")

    def takes_well(self, pair: Pair) -> None:
        """And proves it at once."""
        self.takes(pair, good=True)
        if self.trial is not None:
            self.ends_trial(well=True)

    def loses_its_flash(self) -> None:
        """It starts with nothing."""
        self.slot, self.trial, self.failed = (0, ""), None, None
        self.boots()

    def ends_trial(self, *, well: bool) -> None:
        """The receipt came, or it did not."""
        assert self.trial is not None
        pair, self.trial = self.trial, None
        if well:
            self.slot = pair
        else:
            self.failed = (pair, "rolled_back")
        self.say("report", pair, "verified" if well else "rolled_back")


class Heard:
    """What the gateway has heard of the node: which messages are old."""

    def __init__(self) -> None:
        self.boot = ""
        self.past: list[str] = []
        """The newest few: nothing of older ones is on its way any more."""
        self.seq: dict[str, int] = {}
        self.top = 0

    def is_old(self, said: Said) -> bool:
        """Of a boot that was followed by another one, or not newer than the newest of its kind."""
        same = said.boot_id == self.boot
        return said.boot_id in self.past or (same and said.seq <= self.seq.get(said.kind, 0))

    def hear(self, said: Said) -> None:
        """It was believed. Of a past boot that is a proof alone, and then that boot is heard again: the
        hello of a boot before it may have come late."""
        self.top = max(self.top, said.revision)
        if said.boot_id != self.boot:
            past = [*self.past[-8:], self.boot]
            self.past = [boot for boot in past if boot != said.boot_id]
            self.boot, self.seq = said.boot_id, {}
        self.seq[said.kind] = said.seq
