"""The twin alone: a node, a bad network and an operator, played by Hypothesis for years."""

from __future__ import annotations

import pytest
from gateway_config import twin
from gateway_config.twin import Desired, Ignore, Move, Queue, Said, Send, Shown, Twin
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
from msgspec.structs import replace

SHA = {name: name * 64 for name in "abcdef"}


def said(kind: str, revision: int = 0, sha256: str = "", **more: object) -> Said:
    """What a node says, with a boot of its own."""
    return Said(kind=kind, revision=revision, sha256=sha256, **{"boot_id": "b1", **more})


def pushed(sha256: str = SHA["a"], now: float = 0.0, **fields: object) -> Twin:
    """A twin after a first push."""
    return twin.push(Twin(**fields), sha256, now)[0]


def kinds(step: twin.Step) -> list[str]:
    """The actions of a step in short."""
    return [a.state if isinstance(a, Move) else type(a).__name__.lower() for a in step[1]]


def test_a_push_is_queued_and_sent_at_once() -> None:
    """The first revision is 1, it is published in the same step, and the next send is planned."""
    after, actions = twin.push(Twin(), SHA["a"], 100.0)
    assert actions == (Queue(1), Send(), Move(revision=1, state="sent"))
    assert after.desired == Desired(
        revision=1, sha256=SHA["a"], state="sent", sends=1, step=1, sent_at=100.0, next_at=105.0
    )


@pytest.mark.parametrize("shown", [Shown(revision=7), Shown(top=7)])
def test_the_revision_goes_on_behind_the_node(shown: Shown) -> None:
    """A gateway with a new database continues at one more than the node reports."""
    assert twin.next_revision(Twin(shown=shown)) == 8


def test_the_back_off_doubles_up_to_five_minutes() -> None:
    """5, 10, 20 ... 300 s between sends, and 300 for ever after."""
    assert [twin.delay(n) for n in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert twin.delay(10**9) == 300


def test_silence_is_answered_with_the_back_off() -> None:
    """Nothing is sent before its time, and at its time the interval doubles."""
    now = pushed()
    assert twin.tick(now, 4.9)[1] == ()
    after, actions = twin.tick(now, 5.0)
    assert actions == (Send(),)
    assert after.desired is not None
    assert after.desired.next_at == 15.0


def test_a_clock_set_back_does_not_stop_the_sends() -> None:
    """A next send that lies years ahead is due now."""
    assert kinds(twin.tick(pushed(now=2e9), 1e9)) == ["send"]


def test_an_offline_node_costs_no_send() -> None:
    """Sends to a node that is known to be away are put off, not spent."""
    after, actions = twin.tick(pushed(foreign=True), 5.0, offline=True)
    assert actions == ()
    assert after.desired is not None
    assert after.desired.sends == 1
    assert kinds(twin.online(after, 400.0)) == ["send"]


def test_a_hello_with_another_revision_is_answered_with_the_config() -> None:
    """A node that has just connected gets what it lacks, and the back-off starts anew."""
    tired = pushed()
    for now in (5.0, 15.0, 35.0):
        tired, _ = twin.tick(tired, now)
    after, actions = twin.hello(tired, said("hello", seq=1), 36.0)
    assert actions == (Send(),)
    assert after.desired is not None
    assert after.desired.next_at == 41.0


def test_a_hello_that_shows_the_revision_is_no_proof() -> None:
    """A node on trial shows the new revision in its hello: received, not verified, not sent again."""
    after, actions = twin.hello(pushed(), said("hello", 1, SHA["a"], seq=1), 1.0)
    assert kinds((after, actions)) == ["received"]


def test_the_way_to_verified() -> None:
    """received, applied, verified, each once, and nothing is sent any more."""
    now = pushed()
    for seq, state in enumerate(("received", "applied", "verified"), 1):
        step = twin.report(now, said("report", 1, SHA["a"], state=state, seq=seq, proved=True), 9.0)
        assert kinds(step) == [state]
        now = step[0]
    assert twin.tick(now, 1e6) == (now, ())


def test_verified_needs_the_signature() -> None:
    """A verified that is not signed under the document's secret is refused and changes nothing."""
    now = pushed()
    step = twin.report(now, said("report", 1, SHA["a"], state="verified", seq=1), 9.0)
    assert step == (now, (Ignore("signature"),))


def test_verified_needs_revision_and_hash() -> None:
    """The right revision with another hash proves nothing; it is another gateway's document."""
    step = twin.report(
        pushed(), said("report", 1, SHA["b"], state="verified", seq=1, proved=True), 9.0
    )
    assert kinds(step) == ["superseded", "queue", "send", "sent"]
    assert step[0].desired is not None
    assert step[0].desired.revision == 2


@pytest.mark.parametrize("end", ["rejected", "rolled_back"])
def test_an_end_is_an_end(end: str) -> None:
    """After rejected or rolled_back neither time nor hello nor report sends that revision again."""
    now, actions = twin.report(
        pushed(), said("report", 1, SHA["a"], state=end, reason="why", path="mqtt.port", seq=1), 1.0
    )
    assert actions == (Move(revision=1, state=end, reason="why", path="mqtt.port"),)
    assert twin.tick(now, 1e6)[1] == ()
    assert twin.hello(now, said("hello", 0, seq=1), 1e6)[1] == ()
    assert twin.report(now, said("report", 0, state="verified", seq=2), 1e6)[1] == ()


def test_retry_gives_a_failed_document_a_new_number() -> None:
    """The node answers for a failed pair without another trial, so a retry is another pair."""
    now, _ = twin.report(pushed(), said("report", 1, SHA["a"], state="rejected", seq=1), 1.0)
    after, actions = twin.retry(now, 50.0)
    assert kinds((after, actions)) == ["queue", "send", "sent"]
    assert after.desired is not None
    assert after.desired.revision == 2


def test_retry_of_a_live_revision_sends_it_now() -> None:
    """What has not ended keeps its number."""
    after, actions = twin.retry(pushed(), 1.0)
    assert actions == (Send(),)
    assert after.desired is not None
    assert after.desired.revision == 1


def test_a_newer_push_supersedes() -> None:
    """Only one revision is live."""
    assert kinds(twin.push(pushed(), SHA["b"], 1.0)) == ["superseded", "queue", "send", "sent"]


def test_a_higher_revision_on_the_node_renumbers_what_waits() -> None:
    """The node would refuse ours as old, so the same document goes on behind its number."""
    after, actions = twin.hello(pushed(), said("hello", 9, SHA["f"], seq=1), 1.0)
    assert kinds((after, actions)) == ["superseded", "queue", "send", "sent"]
    assert after.desired is not None
    assert (after.desired.revision, after.desired.sha256) == (10, SHA["a"])


def test_two_gateways_do_not_fight_over_a_verified_config() -> None:
    """What was verified and then replaced by somebody else is shown, not undone."""
    now, _ = twin.report(
        pushed(), said("report", 1, SHA["a"], state="verified", seq=1, proved=True), 1.0
    )
    assert twin.hello(now, said("hello", 5, SHA["f"], seq=1), 2.0)[1] == ()


def test_a_node_that_lost_a_verified_config_gets_it_again() -> None:
    """A hello without a revision after verified starts that revision anew."""
    now, _ = twin.report(
        pushed(), said("report", 1, SHA["a"], state="verified", seq=1, proved=True), 1.0
    )
    assert kinds(twin.hello(now, said("hello", boot_id="b2", seq=1), 2.0)) == ["send", "sent"]


@pytest.mark.parametrize(
    "late",
    [
        said("report", 1, SHA["a"], state="rejected", seq=2),
        said("report", 1, SHA["a"], state="rejected", seq=1),
        said("report", 1, SHA["a"], state="rejected", boot_id="b0", seq=99),
    ],
)
def test_late_and_doubled_reports_change_nothing(late: Said) -> None:
    """boot_id and seq tell what is older than what was heard already."""
    now, _ = twin.hello(pushed(), said("hello", boot_id="b0", seq=1), 0.0)
    now, _ = twin.report(now, said("report", 1, SHA["a"], state="applied", seq=2), 1.0)
    assert twin.report(now, late, 2.0) == (now, (Ignore("stale"),))


def test_an_impossible_revision_is_refused() -> None:
    """A revision that leaves no number to continue from is refused with the word revision."""
    assert twin.hello(Twin(), said("hello", 2**31), 0.0) == (Twin(), (Ignore("revision"),))


def test_a_foreign_node_verifies_by_showing_the_document() -> None:
    """No path differs: verified."""
    assert kinds(twin.plain_report(pushed(foreign=True), (), 1.0)) == ["verified"]


def test_a_foreign_node_that_differs_is_tried_five_times() -> None:
    """applied with the differing paths, sent again with back-off, expired in the end."""
    now, sends = pushed(foreign=True), 1
    at = 0.0
    while now.desired is not None and now.desired.state != "expired":
        at += 300.0
        now, actions = twin.plain_report(now, ("channels[a].unit",), at)
        sends += actions.count(Send())
        moves = [a for a in actions if isinstance(a, Move)]
        assert all(m.differs == ("channels[a].unit",) for m in moves)
    assert sends == 5
    assert twin.hello(now, said("hello"), at + 1)[1] == ()


def test_a_foreign_reports_answer_does_not_cause_a_send_at_once() -> None:
    """A node that answers each config with a report must not be sent five in a second."""
    assert kinds(twin.plain_report(pushed(foreign=True), ("type",), 0.2)) == ["applied"]


def test_stop_ends_what_is_live_and_nothing_else() -> None:
    """A decommissioned node or a bind that nobody confirmed: expired, with the reason."""
    step = twin.stop(pushed(), "gone")
    assert step[1] == (Move(revision=1, state="expired", reason="gone"),)
    assert twin.stop(step[0], "again") == (step[0], ())


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


def test_a_step_never_changes_its_argument() -> None:
    """Twins are frozen: a step that is not carried out leaves nothing behind."""
    before = pushed()
    twin.tick(before, 1e6)
    assert before == pushed()
    assert replace(before) == before
