"""Whole worlds: real engine, real plugins, real SQLite, the firmware's own thinking, and bad weather."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from gateway.flow import intake
from gateway.flow.intake import Intake
from tests.sim.ledger import WrongError
from tests.sim.world import Plan, play

KEPT = [
    int(line.split()[0])
    for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
FRESH = range(1000, 1003)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [*KEPT, *FRESH])
def test_no_weather_breaks_a_promise(seed: int) -> None:
    """Nothing acknowledged is lost, nothing has two effects, each node's messages run in order, no state
    lies meanwhile; and after the storm every node is registered, online, and runs what is desired."""
    played = play(Plan.of(seed))
    assert played.books["acknowledged"] > 0
    assert played.books["effects"] > 0


@pytest.mark.timeout(300)
def test_a_seed_is_the_same_world_every_time() -> None:
    """What failed once can be played again."""
    plan = Plan(5, nodes=2, hours=0.5, interval=60, storm=10.0, pace=1.0)
    one, other = play(plan), play(plan)
    assert one._replace(seconds=0.0) == other._replace(seconds=0.0)


def acknowledge_early(self: Intake, received: list[Any]) -> None:
    """The mistake of every gateway before: told the broker first, wrote it down then."""
    self._ack([message.token for message in received])
    for message in received:
        message.token = None
    _take(self, received)


_take = Intake.take


def forget_the_boot(kind: str, _topic: Any, name: str, event: Any) -> bytes:
    """A number is taken for the same number of another boot."""
    return f"{kind}|{name}|{getattr(event, 'hardware_id', '')}|{event.seq}".encode()


def play_worlds(count: int) -> None:
    """Small ones, in very bad weather."""
    for seed in range(count):
        play(Plan(seed, nodes=4, hours=1.0, interval=15, storm=20.0, pace=1.0))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("place", "name", "defect"),
    [(Intake, "take", acknowledge_early), (intake, "_digest", forget_the_boot)],
    ids=["puback-before-commit", "dedupe-without-boot-id"],
)
def test_the_ledger_notices(place: Any, name: str, defect: Callable[..., Any]) -> None:
    """The negative control: with a known defect in the gateway a few worlds are enough to see it."""
    with mock.patch.object(place, name, defect), pytest.raises(WrongError):
        play_worlds(20)
