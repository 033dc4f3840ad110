"""The wall clock jumps by hours while time runs on, and the process stands still for longer than a node
may be silent: no node is believed dead, nothing is put off, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.store import commands
from gateway.testing.broker import Mosquitto
from tests.faults.crash.forks import CLOCK, Forks
from tests.faults.crash.verdict import judge
from tests.faults.crash.world import World

HOUR = 3600.0
SILENCE = float(os.environ.get("SOAK_SILENCE", "6"))
"""A node with a beat each second is offline after three."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The server of this worker."""
    with Forks() as found:
        yield found


@pytest.fixture
def world(forks: Forks, tmp_path: Path) -> Iterator[World]:
    """A gateway whose wall clock is in our hands, and a node with a beat each second."""
    (tmp_path / "clock").write_text("0")
    with Mosquitto(tmp_path / "broker") as broker:
        made = World(forks, tmp_path / "site", broker.port)
        made.env |= {CLOCK: str(tmp_path / "clock"), "GATEWAY__HANDLERS__BACKOFF": "1"}
        made.env |= {
            "GATEWAY__HANDLERS__BACKOFF_MAX": "2",
            "GATEWAY__PLUGINS__HEARTBEAT__LEAST_GRACE": "2",
        }
        yield made
        made.close()


def set_clock(folder: Path, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is wrong by so much from now on, for the gateway and for its command line."""
    right = time.time
    monkeypatch.setattr(commands, "time", SimpleNamespace(time=lambda: right() + seconds))
    fresh = folder / "clock.new"
    fresh.write_text(str(seconds))
    fresh.replace(folder / "clock")


def lives(world: World) -> list[str]:
    """What was ever told of the life of nodes that went silent."""
    rows = world.gateway.rows("SELECT payload FROM journal WHERE class = 'change'")
    changes = [json.loads(payload) for (payload,) in rows]
    return [
        c["after"] for c in changes if c["field"] == "life" and c["after"] in ("late", "offline")
    ]


def beats(world: World) -> int:
    """How many beats the node has been heard with."""
    return int(world.gateway.rows("SELECT coalesce(sum(beats), 0) FROM heartbeat_nodes")[0][0])


@pytest.mark.parametrize("hours", [-9, 5, 30])
def test_a_wall_clock_that_jumps_costs_nothing(
    world: World, tmp_path: Path, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that waits is not put off by hours, the node stays online, commands are answered, a config is
    verified, receipts are sent, and a restart on the wrong clock finds everything."""
    world.start()
    world.ready()
    hardware_id = world.node(interval=1)
    talker = world.talker("talker-1")
    talker.say("tally", n=1, fail=True)  # its retry waits by the wall clock
    world.until(
        lambda: world.gateway.rows("SELECT 1 FROM delivery WHERE state = 'open'"), "it waits"
    )
    set_clock(tmp_path, hours * HOUR, monkeypatch)
    world.push(hardware_id)
    talker.say("tally", n=2)
    talker.hello()
    world.until(lambda: talker.receipted, "a receipt on the wrong clock")
    world.at_rest()
    heard = beats(world)
    world.until(lambda: beats(world) > heard + 1, "it beats on")
    assert lives(world) == []
    world.stop()
    world.start()
    world.ready()
    talker.say("tally", n=3)
    world.at_rest()
    assert lives(world) == []
    world.stop()
    judge(world)


def test_a_gateway_that_stood_still_expires_nobody(world: World) -> None:
    """Stopped (SIGSTOP) for longer than a node may be silent: the silence was ours."""
    world.start()
    world.ready()
    world.push(world.node(interval=1))
    heard = beats(world)
    world.until(lambda: beats(world) > heard + 1, "it beats")
    process = world.gateway.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(SILENCE)  # what is tested is that this time does not count
    process.send_signal(signal.SIGCONT)
    heard = beats(world)
    world.until(lambda: beats(world) > heard + 2, "it beats on")
    assert lives(world) == []


def test_a_node_that_stands_still_is_told(world: World) -> None:
    """The negative control: the same silence of the node itself is noticed."""
    world.start()
    world.ready()
    world.push(world.node(interval=1))
    assert world.fleet is not None
    world.fleet.stop(grace=0.0)
    world.until(lambda: lives(world), "its silence is told")


def test_a_node_that_was_suspended_comes_back(world: World) -> None:
    """Stopped (SIGSTOP) until it is believed offline, and let go: the same boot is online again, its config
    stays verified."""
    world.start()
    world.ready()
    world.push(world.node(interval=1))
    heard = beats(world)
    world.until(lambda: beats(world) > heard + 1, "it beats")
    assert world.fleet is not None
    (node,) = world.fleet._nodes
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    life = "SELECT life FROM nodes"
    world.until(lambda: world.gateway.rows(life) == [("offline",)], "its silence is told")
    node.process.send_signal(signal.SIGCONT)
    world.until(lambda: world.gateway.rows(life) == [("online",)], "it is back")
    boots = "SELECT boot_id, boots FROM heartbeat_nodes"
    ((boot, earlier),) = world.gateway.rows(boots)
    assert (bool(boot), earlier) == (True, "")
    assert world.gateway.rows("SELECT state FROM config_desired") == [("verified",)]
