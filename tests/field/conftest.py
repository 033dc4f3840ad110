"""What the field tests share: a real mosquitto with the field's settings, and a gateway to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer

Start = Callable[..., GatewayProcess]
Join = Callable[..., Peer]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto on a free port of the loopback, with its default queue of 1,000 messages."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, broker: Mosquitto) -> Iterator[GatewayProcess]:
    """A gateway process on that broker, not started yet."""
    process = GatewayProcess(tmp_path / "state", broker.port)
    with_end = process.__exit__
    yield process
    with_end(None, None, None)


@pytest.fixture
def join(broker: Mosquitto) -> Iterator[Join]:
    """Connect peers; they are closed at the end."""
    peers: list[Peer] = []

    def connect(**options: object) -> Peer:
        peer = Peer(broker.port, **options)  # type: ignore[arg-type] # the peer's own options
        peers.append(peer)
        return peer

    yield connect
    for peer in peers:
        peer.close()
