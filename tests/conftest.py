"""A gateway in this process on a real mosquitto, for the fallback path and for hostile plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway, load_settings
from gateway.testing.broker import Mosquitto
from gateway.testing.process import Peer

Make = Callable[..., Gateway]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real one."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def make(tmp_path: Path, broker: Mosquitto) -> Iterator[Make]:
    """Make gateways on one state folder; whatever still runs at the end is stopped."""
    made: list[Gateway] = []

    def build(**more: Any) -> Gateway:
        overrides = {
            "state_dir": str(tmp_path / "state"),
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
            "handlers.backoff": 0.02,
            **{name.replace("__", "."): value for name, value in more.items()},
        }
        gateway = Gateway(load_settings("/dev/null", overrides, {}).settings)
        made.append(gateway)
        return gateway

    yield build
    for gateway in made:
        gateway.stop()


@pytest.fixture
def peer(broker: Mosquitto) -> Iterator[Peer]:
    """Somebody who publishes."""
    connected = Peer(broker.port)
    yield connected
    connected.close()
