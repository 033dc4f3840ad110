"""E: time and commands (field failures E1 and E4; the rest comes with commands)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import DataError
from gateway.protocol.signing import sign_command
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

if TYPE_CHECKING:
    from conftest import RealNode

PRODUCTION = """
user gateway
topic read hydro/#
topic readwrite hydro/system/#
topic write hydro/+/+/+/hello_ack
user node
topic readwrite hydro/#
"""
"""As the field's: the backend may write neither the time nor a config."""
LOGIN = {"GATEWAY__MQTT__USERNAME": "gateway", "GATEWAY__MQTT__PASSWORD": "word"}
MANUAL = Path(__file__).parents[2] / "docs" / "operate" / "README.md"
VECTORS = Path(__file__).parents[1] / "vectors" / "hmac_vectors.json"
DIVERGENT = json.loads(VECTORS.read_text())["divergent_do_not_send"]


@pytest.mark.parametrize("case", DIVERGENT, ids=lambda case: case["case"])
def test_e4_what_two_sides_would_sign_differently_is_never_sent(case: dict[str, Any]) -> None:
    """E4: numbers and keys on which sender and node disagree are refused before signing."""
    value = json.loads(case["value_on_wire"])
    command = value if isinstance(value, dict) else {"params": {"v": value}}
    with pytest.raises(DataError):
        sign_command("secret", command)


@pytest.fixture
def guarded(tmp_path: Path) -> Callable[[str], Mosquitto]:
    """Make a mosquitto with this ACL, for the users gateway and node."""

    def make(rules: str) -> Mosquitto:
        users, acl = tmp_path / "users", tmp_path / "acl"
        users.touch()
        for name in ("gateway", "node"):
            words = ["mosquitto_passwd", "-b", str(users), name, "word"]
            subprocess.run(words, check=True, capture_output=True)
        acl.write_text(rules)
        for file in (users, acl):
            file.chmod(0o644)
        lines = ["allow_anonymous false", f"password_file {users}", f"acl_file {acl}"]
        return Mosquitto(tmp_path / "broker", lines=lines)

    return make


def test_e1_what_the_brokers_acl_keeps_from_us_is_told(
    tmp_path: Path, guarded: Callable[[str], Mosquitto]
) -> None:
    """E1: the broker acknowledges what it throws away. The gateway finds out at its start, names topic
    and consequence in its output and in `status`, and goes on with what it may do."""
    with (
        guarded(PRODUCTION) as broker,
        GatewayProcess(tmp_path / "state", broker.port, env=LOGIN) as gateway,
    ):
        told = until(lambda: len(t := _rights(gateway)) == 3 and t, 30)
        peer = Peer(broker.port, login=("node", "word"))
        peer.say("hydro/node_hello", hello("e1"))
        until(lambda: gateway.node("e1"))
        peer.close()
        status = json.loads(gateway.command("status", "--json").stdout)
    assert any("hydro/time/response: nodes that ask for the time get none" in t for t in told)
    assert sum("/config: configs are thrown away" in t for t in told) == 2
    assert len(status["gateway"]["missing_rights"]) == 3


def test_e1_the_acl_of_the_manual_is_enough(
    tmp_path: Path, guarded: Callable[[str], Mosquitto], node: Callable[..., RealNode]
) -> None:
    """E1: under the ACL that the manual gives nothing is missing, and a real node proves a config."""
    (rules,) = re.findall(r"```acl\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    with (
        guarded(rules) as broker,
        GatewayProcess(tmp_path / "state", broker.port, env=LOGIN) as gateway,
    ):
        log = tmp_path / "broker" / "log"
        until(lambda: "-rights disconnected" in log.read_text(), 30, "the end of the question")
        board = node(broker.port, username="node", password="word").start()
        board.boot(gateway)
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"channels": [], "mqtt": {"configured": True}}))
        done = gateway.command("config", "push", board.hardware_id, str(path), "--wait")
        assert "verified" in done.stdout, done.stderr
        assert _rights(gateway) == []


def test_e1_a_gateway_without_a_name_asks_nothing(tmp_path: Path) -> None:
    """E1: nobody on an open broker hears words to a node that does not exist."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        GatewayProcess(tmp_path / "state", broker.port) as gateway,
    ):
        peer = Peer(broker.port).listen("hydro/+/+/+/hello_ack", "hydro/+/+/+/config")
        peer.say("hydro/node_hello", hello("e1", boot_id="0000000a", seq=1))
        until(lambda: peer.heard("hello_ack", hardware_id="e1"))
        peer.close()
        assert len(peer.got) == 1
        assert gateway.output.count("rights") == 0
    assert "-rights" not in (tmp_path / "broker" / "log").read_text()


def _rights(gateway: GatewayProcess) -> list[str]:
    return [line for line in list(gateway.lines) if "ACL" in line]
