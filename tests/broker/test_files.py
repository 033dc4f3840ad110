"""The settings that are written for a mosquitto."""

from __future__ import annotations

from pathlib import Path

from gateway.broker.files import mosquitto_conf
from gateway.testing.broker import Mosquitto
from gateway.testing.process import Peer, until


def test_mosquitto_takes_what_is_written(tmp_path: Path) -> None:
    """A real mosquitto starts with our settings and takes a message."""
    text = mosquitto_conf(1883, address="127.0.0.1", persistence=str(tmp_path))
    lines = [line for line in text.splitlines() if not line.startswith(("listener", "persistence"))]
    with Mosquitto(tmp_path / "broker", lines=lines) as broker:
        peer = Peer(broker.port).listen("hydro/#")
        broker.publish("hydro/node_hello", "{}")
        until(lambda: peer.got, what="the message")
        peer.close()
    assert [payload for _, payload, _ in peer.got] == [b"{}"]


def test_the_queue_is_raised() -> None:
    """The default queue of 1,000 messages loses hellos while the gateway is away."""
    lines = mosquitto_conf(1883).splitlines()
    assert "max_queued_messages 100000" in lines
    assert "max_inflight_messages 1000" in lines
    assert "set_tcp_nodelay true" in lines
    assert "persistence false" in lines


def test_passwords_close_the_door() -> None:
    """With a password file nobody comes in without a name; what the caller says wins."""
    text = mosquitto_conf(8883, password_file="/etc/users", more={"max_queued_messages": "5"})
    assert "allow_anonymous false\n" in text
    assert "password_file /etc/users\n" in text
    assert "max_queued_messages 5\n" in text
