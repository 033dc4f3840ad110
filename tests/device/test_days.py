"""Days of one node in seconds: real MicroPython, a real broker, and a clock that only waiting moves.

The clock passes 2^31 seconds on the fourth day, ticks wrap at 2^30 milliseconds in the first hour and
then every 12.4 days, packet ids wrap on the fifth day, the gateway's clock is a year ahead for one day,
and every day the broker ends a connection or a config is pushed. `make soak-days` plays 90 of them.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

from gateway.testing.broker import Mosquitto
from tests.interpreter import played

ROOT = Path(__file__).parents[2]
DAYS = int(os.environ.get("SOAK_DAYS", "6"))
INTERVAL = 120
MOST_LOST = 1536
"""Bytes by which free memory may be less at the end than on the second day."""


def test_days_of_a_node(micropython: str, umqtt: Path, tmp_path: Path) -> None:
    """No beat is missing that the node does not own up to, every config is proved, the clock follows
    the gateway's through 2038 and back from a jump, ids wrap, and memory stays where it was."""
    folder = tmp_path / "node"
    folder.mkdir()
    with Mosquitto(
        tmp_path / "broker", lines=["allow_anonymous true", "set_tcp_nodelay true"]
    ) as broker:
        settings = {
            "hardware_id": "esp32-a0b1c2d3e4f5",
            "interval_s": INTERVAL,
            "trial_s": 1200,
            "mqtt": {"host": "127.0.0.1", "port": broker.port, "keepalive": 600},
        }
        (folder / "node.json").write_text(json.dumps(settings))
        here = Path(__file__).parent / "days"
        said = played(
            *(micropython, here / "story.py", folder, str(broker.port), str(DAYS)),
            path=f"{here}:{ROOT / 'device'}:{umqtt}",
            heap="256k",
            timeout=100 + 60 * DAYS,
        )
    days = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(days) == DAYS
    last = days[-1]
    assert last["missing"] <= last["lost"] <= DAYS
    assert last["beats"] >= DAYS * 86400 / INTERVAL * 0.98
    assert last["hellos"] >= DAYS - 1
    assert last["verified"] == last["pushed"] >= 2
    assert last["unix"] == last["is"] > 1 << 31
    assert any(after["pid"] < before["pid"] for before, after in pairwise(days))
    free = [day["free"] for day in days]
    assert free[1] - free[-1] < MOST_LOST, free
