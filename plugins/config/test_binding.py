"""A5: bound is who reports from the place; what happens to those who do not."""

from __future__ import annotations

import json
import logging

import pytest
from config_bench import TOPIC, Bench, Board, prove
from gateway_config import document as documents
from gateway_config.asked import (
    NodesBind,
    NodesUnbind,
)


def test_c2_bound_is_who_reports_from_there(bench: Bench) -> None:
    """C2: pending until a verified report comes from the place itself; never from a temp topic."""
    board = Board()
    answer = bench.ask(NodesBind(gh="GH-7", zone="zn-9"))
    assert answer["binding"] == "bind"
    assert (bench.node.gh, bench.node.pending_gh, bench.node.pending_zone) == ("", "gh-7", "zn-9")
    assert bench.sent[-1].topic == TOPIC
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.report(gh="gh-7", zone="zn-9", **board.report("applied"))
    assert not bench.node.bound
    board.prove()
    bench.report(**board.report("verified"))
    bench.report(gh="gh-8", zone="zn-9", **board.report("verified"))
    assert not bench.node.bound
    bench.report(gh="gh-7", zone="zn-9", **board.report("verified"))
    assert (bench.node.gh, bench.node.zone, bench.node.pending_zone) == ("gh-7", "zn-9", "")
    assert bench.node.pending_at is None
    assert bench.node.lifecycle_state == "ASSIGNED_TO_ZONE"
    assert "already" in bench.ask(NodesBind(gh="gh-7", zone="zn-9"))["note"]


def test_a_bind_expires(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A5: after 30 minutes pending is cleared, said once, and the revision is given up."""
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    bench.wait(1_799.0)
    assert bench.node.pending_zone == "zn-9"
    with caplog.at_level(logging.WARNING):
        bench.wait(1.0)
    assert bench.node.pending_zone == ""
    assert bench.state == "v1 expired"
    assert "expired: no report from there" in caplog.text
    sent = len(bench.sent)
    bench.wait(1_000.0)
    assert len(bench.sent) == sent


def bound(bench: Bench, board: Board) -> None:
    """Bind the node to gh-7/zn-9, proof included."""
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    prove(bench, board, gh="gh-7", zone="zn-9")
    assert bench.node.bound


def test_rebinding_lets_go_of_the_old_zone(bench: Bench) -> None:
    """A5: zone null, pending the new one, REGISTERED_BACKEND; the envelope needs no unbind before."""
    bound(bench, board := Board())
    assert bench.ask(NodesBind(gh="gh-8", zone="zn-1"))["binding"] == "move"
    assert not bench.node.bound
    assert bench.node.lifecycle_state == "REGISTERED_BACKEND"
    assert len(bench.sent) == 2
    prove(bench, board, gh="gh-8", zone="zn-1")
    assert (bench.node.gh, bench.node.zone) == ("gh-8", "zn-1")


def test_unbinding_does_not_wait_for_the_node(bench: Bench) -> None:
    """A5: the registry is cleared at once, the node hears of it when it can."""
    bound(bench, Board())
    assert bench.ask(NodesUnbind())["binding"] == "unbind"
    assert not bench.node.bound
    assert bench.node.lifecycle_state == "REGISTERED_BACKEND"
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert (inside["gh_uid"], inside["zone_uid"]) == documents.TEMP
    assert bench.ask(NodesUnbind())["note"] == "it is not bound"
