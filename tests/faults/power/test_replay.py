"""A power cut behind every system call: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import pytest

from tests.faults.power.replay import Tally
from tests.faults.power.rounds import play_round

STATES = 20_000


def show(tally: Tally, seeds: range) -> str:
    """The figures of a run."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(tally.states.items()))
    return (
        f"{sum(tally.states.values()):,} states ({kinds}) at {tally.calls:,} calls, "
        f"seeds {seeds.start} to {seeds.stop - 1}: {sum(tally.wrong.values()):,} wrong"
    )


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_wherever_the_power_goes() -> None:
    """Whatever part of the unsynced writes is on the disk, the gateway opens a sound store that holds
    exactly what was there behind one of its operations, none before the last acknowledged one."""
    tally, seed = Tally(), 0
    while sum(tally.states.values()) < STATES:
        tally.add(play_round(seed))
        seed += 1
    print(show(tally, range(seed)))
    assert not tally.wrong, "\n".join([show(tally, range(seed)), *tally.words])


def test_a_store_that_does_not_sync_is_caught() -> None:
    """The negative control: with `synchronous=NORMAL` a killed process loses nothing, and a power cut
    loses acknowledged rows, in every run. A checker that does not see that sees nothing."""
    for seed in range(3):
        tally = play_round(seed, lives=1, subsets=1, synchronous="NORMAL")
        assert tally.wrong["synced"] > 0, show(tally, range(seed, seed + 1))
        assert tally.wrong["some"] > 0
        assert tally.wrong["everything"] == 0


def test_a_name_that_is_not_synced_is_caught() -> None:
    """The second negative control: where the names of a new folder and a new file are not synced, a
    power cut takes the whole store with all that was acknowledged."""
    tally = play_round(0, lives=1, subsets=0, names=False)
    assert tally.wrong["synced"] > 0
    assert tally.wrong["everything"] == 0
