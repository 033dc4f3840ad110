"""`gateway simulate`: light nodes against a real gateway and broker, and what scenarios do to them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until

POWER_CUT = """\
about = "everybody, at once"
[[fleet]]
share = 0.2
foreign = true
[[fleet]]
share = 0.2
fw_version = "0.9.0"
[[steps]]
at = 4
does = "power_cut"
off = 0.5
within = 0.5
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway on a mosquitto."""
    folder = tmp_path_factory.mktemp("simulate")
    with (
        Mosquitto(folder / "broker") as broker,
        GatewayProcess(folder / "state", broker.port) as running,
    ):
        yield running


def test_light_nodes_live_through_a_power_cut(gateway: GatewayProcess, tmp_path: Path) -> None:
    """Thirty nodes of three makes are registered, lose power and come back; ours get a receipt for
    each boot; older ones say their version, field firmware is registered without ever being told; the
    next call starts the same nodes."""
    file = tmp_path / "cut.toml"
    file.write_text(POWER_CUT)
    words = ("simulate", "-n", "30", "--json", "--scenario", str(file), "--for", "11")
    done = gateway.command(*words)
    assert done.returncode == 0, done.stderr
    assert "power cut: 30 of 30 nodes" in done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "gateway.simulate/1"
    assert (told["nodes"], told["receipted"], told["expect_receipts"]) == (30, 24, 24)
    assert told["counts"]["boots"] == 60
    assert told["counts"]["got hello_ack"] >= 48
    states = gateway.rows("SELECT lifecycle_state, count(*) FROM nodes GROUP BY 1")
    assert states == [("REGISTERED_BACKEND", 30)]
    assert gateway.rows("SELECT count(*) FROM nodes WHERE fw_version = '0.9.0'") == [(6,)]
    assert gateway.rows("SELECT count(*) FROM nodes WHERE protocol = 0") == [(6,)]
    assert gateway.command("simulate", "-n", "30", "--for", "4").returncode == 0
    assert gateway.rows("SELECT count(*) FROM nodes") == [(30,)]


def test_a_light_node_proves_a_config_and_keeps_it(gateway: GatewayProcess, tmp_path: Path) -> None:
    """A config is applied and verified; SIGTERM ends it with its count, also where SIGINT is ignored,
    and what the flash holds is there for the next run. Nodes that have ended are offline at once."""
    online = "SELECT uid FROM nodes WHERE life = 'online'"
    until(lambda: not gateway.rows(online), what="nodes of an earlier run are offline")
    document = {"channels": [], "mqtt": {"configured": True}, "wifi": {"configured": True}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]  # as a shell's background job
    command += [sys.executable, "-m", "gateway", "simulate", "-n", "1"]
    with subprocess.Popen(
        command, env=gateway.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        try:
            name = until(lambda: gateway.rows(online))[0][0]
            done = gateway.command("config", "push", name, str(tmp_path / "config.json"), "--wait")
            assert done.returncode == 0, done.stderr + done.stdout
        finally:
            running.terminate()
            out, _ = running.communicate(timeout=20)
    assert out.startswith("1 node, 1 of 1 receipted · 1 boot")
    kept = json.loads((gateway.state_dir / "nodes/light.json").read_text())
    assert any('"rev": 1' in text for text in kept["flash"]["0"]["slots"].values())


def test_a_scenario_that_is_not_there(gateway: GatewayProcess) -> None:
    """Exit code 65 with those that are shipped; a step that real nodes cannot do is named."""
    done = gateway.command("simulate", "--scenario", "strom")
    assert done.returncode == 65
    for name in ("storm", "flapping", "clock jump", "version mix"):
        assert name in done.stderr
    for name, step in (("clock jump", "clock_jump"), ("version mix", "upgrade")):
        both = gateway.command("simulate", "--scenario", name, "--micropython")
        assert both.returncode == 65
        assert f"step 1, {step} is for light nodes: leave out --micropython" in both.stderr
