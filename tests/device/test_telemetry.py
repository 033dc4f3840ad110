"""Channels on real parts: a real node's samples through a real broker that goes away for a while."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from gwnode import protocol

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, leave, until

DOCUMENT = {
    "channels": [
        {
            "name": "flow",
            "type": "SENSOR",
            "metric": "FLOW_RATE",
            "driver": "pulse",
            "poll_interval_ms": 100,
        },
        {
            "name": "pump",
            "type": "ACTUATOR",
            "actuator_type": "PUMP",
            "safe_limits": {"max_duration_ms": 60000},
        },
    ],
    "mqtt": {"configured": True},
    "wifi": {"configured": True},
}


class Listener:
    """What the node's channels say, oldest first."""

    def __init__(self, port: int) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "listener", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = self._take
        self.client.on_connect = lambda client, *_: client.subscribe("hydro/+/+/+/+/#", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        if kind in ("telemetry", "event", "command_response"):
            self.said.append((kind, json.loads(message.payload)))

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a kind."""
        return [message for name, message in self.said if name == kind]

    def close(self) -> None:
        """Leave."""
        leave(self.client)


def blocks(folder: Path) -> list[int]:
    """The numbers of the blocks that are on the node's flash."""
    heads = []
    for path in folder.glob("ring.*"):
        with contextlib.suppress(FileNotFoundError):  # sent and removed while we look
            heads.append(path.read_bytes()[:8])
    return [struct.unpack("<4sI", head)[1] for head in heads if len(head) == 8]


def missing(listener: Listener) -> set[int]:
    """Sample numbers that neither came nor were named as lost."""
    got = {m["n"] for m in listener.heard("telemetry")}
    for event in listener.heard("event"):
        if event["event_code"] == "samples_lost":
            got |= set(range(event["first"], event["last"] + 1))
    return set(range(1, max(got) + 1)) - got


def test_no_sample_is_lost_without_being_named(image: Path, tmp_path: Path) -> None:
    """Ten samples a second; the broker is away until the ring of two blocks has run over: afterwards
    every number came or stands in samples_lost. Then a pump runs by a signed command."""
    broker = Mosquitto(tmp_path / "broker", persistence=True)
    with broker:
        fleet = Fleet(tmp_path / "nodes", 1, Broker("127.0.0.1", broker.port))
        fleet.parts = fleet.parts._replace(device=image)
        (path,) = (tmp_path / "nodes").glob("*/node.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "ring_blocks": 2}))
        with GatewayProcess(tmp_path / "state", broker.port) as gateway:
            listener = Listener(broker.port)
            fleet.start()
            try:
                _journey(broker, gateway, fleet, listener, tmp_path)
                assert {m["event_code"] for m in listener.heard("event")} == {"samples_lost"}
            finally:
                fleet.stop()
                listener.close()


def _journey(
    broker: Mosquitto, gateway: GatewayProcess, fleet: Fleet, listener: Listener, tmp_path: Path
) -> None:
    name = fleet.hardware_ids[0]
    until(lambda: gateway.node(name))
    (tmp_path / "config.json").write_text(json.dumps(DOCUMENT))
    done = gateway.command("config", "push", name, str(tmp_path / "config.json"))
    assert done.returncode == 0, done.stderr
    until(lambda: len(listener.heard("telemetry")) > 10, 60, "samples")
    broker.stop()
    folder = tmp_path / "nodes" / name
    until(lambda: sorted(blocks(folder))[:1] > [1], 60, "the first block overwritten")
    broker.start()
    until(lambda: listener.heard("event"), 120, "samples_lost")
    until(lambda: not missing(listener), 60, "every number")
    until(lambda: not blocks(folder), 30, "an empty ring")
    _run_the_pump(listener, folder)


def _run_the_pump(listener: Listener, folder: Path) -> None:
    slots = b"".join(path.read_bytes() for path in folder.glob("slot.*"))
    secret = re.findall(rb'"node_secret": ?"([0-9a-f]{64})"', slots)[-1].decode()
    command = {"cmd": "run_pump", "cmd_id": "p1", "params": {"duration_ms": 500}}
    command["ts"] = int(time.time())
    command["sig"] = protocol.sign_command(secret, json.dumps(command).encode())
    topic = f"hydro/gh-temp/zn-temp/{folder.name}/pump/command"
    listener.client.publish(topic, json.dumps(command), 1)

    def answers() -> list[str]:
        return [m["status"] for m in listener.heard("command_response")]

    until(lambda: answers() == ["ACK", "DONE"], 30, "ACK and DONE")
