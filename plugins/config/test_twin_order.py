"""Messages that cross: a key that changes on the way, and boots whose words come in the wrong order."""

from __future__ import annotations

from config_twin import SHA, pushed, said
from gateway_config import twin
from gateway_config.actions import Ignore, Move, Send
from gateway_config.twin import Said
from msgspec.structs import replace


def unsigned(**more: object) -> Said:
    """The node could not check an envelope of the first revision."""
    return said("report", 1, SHA["a"], state="rejected", reason="signature", **more)


def test_a_key_that_changed_on_the_way_is_no_answer() -> None:
    """A node that went back to an older secret could not check what was signed for the newer one: it is
    sent again, under the key that counts now."""
    late = twin.tick(twin.tick(pushed(), 5.0)[0], 15.0)[0]
    after, actions = twin.report(late, unsigned(rekeyed=True), 16.0)
    assert actions == (Send(),)
    assert after.desired is not None
    assert (after.desired.state, after.desired.next_at) == ("sent", 21.0)


def test_a_node_that_cannot_check_twice_has_answered() -> None:
    """The first envelope may have crossed its hello; the second was under the key that counts."""
    now, _ = twin.hello(pushed(), said("hello", seq=1), 1.0)
    now, actions = twin.report(now, unsigned(seq=1), 1.1)
    assert actions == ()
    now, actions = twin.tick(now, 6.0)
    assert actions == (Send(),)
    now, actions = twin.report(now, unsigned(seq=2), 6.1)
    assert actions == (Move(revision=1, state="rejected", reason="signature"),)


def test_a_proof_counts_although_an_older_hello_came_late() -> None:
    """A broker brought the hello of an older boot behind the newer one's: the boot that runs looks like
    one of the past. Its signed proof of the wanted revision is true all the same, and it is heard again."""
    now, _ = twin.hello(pushed(), said("hello", boot_id="b2", seq=1), 0.0)
    now, _ = twin.report(
        now, said("report", 1, SHA["a"], state="applied", boot_id="b2", seq=1), 1.0
    )
    now, _ = twin.hello(now, said("hello", boot_id="b1", seq=1), 2.0)
    told = said("report", 1, SHA["a"], state="verified", boot_id="b2", seq=2)
    assert twin.report(now, told, 3.0) == (now, (Ignore("stale"),))
    after, _ = twin.report(now, replace(told, proved=True), 3.0)
    assert after.desired is not None
    assert after.desired.state == "verified"
    assert (after.shown.boot_id, after.shown.boots) == ("b2", ())


def test_a_proof_of_the_past_silences_nobody() -> None:
    """It came late, out of a boot that is over: the boot that runs is heard on, as its refusal of the next
    config is."""
    now, _ = twin.hello(pushed(), said("hello", boot_id="b1", seq=1), 0.0)
    now, _ = twin.hello(now, said("hello", boot_id="b2", seq=1), 2.0)
    proof = said("report", 1, SHA["a"], state="verified", boot_id="b1", seq=2, proved=True)
    now, actions = twin.report(now, proof, 3.0)
    assert actions == (Move(revision=1, state="verified"),)
    now, _ = twin.push(now, SHA["b"], 4.0)
    no = said("report", 2, SHA["b"], state="rejected", reason="schema", boot_id="b2", seq=1)
    now, actions = twin.report(now, no, 5.0)
    assert actions == (Move(revision=2, state="rejected", reason="schema"),)
    assert (now.shown.boot_id, now.shown.boots) == ("b2", ("b1",))
