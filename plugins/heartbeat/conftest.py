"""Fixtures of this plugin's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gateway_heartbeat
import pytest
from gateway_heartbeat import watch

from gateway.testing.plugin import PluginBench

# beside an installed wheel this folder is not on the path, and the tests share one helper
sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PluginBench]:
    """The plugin, and one registered node."""
    with PluginBench(tmp_path, gateway_heartbeat) as made:
        made.registered("nd-1", hardware_id="hw", life="seen")
        watch.due(made.host, made.config)
        yield made
