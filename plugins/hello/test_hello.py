"""hello: registration, receipts, admission, and what is known before a hello."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_hello
import pytest
from gateway_hello import asked
from gateway_hello.registry import Facts, admit, is_earlier, uids
from hypothesis import given
from hypothesis import strategies as st

from gateway import (
    Command,
    ConfigReported,
    Event,
    NodeHeartbeat,
    NodeHello,
    Status,
    TimeRequest,
    is_uid,
    sign,
)
from gateway.testing.plugin import PluginBench

HW = "esp32-78e36ddde468"
TEMP = f"hydro/gh-temp/zn-temp/{HW}"
SECRET = "s" * 64


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PluginBench]:
    """The plugin alone."""
    made = PluginBench(tmp_path, gateway_hello, name="hello")
    yield made
    made.close()


def hello(**more: Any) -> NodeHello:
    return NodeHello(**{"hardware_id": HW, "node_type": "climate", **more})


def say(bench: PluginBench, **more: Any) -> dict[str, Any]:
    """Say hello; the receipt."""
    bench.play("node_hello", hello(**more), "hydro/node_hello")
    return bench.sent[-1].payload


def command(bench: PluginBench, kind: type[Command], name: str = HW) -> tuple[bool, dict[str, Any]]:
    bench.play("node_message", kind(), name=name)
    assert bench.answer is not None
    return bench.answer


def test_hook_node_hello_registers_and_answers(
    bench: PluginBench, caplog: pytest.LogCaptureFixture
) -> None:
    """A new board becomes a registered node with a generated uid, and its receipt is signed and
    stamped when it leaves."""
    with caplog.at_level(logging.INFO):
        receipt = say(bench, boot_id="0000000a", seq=1)
    node = bench.node(HW)
    assert (node.uid, node.type) == ("nd-clim-78e36ddde468", "climate")
    assert node.lifecycle_state == "REGISTERED_BACKEND"
    assert f"[NODE_HELLO] Processing node_hello from hardware_id: {HW}" in caplog.messages
    assert receipt["uid"] == node.uid
    assert (receipt["boot_id"], receipt["seq"]) == ("0000000a", 1)
    assert "accepted" not in receipt
    sent = bench.sent[-1]
    assert sent.topic == f"{TEMP}/hello_ack"
    assert sent.options["stamp"] == ["unix_ts"]
    assert sent.options["sign"][0] == "hello_ack"


def test_a_repeated_hello_is_answered_and_changes_nothing(bench: PluginBench) -> None:
    """The second hello of a boot writes nothing and gets its own receipt."""
    say(bench, boot_id="0000000a", seq=1)
    receipt = say(bench, boot_id="0000000a", seq=2)
    assert bench.writes == 0
    assert receipt["seq"] == 2


def test_a_type_is_never_taken_away_and_aliases_are_known(bench: PluginBench) -> None:
    """No node_type keeps the type; a field name becomes the canonical one."""
    say(bench, node_type="ph_node")
    assert bench.node(HW).type == "ph"
    say(bench, node_type=None)
    assert bench.node(HW).type == "ph"


def test_wishes(bench: PluginBench) -> None:
    """A free wish is granted once; a taken or a wrong one is not; nobody is renamed by a wish."""
    say(bench, provisioning_meta={"node_uid": "nd-wish"})
    assert bench.node(HW).uid == "nd-wish"
    say(bench, hardware_id="esp32-b", provisioning_meta={"node_uid": "nd-wish"})
    assert bench.node("esp32-b").uid == "nd-clim-b"
    say(bench, hardware_id="esp32-c", provisioning_meta={"node_uid": "a/b#"})
    assert bench.node("esp32-c").uid == "nd-clim-c"
    say(bench, provisioning_meta={"node_uid": "nd-other"})
    assert bench.node(HW).uid == "nd-wish"


def test_a_bound_node_keeps_its_state(bench: PluginBench) -> None:
    """A hello of a bound node does not throw it back to registered."""
    say(bench)
    node = bench.node(HW)
    fields = {name: getattr(node, name) for name in node.__struct_fields__}
    fields |= {"gh": "gh-1", "zone": "zn-1", "lifecycle_state": "ASSIGNED_TO_ZONE"}
    bench.roster.put(type(node)(**fields))
    assert say(bench, fw_version="2")["lifecycle_state"] == "ASSIGNED_TO_ZONE"


def test_a_late_hello_of_an_earlier_boot_changes_nothing(bench: PluginBench) -> None:
    """Boot b followed boot a: a message of a that was held up does not bring a back."""
    say(bench, boot_id="0000000a", seq=1)
    say(bench, boot_id="0000000b", seq=1)
    say(bench, boot_id="0000000a", seq=2, fw_version="old")
    assert bench.node(HW).boot_id == "0000000b"
    assert bench.node(HW).fw_version != "old"


def test_approval(bench: PluginBench) -> None:
    """With `approve` a node waits, is told so, is let in or kept out, and taken back."""
    bench.host.registration = "approve"
    assert say(bench)["reason"] == "pending_approval"
    assert bench.node(HW).lifecycle_state == "PROVISIONED_WIFI"
    assert command(bench, asked.Approve)[0]
    assert "reason" not in say(bench)
    assert command(bench, asked.Reject)[0]
    assert say(bench)["reason"] == "rejected"
    assert command(bench, asked.Readmit)[0]
    assert "reason" not in say(bench)


def test_claims(bench: PluginBench) -> None:
    """With `claim` only the key that was written at flashing opens the door."""
    bench.host.registration, bench.host.claim_key = "claim", "key"
    assert say(bench, boot_id="0000000a", claim="x")["reason"] == "identity"
    good = sign("key", HW, "0000000a")
    assert "reason" not in say(bench, boot_id="0000000a", claim=good)


def test_decommissioned_until_readmitted(bench: PluginBench) -> None:
    """The end of service is told in the receipt, and the way back is the operator's."""
    say(bench)
    command(bench, asked.Decommission)
    assert say(bench)["reason"] == "decommissioned"
    assert bench.node(HW).lifecycle_state == "DECOMMISSIONED"
    command(bench, asked.Readmit)
    assert say(bench)["lifecycle_state"] == "REGISTERED_BACKEND"


def _prove(bench: PluginBench) -> None:
    node = bench.node(HW)
    fields = {name: getattr(node, name) for name in node.__struct_fields__}
    bench.roster.put(type(node)(**{**fields, "secret": SECRET}))


def test_a_node_with_a_secret_must_sign(bench: PluginBench) -> None:
    """Unsigned or wrongly signed it is a possible clone that changes nothing; signed it is itself."""
    say(bench, boot_id="0000000a", seq=1)
    _prove(bench)
    assert say(bench, boot_id="0000000b", seq=1, fw_version="9")["reason"] == "identity"
    assert bench.node(HW).fw_version != "9"
    good = sign(SECRET, "node_hello", HW, "0000000b", 1, 0, "")
    assert "reason" not in say(bench, boot_id="0000000b", seq=1, sig=good)


@given(
    st.sampled_from(["open", "approve", "claim"]),
    st.sampled_from(["", "accepted", "pending", "rejected"]),
    st.sampled_from(["PROVISIONED_WIFI", "REGISTERED_BACKEND", "DECOMMISSIONED"]),
    *[st.booleans()] * 4,
)
def test_the_table_of_admission(
    mode: Any, admission: str, state: str, secret: bool, signed: bool, claimed: bool, offline: bool
) -> None:
    """What is final stays final; a proved secret is needed where there is one; the rest by the mode."""
    facts = Facts(mode, True, state, admission, secret, signed, claimed, offline)
    verdict = admit(facts)
    if state == "DECOMMISSIONED":
        assert verdict.reason == "decommissioned"
    elif admission == "rejected":
        assert verdict.reason == "rejected"
    elif secret and not signed:
        back = (mode == "open" and offline) or (mode == "claim" and claimed)
        assert verdict == (("", True) if back else ("identity", False))
    elif mode == "open" or admission == "accepted":
        assert verdict == ("", False)
    else:
        waits = {"approve": "pending_approval", "claim": "" if claimed else "identity"}
        assert verdict == (waits[mode], False)


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


def test_hook_config_reported_registers_a_stranger(bench: PluginBench) -> None:
    """A report that carries its identity registers; on temp topics the name is the hardware_id."""
    bench.play("config_reported", ConfigReported(node_id=HW), f"{TEMP}/config_report")
    assert bench.node(HW).hardware_id == HW
    assert bench.node(HW).lifecycle_state == "REGISTERED_BACKEND"
    report = ConfigReported(node_id="somebody-else")
    bench.play("config_reported", report, "hydro/gh-1/zn-1/nd-7/config_report")
    assert bench.node("nd-7").lifecycle_state == "PROVISIONED_WIFI"


@pytest.mark.parametrize(
    ("hook", "event"),
    [("node_heartbeat", NodeHeartbeat(uptime=1)), ("node_message", Status(status="ONLINE"))],
)
def test_signs_of_life_make_a_node_seen(bench: PluginBench, hook: str, event: Event) -> None:
    """A beat or a status of a stranger makes it known, not registered; a later hello finds it."""
    bench.play(hook, event, "hydro/gh-1/zn-1/nd-9/x")
    node = bench.node("nd-9")
    assert (node.life, node.hardware_id) == ("seen", None)
    assert node.lifecycle_state == "PROVISIONED_WIFI"
    say(bench, provisioning_meta={"node_uid": "nd-9"})
    assert bench.node(HW).id == node.id
    assert bench.node(HW).lifecycle_state == "REGISTERED_BACKEND"


def test_retained_messages_are_no_evidence(bench: PluginBench) -> None:
    """What a broker kept of a node makes nobody known."""
    bench.play("node_message", Status(status="ONLINE"), f"{TEMP}/status", retained=True, live=False)
    assert bench.roster.all() == []


def test_hook_node_message_answers_time_requests(bench: PluginBench) -> None:
    """One answer with both names of the clock, stamped when it leaves."""
    bench.play("node_message", TimeRequest(uptime=3), "hydro/time/request")
    sent = bench.sent[-1]
    assert sent.topic == "hydro/time/response"
    assert sent.options["stamp"] == ["unix_ts", "server_time"]


def test_hook_manifest_and_hook_startup_and_hook_shutdown(bench: PluginBench) -> None:
    """The manifest names its verbs; startup and shutdown keep one host for one settings object."""
    kinds = {cls.kind for cls in gateway_hello.manifest().commands}
    assert kinds == {"nodes.approve", "nodes.reject", "nodes.readmit", "nodes.decommission"}
    assert bench.config in gateway_hello._hosts
    bench.ask("shutdown")
    assert bench.config not in gateway_hello._hosts
    bench.ask("startup")


def test_a_command_for_nobody_is_refused(bench: PluginBench) -> None:
    """Approving a node that is not there is an error, not a new node."""
    ok, result = command(bench, asked.Approve, "nobody")
    assert not ok
    assert "no such node" in result["error"]
