"""Changes of one value, old revisions, and what is kept of them."""

from __future__ import annotations

import json
from typing import Any

from config_bench import UID, Bench, Board, prove, push
from gateway_config.asked import (
    ConfigRollback,
    ConfigSet,
    NodesBind,
)


def test_set_changes_one_value(bench: Bench, document: dict[str, Any]) -> None:
    """The rest of the desired document stays as it was."""
    push(bench, document)
    bench.ask(ConfigSet(path="channels[ph_sensor].poll_interval_ms", value=9000))
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["channels"][0]["poll_interval_ms"] == 9000
    assert inside["channels"][1] == document["channels"][1]
    assert inside["mqtt"] == document["mqtt"]
    assert bench.history() == {1: "superseded", 2: "sent"}
    assert "channels[nope].x" in bench.refused(ConfigSet(path="channels[nope].x", value=1))
    assert "mqtt.port" in bench.refused(ConfigSet(path="mqtt.port", value=0))


def test_set_without_a_push_starts_from_what_the_node_showed(bench: Bench) -> None:
    """Placeholders stand for what the node has; nothing of what it showed is lost."""
    board = Board(revision=2)
    channel = {"name": "ph", "type": "SENSOR", "metric": "PH"}
    bench.report(
        **board.report("verified"),
        node_id=UID,
        fw_version="1.0",
        channels=[channel],
        mqtt={"host": "h", "port": 1},
    )
    bench.ask(ConfigSet(path="channels[ph].unit", value="pH"))
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["channels"] == [{**channel, "unit": "pH"}]
    assert inside["mqtt"] == {"configured": True}
    assert "fw_version" not in inside


def test_rollback_is_a_new_revision(bench: Bench, document: dict[str, Any]) -> None:
    """An old document goes out under a new number, with today's place; unknown ones are refused."""
    push(bench, document)
    bench.ask(ConfigSet(path="mqtt.port", value=1999))
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    assert bench.ask(ConfigRollback(revision=1))["revision"] == 4
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["mqtt"] == document["mqtt"]
    assert (inside["gh_uid"], inside["zone_uid"]) == ("gh-7", "zn-9")
    assert "is not kept" in bench.refused(ConfigRollback(revision=77))[""]


def test_a_verified_revision_is_superseded_by_the_next_verified_one(
    bench: Bench, document: dict[str, Any]
) -> None:
    """Not by its push: the newer one may yet be rolled back."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document)
    assert bench.history() == {1: "verified", 2: "sent"}
    prove(bench, board)
    assert bench.history() == {1: "superseded", 2: "verified"}


def test_history_is_bounded(bench: Bench, document: dict[str, Any]) -> None:
    """The last fifty revisions are kept."""
    for port in range(1, 56):
        push(bench, {**document, "mqtt": {"host": "h", "port": port}})
    assert list(bench.history()) == list(range(6, 56))
