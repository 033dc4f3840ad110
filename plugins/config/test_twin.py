"""The twin's rules one by one; `test_twin_machine.py` plays them against a bad network."""

from __future__ import annotations

import pytest
from config_twin import SHA, kinds, pushed, said
from gateway_config import twin
from gateway_config.actions import Ignore, Move, Queue, Send
from gateway_config.twin import Desired, Said, Shown, Twin
from msgspec.structs import replace

from gateway import CONFIG_STATES, may_become


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


@pytest.mark.parametrize("state", ["received", "applied"])
def test_a_hello_with_the_new_config_is_soon_asked_for_its_proof(state: str) -> None:
    """The report that it is verified was acknowledged by a broker that then forgot it: the node, which
    has proved it, is asked again within seconds, not minutes."""
    now, _ = twin.report(pushed(), said("report", 1, SHA["a"], state=state, seq=1), 1.0)
    now, _ = twin.hello(now, said("hello", 1, SHA["a"], boot_id="b2", seq=1), 10.0)
    after, actions = twin.tick(now, 10.0 + twin.FIRST_DELAY)
    assert actions == (Send(),)
    proof = said("report", 1, SHA["a"], state="verified", boot_id="b2", seq=2, proved=True)
    assert kinds(twin.report(after, proof, 16.0)) == ["verified"]


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


REPORTED = ("received", "applied", "verified", "rejected", "rolled_back")


@pytest.mark.parametrize("was", sorted(CONFIG_STATES))
@pytest.mark.parametrize("state", REPORTED)
def test_no_report_moves_against_the_table(was: str, state: str) -> None:
    """Whatever a node says of the wanted revision: it goes where the table of states lets it, or stays."""
    wanted = Desired(revision=1, sha256=SHA["a"], state=was, step=9)
    told = said("report", 1, SHA["a"], state=state, seq=1, proved=True)
    after, _ = twin.report(Twin(desired=wanted), told, 1.0)
    assert after.desired is not None
    goes = may_become(CONFIG_STATES, was, state)
    assert after.desired.state == (state if goes else was)


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


def test_a_wiped_board_gets_it_again_by_its_report_alone() -> None:
    """Its hello may not have been believed yet; no report of a lower revision crosses what is proved."""
    now, _ = twin.report(
        pushed(), said("report", 1, SHA["a"], state="verified", seq=1, proved=True), 1.0
    )
    wiped = twin.report(now, said("report", 0, "", boot_id="b2", seq=1), 2.0)
    assert kinds(wiped) == ["send", "sent"]


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


def test_a_step_never_changes_its_argument() -> None:
    """Twins are frozen: a step that is not carried out leaves nothing behind."""
    before = pushed()
    twin.tick(before, 1e6)
    assert before == pushed()
    assert replace(before) == before
