"""Whole journeys with real processes: gateway, broker, MicroPython nodes, and the command line."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import free_port
from gateway.testing.process import GatewayProcess, Peer, until

NODES = 20
QUERY = (
    "SELECT id, uid, hardware_id, type, lifecycle_state, created_at "
    "FROM nodes ORDER BY created_at DESC LIMIT 5;"
)


@pytest.fixture
def gateway(tmp_path: Path, broker_port: int) -> Iterator[GatewayProcess]:
    """A gateway of its own name space on the shared broker."""
    env = {"GATEWAY__MQTT__ROOT": f"e2e-{tmp_path.name}"}
    with GatewayProcess(tmp_path / "state", broker_port, env=env) as running:
        yield running


def config(channels: int) -> dict[str, object]:
    sensor = {"type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 5000, "unit": "C"}
    return {
        "channels": [{"name": f"t{n}", **sensor} for n in range(channels)],
        "mqtt": {"configured": True},
        "wifi": {"configured": True},
    }


def test_twenty_micropython_nodes_are_registered_configured_and_proved(
    tmp_path: Path, gateway: GatewayProcess, broker_port: int
) -> None:
    """Twenty real nodes say hello, get their receipt, apply a config and prove it; then they beat."""
    fleet = Fleet(
        tmp_path / "nodes", NODES, Broker("127.0.0.1", broker_port, root=f"e2e-{tmp_path.name}")
    )
    fleet.start()
    try:
        until(
            lambda: (
                len(
                    gateway.rows("SELECT 1 FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'")
                )
                == NODES
            ),
            60,
        )
        (tmp_path / "config.json").write_text(json.dumps(config(4)))
        for name in fleet.hardware_ids:
            done = gateway.command("config", "push", name, str(tmp_path / "config.json"))
            assert done.returncode == 0, done.stderr
        verified = "SELECT 1 FROM config_desired WHERE state = 'verified' AND revision = 1"
        until(lambda: len(gateway.rows(verified)) == NODES, 60, "twenty verified configs")
        until(
            lambda: len(gateway.rows("SELECT 1 FROM heartbeat_nodes WHERE beats > 0")) == NODES, 60
        )
    finally:
        fleet.stop()
    lives = {life for (life,) in gateway.rows("SELECT life FROM nodes")}
    assert lives <= {"online", "offline"}
    assert gateway.rows("SELECT 1 FROM refused") == []
    assert gateway.rows("SELECT 1 FROM delivery") == []
    connection = sqlite3.connect(gateway.state_dir / "gateway.db")
    rows = connection.execute(QUERY).fetchall()
    connection.close()
    assert len(rows) == 5
    assert all(state == "REGISTERED_BACKEND" and hardware for _, _, hardware, _, state, _ in rows)


def test_make_runs_main_job_on_embedded_defaults(tmp_path: Path) -> None:
    """`gateway run --simulate 3 --once` from nothing: three nodes verified on the embedded broker;
    a second run, on a broker that has moved to another port, finds them again and pushes nothing."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY__")}
    env |= {"GATEWAY_CONFIG": os.devnull, "GATEWAY__BROKER__MODE": "embedded"}
    words = [sys.executable, "-m", "gateway", "--state-dir", str(tmp_path / "s"), "run"]
    words += ["--simulate", "3", "--once"]
    for _ in range(2):
        port = {"GATEWAY__BROKER__PORT": str(free_port())}
        done = subprocess.run(
            words, env=env | port, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "main job done: 3 of 3 nodes registered, online and verified" in done.stdout
        assert "embedded nats-server" in done.stdout
    connection = sqlite3.connect(tmp_path / "s" / "gateway.db")
    revisions = connection.execute(
        "SELECT max(revision), count(*) FROM config_revisions"
    ).fetchone()
    connection.close()
    assert revisions == (1, 3)


def test_ctrl_c_ends_everything_within_five_seconds(tmp_path: Path) -> None:
    """SIGINT stops nodes, gateway and broker, and none of their processes is left."""
    env = {"GATEWAY__BROKER__MODE": "embedded"}
    gateway = GatewayProcess(tmp_path / "state", 0, env=env, broker="embedded")
    gateway.start(args=("--simulate", "2"))
    gateway.wait_for("nodes")
    pid = int((tmp_path / "state" / "broker" / "pid").read_text())
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.process.wait(5) in (0, 130)
    until(lambda: "stopping" in gateway.output)
    until(lambda: not Path(f"/proc/{pid}").exists(), 5, "the broker's end")


def test_a_killed_gateway_takes_its_broker_with_it(tmp_path: Path) -> None:
    """After a SIGKILL the embedded broker is gone too, and the next start works at once."""
    gateway = GatewayProcess(tmp_path / "state", 0, broker="embedded").start()
    pid = int((tmp_path / "state" / "broker" / "pid").read_text())
    gateway.kill()
    until(lambda: not Path(f"/proc/{pid}").exists(), 10, "the broker's end")
    gateway.start()
    assert gateway.stop() == 0


def test_the_broker_that_forgets_everything_loses_no_hello(
    tmp_path: Path, broker_port: int, gateway: GatewayProcess
) -> None:
    """A hello that nobody heard is said again until the receipt comes: the gateway may be late."""
    gateway.stop()
    root = f"e2e-{tmp_path.name}"
    fleet = Fleet(tmp_path / "nodes", 1, Broker("127.0.0.1", broker_port, root=root))
    fleet.start()
    try:
        listener = Peer(broker_port).listen(f"{root}/node_hello")
        until(lambda: listener.heard("node_hello"), what="a hello that nobody answers")
        listener.close()
        gateway.start()
        (name,) = fleet.hardware_ids
        node = until(lambda: (n := gateway.node(name)) and n["life"] == "online" and n, 30)
    finally:
        fleet.stop()
    assert node["lifecycle_state"] == "REGISTERED_BACKEND"
