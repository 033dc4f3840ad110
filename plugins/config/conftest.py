"""Fixtures of this plugin's tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# beside an installed wheel this folder is not on the path, and the tests share one helper
sys.path.append(str(Path(__file__).parent))

from config_bench import Bench
from config_desk import Desk


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A node of ours."""
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Bench]:
    """A node of the field: it knows no envelope and is not bound."""
    made = Bench(tmp_path, protocol=0)
    yield made
    made.close()


@pytest.fixture
def document() -> dict[str, Any]:
    """A document that an operator would write."""
    return {
        "channels": [
            {"name": "ph_sensor", "type": "SENSOR", "metric": "PH", "poll_interval_ms": 3000},
            {"name": "fan_1", "type": "ACTUATOR", "actuator_type": "FAN", "relay_type": "NO"},
        ],
        "mqtt": {"host": "pi.local", "port": 1883, "password": "mqtt-word"},
    }


@pytest.fixture
def desk(bench: Bench) -> Desk:
    """An operator's desk."""
    return Desk(bench)


@pytest.fixture
def file(tmp_path: Path, document: dict[str, Any]) -> str:
    """The operator's file."""
    path = tmp_path / "ph.json"
    path.write_text(json.dumps({**document, "wifi": {"ssid": "X", "pass": "wifi-word"}}))
    return str(path)
