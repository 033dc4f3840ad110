"""The broker of the journeys: mosquitto from docker-compose where a daemon answers, else the local one.

The tests are the same; which of the two it was stands at the end of the report.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.broker.choose import speaks_mqtt
from gateway.testing.broker import Mosquitto

IMAGE = "eclipse-mosquitto:2.0"  # as docker-compose.yml has it


def _docker(*words: str, seconds: float = 20) -> bool:
    try:
        done = subprocess.run(["docker", *words], capture_output=True, timeout=seconds, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@cache
def why_local() -> str:
    """Why the journeys run on the local mosquitto; empty where docker has one."""
    if not _docker("info"):
        return "no docker daemon answers"
    if not _docker("image", "inspect", IMAGE) and not _docker("pull", "-q", IMAGE, seconds=120):
        return f"docker has no {IMAGE} and cannot pull it"
    return ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the journeys ran on; at the end, because -q hides the head of a report."""
    where = f"the local mosquitto, because {why_local()}" if why_local() else IMAGE
    terminalreporter.write_line(f"end to end on {where}")


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    """Where pytest-docker finds the services."""
    return str(Path(__file__).parent / "docker-compose.yml")


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """Debian has the old program, others the plugin."""
    return "docker compose" if _docker("compose", "version") else "docker-compose"


@pytest.fixture(scope="session")
def docker_setup() -> str:
    """The old program knows no --wait; that the broker answers is awaited below."""
    return "up -d"


@pytest.fixture(scope="session")
def broker_port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A mosquitto on the loopback."""
    if not why_local():
        services = request.getfixturevalue("docker_services")
        port = int(services.port_for("mosquitto", 1883))
        services.wait_until_responsive(
            check=lambda: speaks_mqtt("127.0.0.1", port), timeout=60, pause=0.2
        )
        yield port
    else:
        with Mosquitto(tmp_path_factory.mktemp("broker"), persistence=True) as running:
            yield running.port
