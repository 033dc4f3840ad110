"""A real node, a real gateway, a real broker: a config that cuts the node off is left by itself."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until

DOCUMENT = {
    "channels": [
        {"name": "t", "type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 5000}
    ],
    "mqtt": {"configured": True},
    "wifi": {"configured": True},
}


def states(gateway: GatewayProcess) -> dict[int, tuple[str, str]]:
    rows = gateway.rows("SELECT revision, state, reason FROM config_revisions ORDER BY revision")
    return {revision: (state, reason) for revision, state, reason in rows}


def test_a_config_that_cuts_the_node_off_is_rolled_back_and_reported(
    node_files: Path, tmp_path: Path
) -> None:
    """Revision 1 proves itself; revision 2 names a broker that is not there: the node goes back to 1
    within its trial, says so with the reason, and is online with 1; a push of revision 3 proves itself,
    and binding moves the node to its own topics."""
    with Mosquitto(tmp_path / "broker") as broker:
        fleet = Fleet(tmp_path / "nodes", 1, Broker("127.0.0.1", broker.port))
        fleet.parts = fleet.parts._replace(device=node_files)
        (settings,) = (tmp_path / "nodes").glob("*/node.json")
        known = json.loads(settings.read_text())
        settings.write_text(json.dumps({**known, "trial_s": 3, "interval_s": 1}))
        with GatewayProcess(tmp_path / "state", broker.port) as gateway:
            fleet.start()
            try:
                _journey(gateway, fleet.hardware_ids[0], tmp_path)
            finally:
                fleet.stop()
            assert states(gateway)[2][0] == "rolled_back"


def _journey(gateway: GatewayProcess, name: str, tmp_path: Path) -> None:
    def push(document: object) -> None:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(document))
        done = gateway.command("config", "push", name, str(path))
        assert done.returncode == 0, done.stderr

    until(lambda: gateway.node(name))
    push(DOCUMENT)
    until(lambda: states(gateway).get(1, ("",))[0] == "verified", 30, "revision 1 verified")
    push({**DOCUMENT, "mqtt": {"host": "127.0.0.1", "port": 1}})
    until(lambda: states(gateway).get(2, ("",))[0] == "rolled_back", 40, "revision 2 rolled back")
    assert "no receipt within 3 s" in states(gateway)[2][1]
    until(lambda: gateway.rows("SELECT 1 FROM config_reported WHERE revision = 1"), 30)
    push({**DOCUMENT, "channels": []})
    until(lambda: states(gateway).get(3, ("",))[0] == "verified", 40, "revision 3 verified")
    done = gateway.command("nodes", "bind", name, "gh-1/zn-1")
    assert done.returncode == 0, done.stderr
    until(lambda: (n := gateway.node(name)) and (n["gh"], n["zone"]) == ("gh-1", "zn-1"), 40)
    node = gateway.node(name)
    assert node is not None
    assert node["lifecycle_state"] == "ASSIGNED_TO_ZONE"
    uid = node["uid"]
    beats = f"SELECT 1 FROM journal WHERE topic = 'hydro/gh-1/zn-1/{uid}/heartbeat'"
    until(lambda: gateway.rows(beats), 20, "beats under the new name")
