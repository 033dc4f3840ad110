"""Real nodes and who they are: binding, the three doors, a board's double, a gateway that lost all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.testing.process import GatewayProcess, Peer, hello, until

if TYPE_CHECKING:
    from conftest import RealNode
    from gateway.testing.broker import Mosquitto

Board = Callable[..., "RealNode"]
Gate = Callable[..., GatewayProcess]


@pytest.fixture
def gate(tmp_path: Path, broker: Mosquitto) -> Iterator[Gate]:
    """Start a gateway with these settings; it is stopped at the end."""
    made: list[GatewayProcess] = []

    def start(**env: str) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path / "state", broker.port, env=env))
        return made[-1].start()

    yield start
    for one in made:
        one.__exit__(None, None, None)


def push(gateway: GatewayProcess, tmp_path: Path, name: str, *more: str) -> str:
    """Push a config and wait until the node has proved it; what was said."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"channels": [], "mqtt": {"configured": True}}))
    done = gateway.command("config", "push", name, str(path), "--wait", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def done(gateway: GatewayProcess, *words: str) -> str:
    """An operator's command that must succeed; its stdout."""
    result = gateway.command(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def state(gateway: GatewayProcess, board: RealNode) -> str:
    """The node's lifecycle state, "" while it is not known."""
    node = gateway.node(board.hardware_id)
    return str(node["lifecycle_state"]) if node else ""


def test_a_node_moves_in_and_out(gate: Gate, node: Board, broker: Mosquitto, peer: Peer) -> None:
    """A5: bound when it reports from the place, never before; then it beats from there; a second place
    and the way out go the same way, and none of its old topics keeps an ONLINE."""
    gateway, board = gate(), node().start()
    board.boot(gateway)
    uid = gateway.node(board.hardware_id)["uid"]
    peer.listen("hydro/+/+/+/heartbeat")
    for place in ("gh-7/zn-9", "gh-8/zn-1"):
        assert "verified" in done(gateway, "nodes", "bind", uid, place, "--wait")
        found = gateway.node(board.hardware_id)
        assert f"{found['gh']}/{found['zone']}" == place
        assert found["lifecycle_state"] == "ASSIGNED_TO_ZONE"
        until(lambda place=place: f"hydro/{place}/{uid}/heartbeat" in {t for t, _, _ in peer.got})
    done(gateway, "nodes", "unbind", uid, "--wait")
    found = gateway.node(board.hardware_id)
    assert (found["gh"], found["zone"], found["lifecycle_state"]) == ("", "", "REGISTERED_BACKEND")
    temp = f"hydro/gh-temp/zn-temp/{board.hardware_id}"
    until(lambda: f"{temp}/heartbeat" in {t for t, _, _ in peer.got})
    until(lambda: retained(broker) <= {f"{temp}/status"}, 30, lambda: retained(broker))


def retained(broker: Mosquitto) -> set[str]:
    """The topics on which the broker keeps a node's status or will."""
    peer = Peer(broker.port).listen("hydro/+/+/+/status", "hydro/+/+/+/lwt", "hydro/node_hello")
    peer.say("hydro/node_hello", "end")
    until(lambda: any(topic == "hydro/node_hello" for topic, _, _ in peer.got))
    peer.close()
    return {topic for topic, _, kept in peer.got if kept}


def test_a_node_waits_for_approval(tmp_path: Path, gate: Gate, node: Board) -> None:
    """B9 `approve`: it is told to wait, found in the list, let in, and takes its first config."""
    gateway, board = gate(GATEWAY__SECURITY__REGISTRATION="approve"), node().start()
    until(lambda: state(gateway, board) == "PROVISIONED_WIFI", 60, board.log)
    (waiting,) = json.loads(done(gateway, "nodes", "pending", "--json"))["nodes"]
    assert (waiting["hardware_id"], waiting["admission"]) == (board.hardware_id, "pending")
    done(gateway, "nodes", "approve", board.hardware_id)
    assert state(gateway, board) == "REGISTERED_BACKEND"
    assert "verified" in push(gateway, tmp_path, board.hardware_id)


def test_a_node_shows_its_claim(tmp_path: Path, gate: Gate, node: Board) -> None:
    """B9 `claim`: a board that was flashed with the key is in at once and takes configs under it; one
    with another key is refused and becomes no node."""
    env = {"GATEWAY__SECURITY__REGISTRATION": "claim", "GATEWAY__SECURITY__CLAIM_KEY": "the-key"}
    gateway, board, forger = gate(**env), node(), node()
    board.edit(claim_key="the-key")
    forger.edit(claim_key="another")
    forger.start()
    board.start().boot(gateway)
    assert "verified" in push(gateway, tmp_path, board.hardware_id)
    until(lambda: "identity" in forger.log, 60, forger.log)
    assert state(gateway, forger) in ("", "PROVISIONED_WIFI")  # seen, and kept out


def test_a_double_of_a_board_is_told_from_it(tmp_path: Path, gate: Gate, node: Board) -> None:
    """B9: a second board with the same hardware_id and no secret changes nothing and is reported; once
    the first one is dead, it is a board that was wiped, and comes back by itself."""
    gateway, board, double = gate(GATEWAY__PLUGINS__HEARTBEAT__OFFLINE_AFTER="1.1"), node(), node()
    name = board.hardware_id
    board.edit(interval_s=1)
    first = board.start().boot(gateway)
    push(gateway, tmp_path, name)
    double.edit(hardware_id=name, interval_s=1, mqtt=double_login(double))
    double.start()
    until(lambda: "identity" in double.log, 60)
    found = gateway.node(name)
    assert (found["boot_id"], found["life"]) == (first, "online")
    assert json.loads(done(gateway, "nodes", "pending", "--json"))["nodes"][0]["suspects"] == 1
    board.stop()
    until(lambda: gateway.node(name)["life"] == "offline", 60)  # although its double beats
    double.stop()
    double.start()
    until(lambda: gateway.node(name)["boot_id"] != first, 60)
    assert "verified" in push(gateway, tmp_path, name)


def double_login(board: RealNode) -> dict[str, object]:
    """The same broker under another client id: two boards of one id would throw each other out."""
    settings = json.loads((board.folder / "node.json").read_text())
    return {**settings["mqtt"], "client_id": "double"}


@pytest.mark.parametrize("mode", ["open", "claim"])
def test_a_gateway_that_lost_all_takes_its_nodes_back(
    tmp_path: Path, gate: Gate, node: Board, mode: str
) -> None:
    """B5: with an empty store the node is registered again by its next hello, and takes a new secret
    with a revision behind its own."""
    env = {"GATEWAY__SECURITY__REGISTRATION": mode}
    if mode == "claim":
        env["GATEWAY__SECURITY__CLAIM_KEY"] = "the-key"
    gateway, board = gate(**env), node()
    board.edit(**({"claim_key": "the-key"} if mode == "claim" else {}))
    board.start().boot(gateway)
    push(gateway, tmp_path, board.hardware_id)
    gateway.stop()
    shutil.rmtree(tmp_path / "state")
    gateway.start()
    board.stop()
    board.start().boot(gateway)
    assert state(gateway, board) == "REGISTERED_BACKEND"
    assert push(gateway, tmp_path, board.hardware_id).startswith("v2")


def test_a_field_node_is_bound_configured_and_greeted_again(
    tmp_path: Path, gate: Gate, peer: Peer
) -> None:
    """A2, A3, A5, A6: firmware that knows nothing of part B gets the time, is refused a config while it
    is bound nowhere, is bound with a plain one that it shows back, and says hello again afterwards."""
    gateway, name = gate(), "esp32-f1e1d"
    temp, home = f"hydro/gh-temp/zn-temp/{name}", "hydro/gh-7/zn-9"
    peer.listen("hydro/time/response", f"{temp}/+", f"{home}/+/config")
    peer.say("hydro/time/request", {"message_type": "time_request", "uptime": 1})
    (answer,) = until(lambda: peer.heard("time/response"))
    assert abs(answer["unix_ts"] - time.time()) < 60
    assert answer["unix_ts"] == answer["server_time"]
    peer.say("hydro/node_hello", hello(name))
    (receipt,) = until(lambda: peer.heard("hello_ack"))
    assert "sig" not in receipt
    (tmp_path / "config.json").write_text(
        json.dumps({"channels": [], "mqtt": {"configured": True}})
    )
    refused = gateway.command("config", "push", name, str(tmp_path / "config.json"))
    assert (refused.returncode, "not bound" in refused.stderr) == (65, True)

    done(gateway, "nodes", "bind", name, "gh-7/zn-9")
    (document,) = until(lambda: peer.heard(f"{name}/config"))
    shown = {**document, "fw_version": "1.0.0", "wifi": {"ssid": "garden", "pass": "word"}}
    peer.say(f"{temp}/config_report", shown)  # a report from here finishes no bind
    peer.say(f"{home}/{document['node_id']}/config_report", shown)
    until(lambda: gateway.node(name)["lifecycle_state"] == "ASSIGNED_TO_ZONE")
    status = json.loads(done(gateway, "config", "status", name, "--json"))["nodes"][0]
    assert status["state"] == "verified"
    assert "word" not in done(gateway, "config", "show", name, "--reported", "--json")

    peer.say("hydro/node_hello", hello(name, fw_version="1.0.1"))
    until(lambda: len(peer.heard("hello_ack")) == 2)
    again = peer.heard("hello_ack")[1]
    assert (again.get("reason"), again["lifecycle_state"]) == (None, "ASSIGNED_TO_ZONE")
