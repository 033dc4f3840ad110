"""The broker of the journeys: mosquitto from docker-compose where a daemon answers, else the local one.

The tests are the same; which of the two it was stands in the head of the report.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.broker.choose import speaks_mqtt
from gateway.testing.broker import Mosquitto


@cache
def docker_answers() -> bool:
    """True where a docker daemon runs and may be used."""
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def pytest_report_header() -> str:
    """Say which broker the journeys run on."""
    if docker_answers():
        return "end to end: mosquitto from docker-compose"
    return "end to end: the local mosquitto, because no docker daemon answers"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    """Where pytest-docker finds the services."""
    return str(Path(__file__).parent / "docker-compose.yml")


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """Debian has the old program, others the plugin."""
    plugin = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, timeout=20, check=False
    )
    return "docker compose" if plugin.returncode == 0 else "docker-compose"


@pytest.fixture(scope="session")
def broker_port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A mosquitto on the loopback."""
    if docker_answers():
        services = request.getfixturevalue("docker_services")
        port = int(services.port_for("mosquitto", 1883))
        services.wait_until_responsive(
            check=lambda: speaks_mqtt("127.0.0.1", port), timeout=60, pause=0.2
        )
        yield port
    else:
        with Mosquitto(tmp_path_factory.mktemp("broker"), persistence=True) as running:
            yield running.port
