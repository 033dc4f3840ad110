"""One side has lost the secret that both shared: how they find together again, in each registration mode."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until

CLAIM = "c" * 40
CONFIG = {
    "channels": [],
    "mqtt": {"configured": True},
    "wifi": {"configured": True},
}


class Scene:
    """A gateway with one registration mode, and one real node."""

    def __init__(self, folder: Path, port: int, mode: str) -> None:
        env = {"GATEWAY__SECURITY__REGISTRATION": mode}
        if mode == "claim":
            env["GATEWAY__SECURITY__CLAIM_KEY"] = CLAIM
        self.mode = mode
        self.gateway = GatewayProcess(folder / "state", port, env=env)
        self.fleet = Fleet(folder / "nodes", 1, Broker("127.0.0.1", port))
        (self.name,) = self.fleet.hardware_ids
        self.node = folder / "nodes" / self.name
        known = json.loads((self.node / "node.json").read_text())
        known |= {"interval_s": 1, "trial_s": 30}
        if mode == "claim":
            known["claim_key"] = CLAIM
        (self.node / "node.json").write_text(json.dumps(known))
        (folder / "config.json").write_text(json.dumps(CONFIG))
        self.config = folder / "config.json"

    def operator(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What an operator types has to work."""
        done = self.gateway.command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def registered(self) -> None:
        """Let the node in as this mode wants it."""
        if self.mode == "approve":
            until(lambda: self.name in self.gateway.command("nodes", "pending").stdout, 40)
            self.operator("nodes", "approve", self.name)
        until(lambda: self.state() == "REGISTERED_BACKEND", 40, "registered")

    def state(self) -> Any:
        """The node's lifecycle state."""
        node = self.gateway.node(self.name)
        return node and node["lifecycle_state"]

    def push(self, revision: int) -> None:
        """Push, and wait for the proof."""
        self.operator("config", "push", self.name, str(self.config))
        self.verified(revision)

    def verified(self, revision: int) -> None:
        """The node has proved this revision under the secret that is in it."""
        sql = "SELECT 1 FROM config_desired WHERE state = 'verified' AND revision = ?"
        until(lambda: self.gateway.rows(sql, revision), 90, f"revision {revision} verified")

    def log(self) -> str:
        """What the node has printed."""
        return (self.node / "node.log").read_text()


@pytest.mark.parametrize("mode", ["open", "approve", "claim"])
def test_a_lost_secret(tmp_path: Path, mode: str) -> None:
    """The node forgets: `claim` takes it back for its claim, `open` once its old boot has been silent,
    `approve` when an operator re-admits it, and its config comes again by itself. Then the gateway
    forgets: the node believes none of its receipts, and the next push, with a revision above the
    node's, joins them."""
    with Mosquitto(tmp_path / "broker") as broker:
        scene = Scene(tmp_path, broker.port, mode)
        with scene.gateway:
            scene.fleet.start()
            try:
                scene.registered()
                scene.push(1)
                _the_node_forgets(scene)
                _the_gateway_forgets(scene, broker)
                assert len(scene.gateway.rows("SELECT id FROM nodes")) == 1
            finally:
                scene.fleet.stop()


def _the_node_forgets(scene: Scene) -> None:
    scene.fleet.stop()
    for name in ("slot.a", "slot.b", "boot.a", "boot.b"):
        (scene.node / name).unlink(missing_ok=True)
    before = scene.log().count("config verified v1")
    scene.fleet.start()
    if scene.mode == "approve":
        until(lambda: "not accepted: identity" in scene.log(), 40, "the node is told why")
        scene.operator("nodes", "readmit", scene.name)
        scene.fleet.stop()  # somebody presses its button, or it asks again within a minute
        scene.fleet.start()
    until(lambda: scene.log().count("config verified v1") > before, 90, "the config again")


def _the_gateway_forgets(scene: Scene, broker: Mosquitto) -> None:
    scene.gateway.stop()
    shutil.rmtree(scene.gateway.state_dir)
    broker.stop()
    broker.start()
    scene.gateway.start()
    until(lambda: "receipt without a good signature" in scene.log(), 40, "nobody is believed")
    scene.registered()
    scene.push(2)
