"""The simulated nodes of `gateway run` on their way, seen from the store."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from gateway.cli import journey
from gateway.cli.fleet import TYPES, Broker
from gateway.cli.operator import Operator


class StillFleet:
    """A fleet whose nodes are only names: what they do is written into the store by hand."""

    def __init__(self, _where: Any, number: int, _broker: Broker) -> None:
        self.hardware_ids = [f"esp32-{n}" for n in range(1, number + 1)]

    def start(self) -> None:
        """Nothing to start."""

    def tend(self, _now: float) -> list[str]:
        """Nothing ends."""
        return []

    def restarts(self, _hardware_id: str) -> int:
        """Nothing was started again."""
        return 0


class StillGateway:
    """Facts of a gateway that has nothing to do."""

    def facts(self) -> dict[str, Any]:
        """What `Gateway.facts` has."""
        return {"counts": {"refused": 2}, "waiting": 0}


@pytest.fixture
def trip(state: Any, monkeypatch: pytest.MonkeyPatch) -> journey.Journey:
    """One simulated node that has not said hello."""
    monkeypatch.setattr(journey, "Fleet", StillFleet)
    operator = Operator(state_dir=state.folder)
    return journey.Journey(operator, StillGateway(), 1, Broker("h", 1))  # type: ignore[arg-type]  # named fake


def asked(state: Any) -> list[tuple[str, str, Any]]:
    """What was handed to the gateway."""
    path = state.folder / "commands.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT verb, node, args FROM commands ORDER BY n").fetchall()
    return [(verb, node, json.loads(args)) for verb, node, args in rows]


def config(state: Any, word: str, **values: Any) -> None:
    """The node's config is in this state."""
    state.add("config_desired", node_id=1, revision=1, sha256="", document="", state=word)
    state.add(
        "config_revisions", node_id=1, revision=1, sha256="", document="{}", state=word,
        queued_at=1.0, **values,
    )  # fmt: skip


def test_a_node_gets_one_config(state: Any, trip: journey.Journey) -> None:
    """The first look at a registered node pushes a config of its type, and only once."""
    assert trip.lacks() == {"esp32-1": "has not said hello"}
    state.node(1)
    state.node(7)  # somebody else's node: none of ours
    state.message(1, "node_hello", {})
    assert "registered, receipt sent" in trip.tick()[0]
    trip.tick()
    ((verb, node, args),) = asked(state)
    assert (verb, node, args["document"]["type"]) == ("config.push", "nd-ph-1", "ph")
    assert trip.lacks() == {"esp32-1": "has got no config"}


def test_a_second_run_pushes_nothing(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that has its config from an earlier run is left alone and needs nothing."""
    state.node(1)
    config(state, "verified", verified_at=1.9)
    monkeypatch.setattr(journey, "Fleet", StillFleet)
    operator = Operator(state_dir=state.folder)
    again = journey.Journey(operator, StillGateway(), 1, Broker("h", 1))  # type: ignore[arg-type]  # named fake
    assert again.tick() == []
    assert again.lacks() == {"esp32-1": "has not said hello"}
    state.message(9, "node_hello", {})
    again.tick()
    assert asked(state) == []
    assert again.lacks() == {}


def test_a_refused_config_is_the_reason(state: Any, trip: journey.Journey, answering: Any) -> None:
    """Where the gateway refuses the document, its answer is what the node lacks."""
    answering.answers["config.push"] = (False, {"problems": [{"path": "x", "message": "bad"}]})
    state.message(1, "node_hello", {})
    state.node(1)
    trip.tick()
    while "not queued" not in trip.lacks()["esp32-1"]:
        trip.tick()
    assert "bad" in trip.lacks()["esp32-1"]


def test_the_way_of_a_config_is_told(state: Any, trip: journey.Journey) -> None:
    """The steps stand in the store and become one line."""
    state.message(1, "node_hello", {})
    state.node(1)
    trip.tick()
    config(state, "verified", sent_at=1.0, received_at=1.1, applied_at=1.5, verified_at=1.9)
    (line,) = trip.tick()
    assert line.endswith("nd-ph-1 v1 sent → received → applied → verified in 0.9 s")
    assert trip.lacks() == {}


def test_the_counters_count_from_the_start(state: Any, trip: journey.Journey) -> None:
    """Messages are counted once each, folded beats as many, receipts only when they left."""
    state.message(1, "node_hello", {})
    state.message(2, "heartbeat", {}, copies=4)
    state.message(3, "node_hello", {})
    state.node(1)
    state.add(
        "outbox", node_id=1, topic="hydro/gh-temp/zn-temp/esp32-1/hello_ack", body=b"",
        options="{}", crc=0,
    )  # fmt: skip
    assert trip.tick() == []  # registered, but its receipt waits
    trip.tick()
    assert trip.foot() == (
        "2 hellos, 1 receipt · 4 beats · 0 configs, 0 verified · 2 refused · 0 waiting"
    )


@pytest.mark.parametrize("node_type", TYPES)
def test_every_type_gets_a_document(node_type: str) -> None:
    """Each type's document names its channels once and keeps the broker that the node has."""
    document = journey.first_config(node_type)
    names = [channel["name"] for channel in document["channels"]]
    assert len(set(names)) == len(names) > 0
    assert document["mqtt"] == {"configured": True}
