"""What is known before a hello (B7): reports, beats and status of nodes that were there before us."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from gateway_hello import asked, commands

if TYPE_CHECKING:
    from conftest import Door

HOME = "hydro/gh-1/zn-1/nd-9"
REPORT = {"node_id": "nd-9", "type": "ph_node", "channels": []}


def test_hook_config_reported_registers_a_stranger(door: Door) -> None:
    """A report that carries its identity registers; on temp topics the name is the hardware_id."""
    node = door.say(f"{door.temp}/config_report", {"channels": []})
    assert (node.hardware_id, node.lifecycle_state) == (door.hardware_id, "REGISTERED_BACKEND")
    node = door.say(f"{HOME}/config_report", REPORT)
    assert (node.uid, node.hardware_id, node.type) == ("nd-9", None, "ph")
    assert (node.gh, node.zone, node.lifecycle_state) == ("gh-1", "zn-1", "REGISTERED_BACKEND")


def test_a_report_of_somebody_else_registers_nobody(door: Door) -> None:
    """Where topic and document name two nodes, nothing is proved."""
    node = door.say(f"{HOME}/config_report", {**REPORT, "node_id": "somebody-else"})
    assert (node.life, node.lifecycle_state) == ("seen", "PROVISIONED_WIFI")


@pytest.mark.parametrize(
    ("kind", "payload"), [("heartbeat", {"uptime": 1}), ("status", {"status": "ONLINE"})]
)
def test_signs_of_life_make_a_node_seen(door: Door, kind: str, payload: dict[str, Any]) -> None:
    """A beat or a status of a stranger makes it known, not registered; a later hello finds it."""
    node = door.say(f"{HOME}/{kind}", payload)
    assert (node.life, node.hardware_id) == ("seen", None)
    assert node.lifecycle_state == "PROVISIONED_WIFI"
    door.hello(provisioning_meta={"node_uid": "nd-9"})
    assert door.node(door.hardware_id).id == node.id
    assert door.node(door.hardware_id).lifecycle_state == "REGISTERED_BACKEND"


def test_the_first_hello_names_a_node_that_was_only_seen(door: Door) -> None:
    """A status that overtook the hello knew no type: the uid comes with the hello, and stays."""
    seen = door.say(f"{door.temp}/status", {"status": "ONLINE"})
    assert seen.uid.startswith("nd-node-")
    door.hello(node_type="ph")
    node = door.node(door.hardware_id)
    assert (node.id, node.uid) == (seen.id, seen.uid.replace("nd-node-", "nd-ph-"))
    assert door.node(seen.uid).id == seen.id
    door.hello(node_type="climate")
    assert door.node(door.hardware_id).uid == node.uid


def test_a_node_that_was_seen_is_registered_by_its_report(door: Door) -> None:
    """Seen first, identified later: one node."""
    seen = door.say(f"{HOME}/heartbeat", {"uptime": 1})
    node = door.say(f"{HOME}/config_report", REPORT)
    assert (node.id, node.lifecycle_state) == (seen.id, "REGISTERED_BACKEND")


def test_retained_messages_are_no_evidence(door: Door) -> None:
    """What a broker kept of a node makes nobody known."""
    door.say(f"{door.temp}/status", {"status": "ONLINE"}, retained=True, live=False)
    assert door.roster.all() == []


@pytest.mark.parametrize("mode", ["approve", "claim"])
def test_the_mode_governs_this_way_in_too(door: Door, mode: Any) -> None:
    """B9: a report registers nobody whom the mode keeps waiting; the operator finds it in the list."""
    door.host.registration = mode
    node = door.say(f"{HOME}/config_report", REPORT)
    assert node.lifecycle_state == "PROVISIONED_WIFI"
    assert pending(door) == [("nd-9", "pending")]
    assert door.order(asked.Approve, "nd-9")[0]
    assert door.node("nd-9").lifecycle_state == "REGISTERED_BACKEND"
    assert pending(door) == []


def test_who_was_only_seen_is_not_registered_by_approval(door: Door) -> None:
    """B7: the operator's word waits until the node says who it is."""
    door.host.registration = "approve"
    door.say(f"{HOME}/heartbeat", {"uptime": 1})
    assert pending(door) == [("nd-9", "seen")]
    ok, answer = door.order(asked.Approve, "nd-9")
    assert ok
    assert "only been seen" in answer["note"]
    assert door.node("nd-9").lifecycle_state == "PROVISIONED_WIFI"
    node = door.say(f"{HOME}/config_report", REPORT)
    assert node.lifecycle_state == "REGISTERED_BACKEND"


def pending(door: Door) -> list[tuple[str, str]]:
    """What `gateway nodes pending --json` lists."""

    class Desk:
        """The operator, as far as this command needs him."""

        def read(self, sql: str, *params: object) -> list[dict[str, Any]]:
            return door.reader.rows(sql, *params)

        def show(self, _schema: str, data: Any, _text: object) -> None:
            print(json.dumps(data))

    done = CliRunner().invoke(commands._pending(), ["--json"], obj=Desk(), catch_exceptions=False)
    return [(row["uid"], row["admission"]) for row in json.loads(done.stdout)["nodes"]]
