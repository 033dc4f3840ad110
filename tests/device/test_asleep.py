"""A real node that sleeps, a real gateway, a real broker: asleep is not offline."""

from __future__ import annotations

import json
import time
from pathlib import Path

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until


def test_a_sleeping_node_is_asleep_and_wakes(tmp_path: Path) -> None:
    """It registers, says that it sleeps, is shown as asleep, and says hello again as a new boot."""
    with Mosquitto(tmp_path / "broker") as broker:
        fleet = Fleet(tmp_path / "nodes", 1, Broker("127.0.0.1", broker.port))
        (settings,) = (tmp_path / "nodes").glob("*/node.json")
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "sleep_s": 4}))
        with GatewayProcess(tmp_path / "state", broker.port) as gateway:
            name = fleet.hardware_ids[0]

            def node() -> dict[str, object]:
                fleet.tend(time.monotonic())
                return gateway.node(name) or {}

            fleet.start()
            try:
                until(lambda: node().get("life") == "asleep", 60, "asleep")
                boot = node()["boot_id"]
                until(lambda: node().get("boot_id") != boot, 60, "the next boot's hello")
                until(lambda: node().get("life") == "asleep", 60, "asleep again")
                told = gateway.rows("SELECT count(*) FROM nodes WHERE life = 'offline'")
                assert told == [(0,)]
            finally:
                fleet.stop()
