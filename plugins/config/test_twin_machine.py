"""The twin alone: a node, a bad network and an operator, played by Hypothesis for years."""

from __future__ import annotations

import pytest
from gateway_config import twin
from gateway_config.twin import Move, Queue, Said, Send, Twin
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

SHA = {name: name * 64 for name in "abcdef"}


class Fleet(RuleBasedStateMachine):
    """One node, its gateway, and a network that loses, doubles, delays and reorders."""

    wire = Bundle("wire")

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin()
        self.now = 1_000.0
        self.down: list[tuple[int, str]] = []
        self.up: list[Said] = []
        self.history: dict[int, str] = {}
        self.ended: set[tuple[int, str]] = set()
        self.proofs: set[tuple[int, str]] = set()
        # the node: what it runs, what is on trial, what it refused last
        self.slot = (0, "")
        self.trial: tuple[int, str] | None = None
        self.failed: tuple[tuple[int, str], str] | None = None
        self.boot, self.seq = 0, {"hello": 0, "report": 0}

    @initialize(revision=st.integers(0, 5))
    def a_life_before_us(self, revision: int) -> None:
        """The node may run another gateway's revision already."""
        self.slot = (revision, SHA["f"] if revision else "")

    # -- the gateway -------------------------------------------------------------------------

    def take(self, step: twin.Step) -> None:
        """Carry a step out as the plugin does, and check what must hold of each action."""
        before = self.twin
        self.twin, actions = step
        for action in actions:
            if isinstance(action, Queue):
                assert action.revision > max(self.history, default=0), "revisions only grow"
                self.history[action.revision] = "queued"
            elif isinstance(action, Move):
                pair = (action.revision, self.sha_of(action.revision, before))
                if action.state == "verified":
                    assert pair in self.proofs, "verified without proof"
                if action.state in twin.ANSWERS:
                    self.ended.add(pair)
                self.history[action.revision] = action.state
            elif isinstance(action, Send):
                desired = self.twin.desired
                assert desired is not None
                pair = (desired.revision, desired.sha256)
                assert pair not in self.ended, "an end is an end"
                self.down.append(pair)

    def sha_of(self, revision: int, before: Twin) -> str:
        """The hash of a revision that a step moved."""
        for side in (self.twin, before):
            if side.desired is not None and side.desired.revision == revision:
                return side.desired.sha256
        return ""

    @rule(sha=st.sampled_from("abc"))
    def push(self, sha: str) -> None:
        """The operator pushes."""
        self.take(twin.push(self.twin, SHA[sha], self.now))

    @rule()
    def retry(self) -> None:
        """The operator says: once more."""
        self.take(twin.retry(self.twin, self.now))

    @rule(seconds=st.sampled_from([0.1, 3.0, 30.0, 400.0, -1e6]), offline=st.booleans())
    def time_passes(self, seconds: float, offline: bool) -> None:
        """Also backwards, as a wall clock does."""
        self.now += seconds
        self.take(twin.tick(self.twin, self.now, offline=offline))

    # -- the node ----------------------------------------------------------------------------

    def say(self, kind: str, pair: tuple[int, str], state: str = "") -> None:
        """The node says something; it waits on the wire."""
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

    @rule()
    def boot_node(self) -> None:
        """The node starts again: hello and its report, both with what it runs now."""
        self.boot += 1
        self.seq = {"hello": 0, "report": 0}
        shown = self.trial or self.slot
        self.say("hello", shown)
        self.say("report", shown, "applied" if self.trial else "verified" if self.slot[0] else "")

    @precondition(lambda self: self.down)
    @rule(data=st.data(), good=st.booleans(), keep=st.booleans())
    def config_arrives(self, data: st.DataObject, good: bool, keep: bool) -> None:
        """A config reaches the node, perhaps twice; it may be one that the node refuses."""
        pair = data.draw(st.sampled_from(self.down))
        if not keep:
            self.down.remove(pair)
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

    @precondition(lambda self: self.trial)
    @rule(well=st.booleans())
    def trial_ends(self, well: bool) -> None:
        """The receipt came, or it did not."""
        assert self.trial is not None
        pair, self.trial = self.trial, None
        if well:
            self.slot = pair
        else:
            self.failed = (pair, "rolled_back")
        self.say("report", pair, "verified" if well else "rolled_back")

    # -- the network -------------------------------------------------------------------------

    @precondition(lambda self: self.up)
    @rule(data=st.data(), keep=st.booleans())
    def message_arrives(self, data: st.DataObject, keep: bool) -> None:
        """Any waiting message arrives, and may arrive again."""
        message = data.draw(st.sampled_from(self.up))
        if not keep:
            self.up.remove(message)
        self.hear(message)

    def hear(self, message: Said) -> None:
        """One message of the node, at the gateway."""
        if message.kind == "hello":
            self.take(twin.hello(self.twin, message, self.now))
        else:
            self.take(twin.report(self.twin, message, self.now))

    @rule()
    def the_link_breaks(self) -> None:
        """Whatever was on its way is lost."""
        self.up.clear()
        self.down.clear()

    @rule()
    def calm(self) -> None:
        """When messages flow again and the node is well, both sides agree in a few rounds."""
        self.the_link_breaks()
        if self.trial is not None:  # a trial ends by itself, in time
            self.slot, self.trial = self.trial, None
        for _ in range(6):
            self.boot_node()
            while self.up or self.down:
                if self.up:
                    self.hear(self.up.pop(0))
                    continue
                pair = self.down.pop()
                self.down.clear()
                self.deliver_well(pair)
            self.now += 10.0
        desired = self.twin.desired
        if desired is None or (desired.revision, desired.sha256) in self.ended:
            return
        if self.slot[0] > desired.revision:
            assert desired.state == "verified", "another gateway's, which we do not fight"
            return
        assert desired.state == "verified"
        assert self.slot == (desired.revision, desired.sha256)

    def deliver_well(self, pair: tuple[int, str]) -> None:
        """The node takes a config and proves it at once."""
        if self.failed is not None and self.failed[0] == pair:
            self.say("report", pair, self.failed[1])
        elif pair == self.slot or pair[0] > self.slot[0]:
            self.slot, self.trial = pair, None
            self.say("report", pair, "verified")

    # -- always ------------------------------------------------------------------------------

    @invariant()
    def one_revision_is_live(self) -> None:
        """Never two."""
        live = [r for r, state in self.history.items() if state in twin.LIVE]
        assert len(live) <= 1
        if live:
            assert self.twin.desired is not None
            assert live == [self.twin.desired.revision]

    @invariant()
    def live_means_planned(self) -> None:
        """What is live has a next send; what is not has none."""
        desired = self.twin.desired
        if desired is not None:
            assert (desired.next_at is not None) == (desired.state in twin.LIVE)


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_machine_would_notice() -> None:
    """The checks of the machine bite: a verified without proof is an error there."""
    machine = Fleet()
    machine.push("a")
    with pytest.raises(AssertionError, match="without proof"):
        machine.take((machine.twin, (Move(revision=1, state="verified"),)))
