"""A virtual day of the image in a heap of a board's size: it runs, and what is free stays free."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from authority import broker_lines, new_ca, sign
from gwnode import protocol
from in_image import InImage, made_image

from gateway.testing.broker import Mosquitto
from gateway.testing.process import leave
from tests.interpreter import played

Day = Callable[..., "tuple[list[int], Gateway]"]
HERE = Path(__file__).parent
NAME = "esp32-a0b1c2d3e4f5"
SECRET = "s" * 64
TEMP = f"hydro/gh-temp/zn-temp/{NAME}"
LARGEST = 4096
HOURS = 24
FLAT = 1024
"""Bytes by which an hour may have less free than the second one."""

SENSORS = [
    {"name": f"in-{n}", "type": "SENSOR", "metric": m, "poll_interval_ms": 60000, "unit": "C"}
    for n, m in enumerate(("PH", "FLOW_RATE", "TEMPERATURE", "HUMIDITY", "WATER_LEVEL_SWITCH"))
]
ACTUATORS = [
    {"name": f"out-{n}", "type": "ACTUATOR", "actuator_type": kind, "safe_limits": {}}
    for n, kind in enumerate(("PUMP", "PWM", "LED"))
]


class Gateway:
    """Answers hellos with signed receipts, and has one config of exactly 4,096 bytes to give."""

    def __init__(self, port: int, channels: list[dict[str, Any]], keys: Path | None) -> None:
        self.channels = channels
        self.telemetry = 0
        self.verified = 0
        self._is_over = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "gateway")
        self._client.on_message = self._on_message
        if keys:
            self._client.tls_set(str(keys / "ca.pem"))
        self._client.connect("localhost", port)
        self._client.subscribe("hydro/#", 1)
        self._client.loop_start()

    def close(self) -> None:
        """Leave, once everything has come that the broker took before."""
        self._client.publish("hydro/over", b"", 1)
        assert self._is_over.wait(30), "the broker owes what the node has said"
        leave(self._client)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        if kind == "over":
            self._is_over.set()
        self.telemetry += kind == "telemetry"
        if kind == "node_hello":
            self._receipt(json.loads(message.payload))
        elif kind == "config_report":
            self.verified += json.loads(message.payload).get("state") == "verified"

    def _receipt(self, hello: dict[str, Any]) -> None:
        ack = {"hardware_id": NAME, "boot_id": hello["boot_id"], "seq": hello["seq"]}
        ack |= {"uid": "nd-1", "unix_ts": int(time.time()), "config_revision": 1}
        parts = [ack[name] for name in ("hardware_id", "boot_id", "seq", "unix_ts")]
        ack["sig"] = protocol.sign(SECRET, "hello_ack", *parts, 1)
        self._client.publish(f"{TEMP}/hello_ack", json.dumps(ack), 1)
        if hello["config_revision"] == 0:
            self._client.publish(f"{TEMP}/config", self.envelope(), 1)

    def envelope(self) -> bytes:
        """The largest config that a node takes."""
        document = {"node_id": "nd-1", "version": 3, "type": "ph", "node_secret": SECRET}
        document |= {"gh_uid": "gh-temp", "zone_uid": "zn-temp", "mqtt": {"configured": True}}
        document |= {"wifi": {"configured": True}, "channels": self.channels, "note": ""}
        short = len(self._signed(document))
        return self._signed(document | {"note": "n" * (LARGEST - short)})

    def _signed(self, document: dict[str, Any]) -> bytes:
        text = json.dumps(document)
        sha = protocol.sha256_hex(text.encode())
        message = {"revision": 1, "sha256": sha, "key": "open", "doc": text}
        message["sig"] = protocol.sign(SECRET, "config", NAME, 1, sha)
        return json.dumps(message, separators=(",", ":")).encode()


def day(
    micropython: str,
    driver: Path,
    folder: Path,
    image: Path,
    heap_kb: int,
    channels: list[dict[str, Any]],
    keys: Path | None = None,
) -> tuple[list[int], Gateway]:
    """What is free after each hour, and the gateway that saw it; with `keys` all of it over TLS."""
    (folder / "node").mkdir()
    rom = image if image.is_file() else None
    heap = heap_kb * 1024 + (rom.stat().st_size if rom else 0)
    lines = ["allow_anonymous true", "set_tcp_nodelay true", "max_queued_messages 0"]
    if keys:
        lines += broker_lines(keys, "good")
        (folder / "node" / "ca.der").write_bytes((keys / "ca.der").read_bytes())
    with Mosquitto(folder / "broker", lines=lines) as broker:
        link = {"host": "localhost", "port": broker.port, "keepalive": 600, "tls": bool(keys)}
        settings = {"hardware_id": NAME, "interval_s": 60, "trial_s": 1200, "mqtt": link}
        (folder / "node" / "node.json").write_text(json.dumps(settings))
        gateway = Gateway(broker.port, channels, keys)
        try:
            said = played(
                *(micropython, driver, str(rom or ""), folder / "node", str(HOURS)),
                path=str(HERE / "days") if rom else f"{HERE / 'days'}:{image}",
                heap=str(heap),
                timeout=110,
            )
        finally:
            gateway.close()
    assert "no memory" not in said
    hours = [json.loads(line) for line in said.splitlines() if line.startswith("[")]
    assert len(hours) == HOURS
    assert hours[-1][1:] == [1, 0], "the config is proved, and no message was lost"
    return [free for free, _, _ in hours], gateway


@pytest.fixture(scope="module")
def rom(umqtt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as a ROM file system, from which a board runs it in place."""
    return made_image("romfs", umqtt, tmp_path_factory.mktemp("rom") / "image.romfs")


@pytest.fixture(scope="module")
def driver(umqtt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that plays a day, in the words of the image."""
    made = tmp_path_factory.mktemp("driver") / "sizes_driver.py"
    made.write_text(InImage(umqtt)((HERE / "sizes_driver.py").read_text()))
    return made


@pytest.fixture
def play(micropython: str, driver: Path, tmp_path: Path) -> Day:
    """A day of this test's own."""
    return partial(day, micropython, driver, tmp_path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and the broker's certificate."""
    folder = tmp_path_factory.mktemp("keys")
    new_ca(folder, "ca")
    sign(folder, "good", "ca", 2)
    return folder


@pytest.mark.parametrize(
    ("kind", "heap_kb", "channels", "secure"),
    [
        ("rom", 73, [], False),
        ("rom", 90, SENSORS + ACTUATORS, False),
        ("image", 96, [], False),
        ("image", 123, SENSORS + ACTUATORS, False),
        ("rom", 76, [], True),
        ("rom", 96, SENSORS + ACTUATORS, True),
        ("image", 105, [], True),
        ("image", 134, SENSORS + ACTUATORS, True),
    ],
    ids=[
        "core in place",
        "full in place",
        "core",
        "full",
        "core over TLS in place",
        "full over TLS in place",
        "core over TLS",
        "full over TLS",
    ],
)
def test_a_day_fits(
    play: Day,
    request: pytest.FixtureRequest,
    kind: str,
    heap_kb: int,
    channels: list[dict[str, Any]],
    secure: bool,
) -> None:
    """A config of 4,096 bytes is taken and proved, 24 virtual hours pass, and no hour has less free than
    the second one. `in place`: the image is a ROM file system beside the heap, as in a board's flash; over
    TLS too."""
    keys = request.getfixturevalue("keys") if secure else None
    image = request.getfixturevalue(kind)
    free, gateway = play(image, heap_kb, channels, keys)
    print(f"{kind} {heap_kb} KB: {min(free)} bytes free at least")
    assert free[1] - min(free[1:]) <= FLAT, free
    assert gateway.verified >= 1
    assert len(gateway.envelope()) == LARGEST
    if channels:
        assert gateway.telemetry > 7000
