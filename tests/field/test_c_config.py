"""C: config and binding (field failures C1, C3, C5 to C9)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.testing.process import GatewayProcess, Peer, hello, until

Join = Callable[..., Peer]
HELLO = "hydro/node_hello"
DOCUMENT = {
    "channels": [
        {"name": "t", "type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 5000}
    ],
    "mqtt": {"host": "10.0.0.1", "port": 1883, "password": "broker-word"},
    "wifi": {"ssid": "garden", "pass": "wifi-word"},
}


def ours(name: str, **more: object) -> dict[str, object]:
    return hello(name, protocol=1, boot_id="0000000a", seq=1, **more)


def file(tmp_path: Path, document: object = DOCUMENT) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return str(path)


def desired(gateway: GatewayProcess) -> list[tuple[object, ...]]:
    return gateway.rows("SELECT revision, state FROM config_desired")


def test_c1_a_report_before_its_hello_is_kept(gateway: GatewayProcess, join: Join) -> None:
    """C1: the channels of a report that came first are there once the node is known, and a restart
    in between loses nothing."""
    gateway.start()
    peer = join()
    report = {"node_id": "c1", "version": 3, "type": "climate", "gh_uid": "gh-temp"}
    report |= {"zone_uid": "zn-temp", "channels": DOCUMENT["channels"], "mqtt": {}}
    peer.say("hydro/gh-temp/zn-temp/c1/config_report", report)
    gateway.kill()
    gateway.start()
    peer.say(HELLO, hello("c1"))
    query = "SELECT c.name FROM config_channels c JOIN nodes n ON n.id = c.node_id WHERE hardware_id = 'c1'"
    until(lambda: gateway.rows(query) == [("t",)], what="the reported channel")


def test_c3_a_config_reaches_a_node_that_was_offline(
    tmp_path: Path, gateway: GatewayProcess, join: Join
) -> None:
    """C3: what was pushed while the node was away is published when it says hello again."""
    gateway.start()
    peer = join()
    peer.say(HELLO, ours("c3"))
    until(lambda: gateway.node("c3"))
    pushed = gateway.command("config", "push", "c3", file(tmp_path))
    assert pushed.returncode == 0, pushed.stderr
    late = join().listen("hydro/gh-temp/zn-temp/c3/config")
    late.say(HELLO, ours("c3") | {"boot_id": "0000000b"})
    (envelope,) = until(lambda: late.heard("/config", revision=1))
    assert json.loads(envelope["doc"])["channels"] == DOCUMENT["channels"]


def test_c5_a_rejection_is_known_with_its_reason(
    tmp_path: Path, gateway: GatewayProcess, join: Join
) -> None:
    """C5: what the node has against a config is seen by the operator, and it is not sent again."""
    gateway.start()
    peer = join().listen("hydro/gh-temp/zn-temp/c5/config")
    peer.say(HELLO, ours("c5"))
    until(lambda: gateway.node("c5"))
    gateway.command("config", "push", "c5", file(tmp_path))
    (envelope,) = until(lambda: peer.heard("/config", revision=1))
    answer = {"revision": 1, "sha256": envelope["sha256"], "state": "rejected", "seq": 1}
    answer |= {
        "boot_id": "0000000a",
        "reason": "Missing or invalid relay_type",
        "path": "channels[0]",
    }
    peer.say("hydro/gh-temp/zn-temp/c5/config_report", answer)
    until(lambda: desired(gateway) == [(1, "rejected")])
    shown = gateway.command("config", "status", "c5", "--json")
    assert "Missing or invalid relay_type" in shown.stdout


def test_c6_a_config_that_is_too_big_is_refused_before_it_is_sent(
    tmp_path: Path, gateway: GatewayProcess, join: Join
) -> None:
    """C6: more than a node's 4,096 bytes is an error that names the bytes, and nothing is queued."""
    gateway.start()
    join().say(HELLO, ours("c6"))
    until(lambda: gateway.node("c6"))
    channel = DOCUMENT["channels"][0]
    big = DOCUMENT | {"channels": [{**channel, "name": f"channel_{n:03}"} for n in range(60)]}
    done = gateway.command("config", "push", "c6", file(tmp_path, big))
    assert done.returncode == 65
    assert "4,096" in done.stderr or "4096" in done.stderr
    assert desired(gateway) == []


def test_c8_the_secret_is_always_in_a_push_and_never_shown(
    tmp_path: Path, gateway: GatewayProcess, join: Join
) -> None:
    """C8: every document carries the node's secret; no command and no log line shows it, nor the
    passwords."""
    gateway.start()
    peer = join().listen("hydro/gh-temp/zn-temp/c8/config")
    peer.say(HELLO, ours("c8"))
    until(lambda: gateway.node("c8"))
    gateway.command("config", "push", "c8", file(tmp_path))
    (envelope,) = until(lambda: peer.heard("/config", revision=1))
    secret = json.loads(envelope["doc"])["node_secret"]
    assert len(secret) == 64
    shown = "".join(
        gateway.command(*words).stdout
        for words in (
            ("config", "show", "c8", "--json"),
            ("config", "history", "c8", "--json"),
            ("nodes", "show", "c8", "--json"),
            ("nodes", "list", "--json"),
            ("events", "--json"),
        )
    )
    for word in (secret, "broker-word", "wifi-word"):
        assert word not in shown
        assert word not in gateway.output


def _node_after(running: dict[str, object], pushed: dict[str, object]) -> dict[str, object]:
    """What a node runs after this push, by the device's own rules."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "device"))
    from gwnode import document

    return dict(document.effective(pushed, document.overlay(pushed, running)))


def test_c7_placeholders_never_overwrite_credentials() -> None:
    """C7: `{"configured": true}` and absent sections are accepted, and keep what the node has."""
    wifi, mqtt = {"ssid": "garden", "pass": "w"}, {"host": "pi.local", "port": 1883}
    running: dict[str, object] = {"wifi": wifi, "mqtt": mqtt, "node_secret": "s"}
    for section in ({"wifi": {"configured": True}}, {}):
        pushed = {"channels": [], "mqtt": {"configured": True}, **section}
        after = _node_after(running, pushed)
        assert (after["wifi"], after["mqtt"], after["node_secret"]) == (wifi, mqtt, "s")


def test_c9_calibration_survives_a_push_without_it() -> None:
    """C9: a push that carries no calibration, or half of it, wipes nothing."""
    running: dict[str, object] = {"calibration": {"ph": {"a": 1}, "ec": {"b": 2}}, "mqtt": {}}
    pushed = {"channels": [], "mqtt": {"configured": True}}
    assert _node_after(running, pushed)["calibration"] == running["calibration"]
    half = {**pushed, "calibration": {"ph": {"a": 9}}}
    assert _node_after(running, half)["calibration"] == {"ph": {"a": 9}, "ec": {"b": 2}}
