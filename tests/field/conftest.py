"""What the field tests share: real brokers with the field's settings, a gateway to start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from gateway.testing.broker import Mosquitto, free_port
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
    yield from _peers(lambda: broker.port)


def _peers(port: Callable[[], int]) -> Iterator[Join]:
    peers: list[Peer] = []

    def connect(**options: object) -> Peer:
        peer = Peer(port(), **options)  # type: ignore[arg-type] # the peer's own options
        peers.append(peer)
        return peer

    yield connect
    for peer in peers:
        peer.close()


class Site:
    """A gateway and its broker: a mosquitto beside it, or the embedded one, which it keeps itself."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.mosquitto = Mosquitto(folder / "broker", persistence=True)
        self.port = self.mosquitto.port if kind == "mosquitto" else free_port()
        self.gateway = self._gateway({})

    def _gateway(self, env: dict[str, str]) -> GatewayProcess:
        state = self.folder / "state"
        if self.kind == "mosquitto":
            return GatewayProcess(state, self.port, env=env)
        port = {"GATEWAY__BROKER__PORT": str(self.port)}
        return GatewayProcess(state, 0, broker="embedded", env=env | port)

    def start(self, **env: str) -> GatewayProcess:
        """Start the gateway, and wait until it takes messages."""
        self.gateway = self._gateway(env)
        return self.gateway.start()

    def crash_broker(self) -> None:
        """End the broker as a power cut would, and have it back."""
        if self.kind == "mosquitto":
            self.mosquitto.kill()
            self.mosquitto.start()
        else:
            os.kill(int((self.folder / "state" / "broker" / "pid").read_text()), signal.SIGKILL)

    def __enter__(self) -> Self:
        if self.kind == "mosquitto":
            self.mosquitto.start()
        return self

    def __exit__(self, *_what: object) -> None:
        self.gateway.__exit__(None, None, None)
        if self.kind == "mosquitto":
            self.mosquitto.stop()


@pytest.fixture(params=["mosquitto", "embedded"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Both brokers, where what a test shows depends on the broker."""
    with Site(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def meet(site: Site) -> Iterator[Join]:
    """Connect peers to the site's broker."""
    yield from _peers(lambda: site.port)
