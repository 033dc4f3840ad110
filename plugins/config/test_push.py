"""What an operator pushes: filled in, checked, numbered, and refused with every problem at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_bench import TOPIC, UID, Bench, Board, prove, push
from gateway_config import document as documents
from gateway_config.asked import (
    ConfigPush,
)

from gateway import Problem


def test_hook_node_message_push_leaves_as_an_envelope(
    bench: Bench, document: dict[str, Any]
) -> None:
    """To the topic of the hardware id, not retained, stamped when it leaves, newest first."""
    answer = bench.ask(ConfigPush(document=document, author="anna"))
    (sent,) = bench.sent
    assert sent.topic == TOPIC
    assert sent.options["stamp"] == ["ts"]
    assert not sent.options["retain"]
    assert sent.options["_replace"] == "config:1"
    assert list(sent.payload) == ["message_type", "revision", "sha256", "ts", "key", "doc", "sig"]
    assert (answer["revision"], answer["sha256"]) == (1, sent.payload["sha256"])
    assert bench.state == "v1 sent"
    assert bench.row("config_revisions", "author")["author"] == "anna"
    assert bench.node.desired_revision == 1


def test_what_the_registry_knows_is_filled_in(bench: Bench, document: dict[str, Any]) -> None:
    """A file without identity fits every node; what it says itself stays."""
    inside = json.loads(push(bench, document)["doc"])
    assert (inside["node_id"], inside["type"], inside["version"]) == (UID, "ph", 3)
    assert (inside["gh_uid"], inside["zone_uid"]) == documents.TEMP
    assert inside["mqtt"] == document["mqtt"]


def test_no_answer_holds_a_secret(bench: Bench, document: dict[str, Any]) -> None:
    """Neither a good answer nor a list of problems shows node_secret or a password."""
    good = bench.ask(ConfigPush(document=document))
    assert bench.node.trial_secret is not None
    assert bench.node.trial_secret not in str(good)
    bad = {**document, "node_secret": "topsecret" * 20}
    assert "topsecret" not in str(bench.refused(ConfigPush(document=bad)))


def test_all_problems_at_once_and_nothing_queued(bench: Bench, document: dict[str, Any]) -> None:
    """Own rules, other plugins' rules and the identity, in one answer."""
    bench.host.objections = [Problem("channels[0].door", "no door here")]
    document["channels"][1].pop("relay_type")
    document["mqtt"]["port"] = 70000
    document["node_id"] = "nd-other"
    found = bench.refused(ConfigPush(document=document))
    assert list(found) == ["channels[1].relay_type", "mqtt.port", "node_id", "channels[0].door"]
    assert bench.state == ""


def test_what_a_shown_document_hides_is_no_value(bench: Bench, document: dict[str, Any]) -> None:
    """A document copied from `config show` cannot push *** as a password."""
    document["mqtt"] |= {"password": "***"}
    assert list(bench.refused(ConfigPush(document=document))) == ["mqtt.password"]


def test_c6_too_big_is_refused_before_queueing(bench: Bench, document: dict[str, Any]) -> None:
    """C6: the size on the wire, envelope included, with the bytes over."""
    document["channels"] = [{"name": f"c_{i}", "type": "SENSOR", "metric": "PH"} for i in range(90)]
    found = bench.refused(ConfigPush(document=document))
    assert "over the 4,096 that a node takes" in found[""]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"known": False}, "no node"),
        ({"lifecycle_state": "DECOMMISSIONED"}, "decommissioned"),
        ({"lifecycle_state": "UNPROVISIONED"}, "not been registered"),
    ],
)
def test_who_gets_no_config(
    tmp_path: Path, document: dict[str, Any], changes: dict[str, Any], word: str
) -> None:
    """A config holds secrets: only registered nodes get one (B9)."""
    bench = Bench(tmp_path, **changes)
    assert word in bench.refused(ConfigPush(document=document))[""]
    bench.close()


@pytest.mark.parametrize("claim_key", ["", "claim"])
def test_a_new_database_takes_its_nodes_back(
    bench: Bench, document: dict[str, Any], claim_key: str
) -> None:
    """A node with an unknown secret and revision 7 gets revision 8 under open or claim."""
    bench.host.claim_key = claim_key
    board = Board(secret="x" * 64, claim_key=claim_key, revision=7)
    bench.hello(**board.hello())
    assert push(bench, document)["revision"] == 8
    prove(bench, board)
    assert bench.state == "v8 verified"
    assert bench.node.secret == board.secret != "x" * 64
