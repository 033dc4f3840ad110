"""A fleet of real MicroPython nodes behind a network that is spoiled by a script.

A script is a seed: the acts, their order and their strength come from it. `make test` plays one with 50
nodes, `make soak-nodes` forty with 300.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until
from gateway.testing.proxy import CLEAR, Proxy, Weather, running

NODES = int(os.environ.get("SOAK_NODES", "50"))
SCRIPTS = int(os.environ.get("SOAK_SCRIPTS", "1"))
ACTS = 6
PUSHED = 8
PATIENCE = 120 + NODES
CONFIG = {
    "channels": [{"name": "t", "type": "SENSOR", "metric": "TEMPERATURE"}],
    "mqtt": {"configured": True},
    "wifi": {"configured": True},
}
LINES = ["allow_anonymous true", "max_queued_messages 0"]


class Stage:
    """Broker, proxy, gateway and fleet of one script."""

    def __init__(self, folder: Path, seed: int, proxy: Proxy, broker: Mosquitto) -> None:
        self.dice = random.Random(seed)
        self.proxy = proxy
        self.broker = broker
        self.gateway = GatewayProcess(folder / "state", broker.port)
        self.fleet = Fleet(folder / "nodes", NODES, Broker("127.0.0.1", proxy.port))
        self.folder = folder
        for path in (folder / "nodes").glob("*/node.json"):
            known = json.loads(path.read_text())
            known |= {"interval_s": 2, "trial_s": 30}
            known["mqtt"]["keepalive"] = 6  # half-open connections are noticed within 13 s
            path.write_text(json.dumps(known))

    def logs(self) -> dict[str, str]:
        """What each node has printed."""
        return {p.parent.name: p.read_text() for p in (self.folder / "nodes").glob("*/node.log")}

    # -- acts: each leaves something broken behind it ------------------------------------------

    def slow(self) -> None:
        """Bytes come late, and not evenly."""
        delay = self.dice.uniform(0.01, 0.2)
        self.proxy.weather = Weather(delay=delay, jitter=2 * delay)

    def torn(self) -> None:
        """Connections break in the middle of a packet."""
        self.proxy.weather = Weather(tear=self.dice.uniform(0.01, 0.1))

    def stalled(self) -> None:
        """Connections stand and carry nothing."""
        self.proxy.weather = Weather(stall=self.dice.uniform(0.01, 0.05))

    def narrow(self) -> None:
        """A line of a few kilobytes a second for each node."""
        self.proxy.weather = Weather(rate=self.dice.uniform(500, 5000))

    def reset(self) -> None:
        """Everybody at once."""
        self.proxy.cut()

    def mid_packet(self) -> None:
        """Everybody, so many bytes later."""
        self.proxy.tear(self.dice.randrange(1, 60))

    def silent(self) -> None:
        """Whoever says something now is half-open for ever."""
        self.proxy.silent = True
        time.sleep(self.dice.uniform(0.5, 2.0))
        self.proxy.silent = False

    def broker_restarts(self) -> None:
        """It forgets every session."""
        self.broker.stop()
        self.broker.start()

    def acts(self) -> list[Callable[[], None]]:
        """The ones of this script, in its order."""
        all_of_them = [self.slow, self.torn, self.stalled, self.narrow, self.reset]
        all_of_them += [self.mid_packet, self.silent, self.broker_restarts]
        return self.dice.sample(all_of_them, ACTS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SCRIPTS))
def test_a_fleet_comes_through_bad_weather(tmp_path: Path, seed: int) -> None:
    """Whatever the network did, behind it every node is registered and online, has proved the config
    that was pushed to it in the middle of it, and is still the process that it was: none crashed, none
    found no memory."""
    with (
        Mosquitto(tmp_path / "broker", lines=LINES) as broker,
        running(Proxy(broker.port, seed=seed)) as proxy,
    ):
        stage = Stage(tmp_path, seed, proxy, broker)
        with stage.gateway as gateway:
            stage.fleet.start()
            try:
                _play(stage, gateway)
            finally:
                stage.fleet.stop()
        boots = {log.count(" boot=") for log in stage.logs().values()}
        errors = [
            line for log in stage.logs().values() for line in log.split("\n") if "rror:" in line
        ]
        assert boots == {1}
        assert errors == []
        assert gateway.rows("SELECT word FROM refused") == [], "half a message was taken for one"


def _play(stage: Stage, gateway: GatewayProcess) -> None:
    stage.slow()
    registered = "SELECT 1 FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
    until(lambda: len(gateway.rows(registered)) >= NODES // 2, PATIENCE, "half of the fleet")
    (stage.folder / "config.json").write_text(json.dumps(CONFIG))
    acts = stage.acts()
    names = stage.fleet.hardware_ids[:PUSHED]
    for number, act in enumerate(acts):
        before = stage.proxy.connections
        act()
        for name in names[number::ACTS]:
            until(lambda name=name: gateway.node(name), PATIENCE, f"{name} known")  # type: ignore[misc] # bound at once
            gateway.command("config", "push", name, str(stage.folder / "config.json"))
        deadline = time.monotonic() + 3
        # either the act has thrown nodes out and they come back, or it only hinders them
        while stage.proxy.connections < before + NODES // 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    stage.proxy.weather = CLEAR
    story = f"{[act.__name__ for act in acts]}"
    until(
        lambda: len(gateway.rows(registered)) == NODES, PATIENCE, f"all registered behind {story}"
    )
    online = "SELECT 1 FROM nodes WHERE life = 'online'"
    until(lambda: len(gateway.rows(online)) == NODES, PATIENCE, f"all online behind {story}")
    verified = "SELECT 1 FROM config_desired WHERE state = 'verified' AND revision = 1"
    until(lambda: len(gateway.rows(verified)) == PUSHED, PATIENCE, f"all verified behind {story}")
