"""The node's secret: in every push, new where there is none, and the old one kept until the proof."""

from __future__ import annotations

import json
from typing import Any

from config_bench import HW, Bench, Board, prove, push
from gateway_config.asked import (
    ConfigPush,
    ConfigRollback,
    ConfigSet,
)

from gateway import signed


def test_the_first_push_brings_the_secret(bench: Bench, document: dict[str, Any]) -> None:
    """B9, open: the secret is in the document, signs it, and is on trial until it is verified."""
    made = push(bench, document)
    inside = json.loads(made["doc"])
    secret = inside["node_secret"]
    assert made["key"] == "open"
    assert signed(made["sig"], secret, "config", HW, 1, made["sha256"])
    assert (bench.node.secret, bench.node.trial_secret) == (None, secret)
    board = Board()
    prove(bench, board)
    assert (bench.node.secret, bench.node.trial_secret) == (secret, None)
    assert bench.state == "v1 verified"
    assert push(bench, document)["key"] == "secret"


def test_with_a_claim_key_it_signs_the_first_push(bench: Bench, document: dict[str, Any]) -> None:
    """B5: claim is the key of the first secret and of recovery."""
    bench.host.claim_key = "claim"
    made = push(bench, document)
    assert made["key"] == "claim"
    assert Board(claim_key="claim").take(made) == "applied"
    assert Board(claim_key="other").take(made) == "signature"


def test_rotation_keeps_the_old_secret_until_the_proof(
    bench: Bench, document: dict[str, Any]
) -> None:
    """B5: the new secret is inside, the old one signs, and is forgotten only at verified."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    old = board.secret
    made = push(bench, document, rotate=True)
    new = json.loads(made["doc"])["node_secret"]
    assert new != old
    assert made["key"] == "secret"
    assert signed(made["sig"], old, "config", HW, 2, made["sha256"])
    assert (bench.node.secret, bench.node.trial_secret) == (old, new)
    prove(bench, board)
    assert (bench.node.secret, bench.node.trial_secret) == (new, None)
    kept = "".join(str(row) for row in bench.read("SELECT * FROM config_revisions"))
    assert old not in kept


def test_a_report_before_the_proof_changes_no_secret(
    bench: Bench, document: dict[str, Any]
) -> None:
    """B5: `received` and `applied` under the new secret are no proof yet; the old one stays beside it."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    old = board.secret
    push(bench, document, rotate=True)
    assert board.take(bench.sent[-1].payload) == "applied"
    for state in ("received", "applied"):
        bench.report(**board.report(state))
        assert bench.node.secret == old
        assert bench.node.trial_secret is not None


def test_a_rotation_that_is_rolled_back_leaves_the_old_secret(
    bench: Bench, document: dict[str, Any]
) -> None:
    """The new secret is dropped with the revision that brought it; the next push has the old one."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document, rotate=True)
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.report(**board.report("applied"))
    bench.report(**board.roll_back())
    assert bench.state == "v2 rolled_back"
    assert (bench.node.secret, bench.node.trial_secret) == (board.secret, None)
    assert bench.node.desired_revision == 1
    assert json.loads(push(bench, document)["doc"])["node_secret"] == board.secret


def test_a_secret_that_was_given_up_unheard_is_not_the_end(
    bench: Bench, document: dict[str, Any]
) -> None:
    """The node went back and the word of it is still on its way: what was signed for its trial it cannot
    check. It gets the config under the key that it has, and may then say how the trial ended."""
    board = Board()
    push(bench, document)
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.report(**board.report("applied"))
    bench.wait(400)
    made = bench.sent[-1].payload
    assert made["key"] == "secret"
    pair = board.shown()
    rolled_back = board.roll_back()
    assert board.take(made) == "signature"
    bench.report(**board.about(pair, "rejected", "", reason="signature"))
    assert bench.state == "v1 applied"
    assert bench.sent[-1].payload["key"] == "open"
    bench.report(**{**rolled_back, "seq": next(board.count)})
    assert bench.state == "v1 rolled_back"


def test_only_one_new_secret_is_on_its_way(bench: Bench, document: dict[str, Any]) -> None:
    """A second rotation waits for the first; a push without one carries the first along."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    first = json.loads(push(bench, document, rotate=True)["doc"])["node_secret"]
    assert list(bench.refused(ConfigPush(document=document, rotate=True))) == ["node_secret"]
    given = {**document, "node_secret": "z" * 64}
    assert list(bench.refused(ConfigPush(document=given))) == ["node_secret"]
    assert json.loads(push(bench, document)["doc"])["node_secret"] == first


def test_the_proof_may_be_lost_and_the_next_push_still_fits(
    bench: Bench, document: dict[str, Any]
) -> None:
    """A hello under the new secret shows which one the node has; K follows it."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document, rotate=True)
    assert board.take(bench.sent[-1].payload) == "applied"
    board.prove()  # and its report is lost
    board.reboot()
    bench.hello(**board.hello())
    assert board.take(push(bench, document)) == "applied"


def test_c8_no_push_without_the_secret(bench: Bench, document: dict[str, Any]) -> None:
    """C8: neither a push nor a set nor a rollback can erase the node's secret."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    for command in (
        ConfigPush(document={**document, "node_secret": None}),
        ConfigPush(document={**document, "node_secret": "***"}),
        ConfigSet(path="node_secret", value=None),
        ConfigRollback(revision=1),
    ):
        bench.ask(command)
        assert json.loads(bench.sent[-1].payload["doc"])["node_secret"] == board.secret
