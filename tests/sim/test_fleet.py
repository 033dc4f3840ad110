"""Liveness, registry and twin against the truth, over months of a fleet in bad weather."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from gateway_heartbeat.liveness import Pulse
from gwnode import protocol
from msgspec.structs import replace

from tests.sim.fleet import LAG, Fleet, Tally, fleet, watch

RATE = 1e-4
"""False offlines for each node-hour that are too many."""


def judge(tally: Tally) -> None:
    """What must hold of a run of any length."""
    assert not tally.wrong, tally.wrong[:5]
    assert tally.false_offline_rate < RATE, tally.events
    assert tally.longest_online <= LAG, "shown online beyond what the node declared, and its grace"
    assert tally.longest_alive <= LAG, "shown alive beyond what the node declared, and its grace"
    assert tally.events["offline"] > 0, "nothing happened here"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("seed", "nodes", "interval", "hours", "by_filter"),
    [(1, 60, 600, 24, False), (2, 60, 600, 24, True), (3, 6, 15, 2, False), (4, 6, 15, 2, True)],
)
def test_states_are_the_truth(
    seed: int, nodes: int, interval: int, hours: float, by_filter: bool
) -> None:
    """Nodes that beat are online, silent ones are not for longer than declared, and in the end each one
    is registered and runs what is desired; with reboots, cuts, lost wills and brokers that forget."""
    tally = Fleet(seed, nodes, interval, by_filter=by_filter).play(hours)
    judge(tally)
    assert tally.beats > nodes


@pytest.mark.timeout(300)
def test_a_seed_is_the_same_fleet_every_time() -> None:
    """A run that failed can be played again."""
    first, second = (Fleet(6, 6, 15, by_filter=True).play(0.2)._replace(cpu=0.0) for _ in range(2))
    assert first == second
    assert first != Fleet(7, 6, 15, by_filter=True).play(0.2)._replace(cpu=0.0)


def kill_any_boot(pulse: Pulse, *_boots: Any) -> Pulse:
    """A last will counts, whichever boot it is of."""
    return replace(pulse, life="offline", wait=None)


@pytest.mark.timeout(300)
def test_wills_of_other_boots_would_be_noticed() -> None:
    """The negative control: without boot ids in wills a fleet is soon said to be dead while it beats."""
    with mock.patch.object(watch, "will", kill_any_boot):
        tally = Fleet(2, 60, 600, by_filter=True).play(24)
    assert tally.wrong or tally.false_offline_rate > RATE


def test_the_quicker_json_is_the_same_json() -> None:
    """What a board says here is, byte for byte, what the firmware's own encoder makes of it."""
    quick, said = fleet.encode, []

    def both(message: dict[str, Any]) -> bytes:
        said.append(message.get("message_type"))
        found = quick(message)
        assert found == protocol.encode(message)
        return found

    with mock.patch.object(fleet, "encode", both):
        Fleet(5, 6, 15).play(0.2)
    assert {"node_hello", "config_report", None} <= set(said)
