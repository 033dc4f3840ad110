"""The twin alone: a node, a bad network and an operator, played by Hypothesis for years."""

from __future__ import annotations

import pytest
from config_twin import SHA, Heard, Pair, PlayedNode
from gateway_config import twin
from gateway_config.actions import Ignore, Move, Queue, Send
from gateway_config.twin import Said, Twin
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

from gateway import CONFIG_STATES, may_become


def sha_of(revision: int, *twins: Twin) -> str:
    """The hash of a revision that a step moved."""
    desired = (each.desired for each in twins if each.desired is not None)
    return next((each.sha256 for each in desired if each.revision == revision), "")


class Fleet(RuleBasedStateMachine):
    """One node, its gateway, and a network that loses, doubles, delays and reorders."""

    wire = Bundle("wire")

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin()
        self.now = 1_000.0
        self.node, self.heard = PlayedNode(), Heard()
        self.down: list[Pair] = []
        self.history: dict[int, str] = {}
        self.ended: set[Pair] = set()

    @initialize(revision=st.integers(0, 5))
    def a_life_before_us(self, revision: int) -> None:
        """The node may run another gateway's revision already."""
        self.node.slot = (revision, SHA["f"] if revision else "")

    # -- the gateway -------------------------------------------------------------------------

    def take(self, step: twin.Step) -> twin.Step:
        """Carry a step out as the plugin does, and check what must hold of each action."""
        before = self.twin
        self.twin, actions = step
        for action in actions:
            if isinstance(action, Queue):
                highest = max(self.heard.top, *self.history, 0)
                assert action.revision > highest, "the node would refuse it as old"
                self.history[action.revision] = "queued"
            elif isinstance(action, Move):
                pair = (action.revision, sha_of(action.revision, self.twin, before))
                if action.state == "verified":
                    assert pair in self.node.proofs, "verified without proof"
                was = self.history[action.revision]
                lost = (was, action.state) == ("verified", "sent")  # the node has it no more
                assert lost or may_become(CONFIG_STATES, was, action.state)
                if action.state in twin.ANSWERS:
                    self.ended.add(pair)
                self.history[action.revision] = action.state
            elif isinstance(action, Send):
                desired = self.twin.desired
                assert desired is not None
                pair = (desired.revision, desired.sha256)
                assert pair not in self.ended, "an end is an end"
                self.down.append(pair)
        self.live_means_planned()
        return step

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
        _, actions = self.take(twin.tick(self.twin, self.now, offline=offline))
        assert not (offline and actions), "it will say hello"
        desired = self.twin.desired
        if desired is not None and desired.next_at is not None:
            assert desired.next_at <= self.now + 2 * twin.MAX_DELAY, "put off for years"

    # -- the node ----------------------------------------------------------------------------

    @rule()
    def boot_node(self) -> None:
        """The node starts again."""
        self.node.boots()

    @rule()
    def flash_is_lost(self) -> None:
        """It was erased."""
        self.node.loses_its_flash()

    @precondition(lambda self: self.down)
    @rule(data=st.data(), good=st.booleans(), keep=st.booleans())
    def config_arrives(self, data: st.DataObject, good: bool, keep: bool) -> None:
        """A config reaches the node, perhaps twice."""
        pair = data.draw(st.sampled_from(self.down))
        if not keep:
            self.down.remove(pair)
        self.node.takes(pair, good=good)

    @precondition(lambda self: self.node.trial)
    @rule(well=st.booleans())
    def trial_ends(self, well: bool) -> None:
        """The receipt came, or it did not."""
        self.node.ends_trial(well=well)

    @precondition(lambda self: not self.node.trial)
    @rule(more=st.integers(0, 2), sha=st.sampled_from("ef"))
    def another_gateway_was_there(self, more: int, sha: str) -> None:
        """It gave the node a config of its own, under the node's secret or under another one; its
        numbers may be ours."""
        revision = max(self.node.slot[0] + 1, max(self.history, default=0) + more - 1)
        self.node.slot = (revision, SHA[sha])
        self.node.say("report", self.node.slot, "verified")

    @precondition(lambda self: self.twin.desired)
    @rule()
    def a_double_speaks(self) -> None:
        """It says that the config works, and has not signed it with the secret that is in it."""
        desired = self.twin.desired
        assert desired is not None
        pair = {"revision": desired.revision, "sha256": desired.sha256}
        said = Said(kind="report", state="verified", boot_id="double", seq=1, **pair)
        before = self.twin
        self.take(twin.report(self.twin, said, self.now))
        assert self.twin == before, "a stranger changes nothing"

    # -- the network -------------------------------------------------------------------------

    @precondition(lambda self: self.node.up)
    @rule(data=st.data(), keep=st.booleans())
    def message_arrives(self, data: st.DataObject, keep: bool) -> None:
        """Any waiting message arrives, and may arrive again."""
        message = data.draw(st.sampled_from(self.node.up))
        if not keep:
            self.node.up.remove(message)
        self.hear(message)

    def hear(self, message: Said) -> None:
        """One message of the node, at the gateway."""
        before, old = self.twin, self.heard.is_old(message)
        step = getattr(twin, message.kind)(before, message, self.now)
        if not any(isinstance(action, Ignore) for action in step[1]):
            self.heard.hear(message)
        _, actions = self.take(step)
        desired, pair = before.desired, (message.revision, message.sha256)
        is_ours = desired is not None and pair == (desired.revision, desired.sha256)
        if old:
            proof = is_ours and message.proved and message.state == "verified"
            assert self.twin == before or proof, "a late or doubled message changes nothing"
            return
        assert Ignore("stale") not in actions, "what is new is heard"
        if message.state in twin.ANSWERS:
            shown, was = self.twin.shown, before.shown
            assert (shown.revision, shown.sha256) == (was.revision, was.sha256), "it runs another"
        if desired is None or is_ours:
            return
        if desired.state == "verified" and message.revision >= desired.revision:
            assert not actions, "what another gateway brought is not fought"
        if message.kind == "hello" and desired.state in twin.LIVE:
            assert Send() in actions, "a hello is answered at once"

    @rule()
    def the_link_breaks(self) -> None:
        """Whatever was on its way is lost."""
        self.node.up.clear()
        self.down.clear()

    @rule()
    def calm(self) -> None:
        """When messages flow again and the node is well, both sides agree in a few rounds."""
        self.the_link_breaks()
        node = self.node
        if node.trial is not None:  # a trial ends by itself, in time
            node.slot, node.trial = node.trial, None
        for _ in range(6):
            node.boots()
            while node.up or self.down:
                if node.up:
                    self.hear(node.up.pop(0))
                    continue
                pair = self.down.pop()
                self.down.clear()
                node.takes_well(pair)
            self.now += 10.0
        desired = self.twin.desired
        if desired is None or (desired.revision, desired.sha256) in self.ended:
            return
        assert desired.state == "verified"
        another = node.slot[0] >= desired.revision  # another gateway's, which we do not fight
        assert another or node.slot == (desired.revision, desired.sha256)

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
