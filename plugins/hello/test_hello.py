"""hello: who is registered, under which name, and what the receipt says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import gateway_hello
import pytest
from gateway_hello.registry import is_earlier, uids
from hypothesis import given
from hypothesis import strategies as st

from gateway import TimeRequest, is_uid

if TYPE_CHECKING:
    from conftest import Door


def test_hook_node_hello_registers_and_answers(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """A new board becomes a registered node with a generated uid, and its receipt is signed and
    stamped when it leaves."""
    with caplog.at_level(logging.INFO):
        receipt = door.hello(boot_id="0000000a", seq=1)
    node = door.node(door.hardware_id)
    assert (node.uid, node.type) == ("nd-clim-78e36ddde468", "climate")
    assert node.lifecycle_state == "REGISTERED_BACKEND"
    said = f"[NODE_HELLO] Processing node_hello from hardware_id: {door.hardware_id}"
    assert said in caplog.messages
    assert receipt["uid"] == node.uid
    assert (receipt["boot_id"], receipt["seq"]) == ("0000000a", 1)
    assert "accepted" not in receipt
    sent = door.sent[-1]
    assert sent.topic == f"{door.temp}/hello_ack"
    assert sent.options["stamp"] == ["unix_ts"]
    assert sent.options["sign"][0] == "hello_ack"
    assert sent.options["retain"] is False
    assert sent.options["_expires"] == 30.0
    assert sent.options["_replace"] == f"hello_ack:{door.hardware_id}"


def test_a_receipt_goes_where_the_node_listens(door: Door) -> None:
    """Names are compared in lower case, and a topic is published in the spelling received."""
    said = {"message_type": "node_hello", "hardware_id": "ESP32-ABC"}
    assert door.say("hydro/node_hello", said).hardware_id == "esp32-abc"
    assert door.sent[-1].topic == "hydro/gh-temp/zn-temp/ESP32-ABC/hello_ack"


def test_a_retained_hello_is_nobodys(door: Door) -> None:
    """What a broker kept is the past: no node, no receipt."""
    said = {"message_type": "node_hello", "hardware_id": door.hardware_id}
    door.say("hydro/node_hello", said, retained=True, live=False)
    assert (door.roster.all(), door.sent) == ([], [])


def test_a_node_that_says_too_much_is_cut(door: Door) -> None:
    """Name, firmware and hardware revision are kept as far as a column of the field goes."""
    door.hello(provisioning_meta={"node_name": "n" * 100}, fw_version="f" * 100)
    node = door.node(door.hardware_id)
    assert (node.name, node.fw_version) == ("n" * 64, "f" * 64)


def test_a_repeated_hello_is_answered_and_changes_nothing(door: Door) -> None:
    """The second hello of a boot writes nothing and gets its own receipt."""
    door.hello(boot_id="0000000a", seq=1)
    receipt = door.hello(boot_id="0000000a", seq=2)
    assert door.writes == 0
    assert receipt["seq"] == 2


def test_a_type_is_never_taken_away_and_aliases_are_known(door: Door) -> None:
    """No node_type keeps the type; a field name becomes the canonical one."""
    door.hello(node_type="ph_node")
    assert door.node(door.hardware_id).type == "ph"
    door.hello(node_type=None)
    assert door.node(door.hardware_id).type == "ph"


def test_the_receipt_tells_the_desired_revision(door: Door) -> None:
    """B3: `config_revision` is the one that the gateway wants, not the one that the node said."""
    door.hello()
    door.registered(door.node(door.hardware_id).uid, desired_revision=4)
    assert door.hello(config_revision=3)["config_revision"] == 4


def test_wishes(door: Door) -> None:
    """A free wish is granted once; a taken or a wrong one is not; nobody is renamed by a wish."""
    door.hello(provisioning_meta={"node_uid": "nd-wish"})
    assert door.node(door.hardware_id).uid == "nd-wish"
    door.hello(hardware_id="esp32-b", provisioning_meta={"node_uid": "nd-wish"})
    assert door.node("esp32-b").uid == "nd-clim-b"
    door.hello(hardware_id="esp32-c", provisioning_meta={"node_uid": "a/b#"})
    assert door.node("esp32-c").uid == "nd-clim-c"
    door.hello(provisioning_meta={"node_uid": "nd-other"})
    assert door.node(door.hardware_id).uid == "nd-wish"


def test_a_board_cannot_take_a_node_by_calling_itself_like_it(door: Door) -> None:
    """A hardware_id that is another node's uid is refused: no name may mean two nodes."""
    door.hello(provisioning_meta={"node_uid": "nd-wish"})
    receipt = door.hello(hardware_id="nd-wish", fw_version="of a stranger")
    assert (receipt["accepted"], receipt["reason"]) == (False, "identity")
    node = door.node("nd-wish")
    assert (node.hardware_id, node.fw_version) == (door.hardware_id, None)


@pytest.mark.parametrize("name", ["node-temp", "unknown"])
def test_a_board_without_an_address_is_nobody(door: Door, name: str) -> None:
    """B6: boards that cannot read their address share one name; none may take the others' config."""
    assert door.hello(hardware_id=name)["reason"] == "identity"
    door.say(f"hydro/gh-temp/zn-temp/{name}/heartbeat", {"uptime": 1, "free_heap": 1})
    assert door.roster.all() == []


def test_a_bound_node_keeps_its_state(door: Door) -> None:
    """A hello of a bound node does not throw it back to registered."""
    door.hello()
    place = {"gh": "gh-1", "zone": "zn-1", "lifecycle_state": "ASSIGNED_TO_ZONE"}
    door.registered(door.node(door.hardware_id).uid, **place)
    assert door.hello(fw_version="2")["lifecycle_state"] == "ASSIGNED_TO_ZONE"


def test_a_late_hello_of_an_earlier_boot_changes_nothing(door: Door) -> None:
    """Boot b followed boot a: a message of a that was held up does not bring a back."""
    door.hello(boot_id="0000000a", seq=1)
    door.hello(boot_id="0000000b", seq=1)
    door.hello(boot_id="0000000a", seq=2, fw_version="old")
    assert door.node(door.hardware_id).boot_id == "0000000b"
    assert door.node(door.hardware_id).fw_version != "old"


@given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,40}", fullmatch=True), st.text(max_size=70))
def test_every_candidate_is_a_uid(hardware_id: str, wish: str) -> None:
    """Whatever a node calls itself and wishes: names to try are uids, all different."""
    names = list(uids(hardware_id, "ph", wish))
    assert all(is_uid(name) for name in names)
    assert len(set(names[-7:])) == 7


@given(st.lists(st.sampled_from("abcd"), max_size=6), st.sampled_from("abcd"))
def test_only_a_boot_that_was_followed_is_earlier(earlier: list[str], current: str) -> None:
    """The present boot is never earlier, and an unknown one is new."""
    boots = " ".join(earlier)
    assert not is_earlier(current, current, boots)
    assert not is_earlier("z", current, boots)


def test_hook_node_message_answers_time_requests(door: Door) -> None:
    """One answer with both names of the clock, stamped when it leaves, and stale after seconds."""
    door.play("node_message", TimeRequest(uptime=3), "hydro/time/request")
    sent = door.sent[-1]
    assert sent.topic == "hydro/time/response"
    assert sent.options["stamp"] == ["unix_ts", "server_time"]
    assert 0 < sent.options["_expires"] <= 15


def test_hook_manifest() -> None:
    """The manifest names its verbs."""
    kinds = {cls.kind for cls in gateway_hello.manifest().commands}
    assert kinds == {"nodes.approve", "nodes.reject", "nodes.readmit", "nodes.decommission"}
