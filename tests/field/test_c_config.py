"""C: config and binding (field failures C1, C3, C5 to C9)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

if TYPE_CHECKING:
    from conftest import RealNode

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
    until(lambda: gateway.rows(query), what="the reported channel")
    assert gateway.rows(query) == [("t",)]


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
    peer.say(HELLO, ours("c5") | {"boot_id": "0000000b"})
    until(lambda: (n := gateway.node("c5")) and n["boot_id"] == "0000000b")
    shown = gateway.command("config", "status", "c5", "--json")
    assert "Missing or invalid relay_type" in shown.stdout
    assert len(peer.heard("/config")) == 1


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


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto that lets in gateway and node by their passwords only."""
    users = tmp_path / "users"
    users.touch()
    for name in ("gateway", "node"):
        words = ["mosquitto_passwd", "-b", str(users), name, f"{name}-word"]
        subprocess.run(words, check=True, capture_output=True)
    users.chmod(0o644)
    lines = ["allow_anonymous false", f"password_file {users}"]
    with Mosquitto(tmp_path / "locked", lines=lines) as running:
        yield running


def test_c7_placeholders_never_overwrite_credentials(
    tmp_path: Path, locked: Mosquitto, node: Callable[..., RealNode]
) -> None:
    """C7: a real node gets its login and Wi-Fi by a config, and then configs with placeholders and
    without sections; after a power cut, with nothing in node.json that would open the broker, it is
    back under the login of the first one."""
    env = {"GATEWAY__MQTT__USERNAME": "gateway", "GATEWAY__MQTT__PASSWORD": "gateway-word"}
    login = {"username": "node", "password": "node-word"}
    board = node(locked.port, **login)
    with GatewayProcess(tmp_path / "state", locked.port, env=env) as gateway:
        first = board.start().boot(gateway)
        mqtt = {"host": "127.0.0.1", "port": locked.port, **login}
        real = {"mqtt": mqtt, "wifi": DOCUMENT["wifi"], "channels": []}
        placeholder = {"configured": True}
        prove(gateway, board, tmp_path, real)
        prove(gateway, board, tmp_path, {**real, "mqtt": placeholder, "wifi": placeholder})
        without = {"mqtt": placeholder, "channels": DOCUMENT["channels"]}
        prove(gateway, board, tmp_path, without)
        board.stop()
        board.edit(mqtt={**mqtt, "username": "nobody", "password": "wrong"}, wifi=[])
        board.start()
        until(lambda: board.boot(gateway) != first, 60, board.log)
        shown = reported(gateway, board)
    assert shown["wifi"] == {"configured": True}  # and none in node.json
    assert [channel["name"] for channel in shown["channels"]] == ["t"]


def test_c9_calibration_survives_a_push_without_it(
    tmp_path: Path, gateway: GatewayProcess, node: Callable[..., RealNode]
) -> None:
    """C9: pushes that carry no calibration, or half of it, wipe nothing on a real node, and a power cut
    after them neither."""
    gateway.start()
    board = node()
    first = board.start().boot(gateway)
    least = {"mqtt": {"configured": True}, "channels": []}
    prove(gateway, board, tmp_path, {**least, "calibration": {"ph": {"slope": 1}, "ec": {"k": 2}}})
    prove(gateway, board, tmp_path, {**least, "version": 4})
    assert reported(gateway, board)["calibration"] == {"ph": {"slope": 1}, "ec": {"k": 2}}
    prove(gateway, board, tmp_path, {**least, "calibration": {"ph": {"slope": 9}}})
    board.stop()
    board.start()
    until(lambda: board.boot(gateway) != first, 60, board.log)
    assert reported(gateway, board)["calibration"] == {"ph": {"slope": 9}, "ec": {"k": 2}}


def prove(
    gateway: GatewayProcess, board: RealNode, tmp_path: Path, document: dict[str, object]
) -> None:
    """Push a document to a real node, and wait until it has proved it."""
    done = gateway.command("config", "push", board.hardware_id, file(tmp_path, document), "--wait")
    assert done.returncode == 0, done.stdout + done.stderr + board.log
    assert "verified" in done.stdout


def reported(gateway: GatewayProcess, board: RealNode) -> dict[str, Any]:
    """The document that the node showed last, secrets hidden."""
    done = gateway.command("config", "show", board.hardware_id, "--reported", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["document"])
