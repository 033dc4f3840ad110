"""Who kept the gateway's loop from coming round: told from its late looks and the CPU of calls."""

from __future__ import annotations

import pytest

from gateway.hooks.pulse import LATE, Pulse


def looks(pulse: Pulse, *times: float) -> None:
    for now in times:
        pulse.beat(now, {})


def test_a_call_that_computed_while_the_look_was_late_did_it() -> None:
    """The length of the gap is told, also when the loop has come round since."""
    pulse = Pulse(0.0)
    looks(pulse, 0.05, 0.1, 0.8, 0.85)
    assert pulse.stopped_by(since=0.08, used=0.9, now=0.86) == 0.8 - 0.1


def test_a_gap_that_has_not_ended_counts() -> None:
    """The report of the call may come before the loop's next look."""
    pulse = Pulse(0.0)
    looks(pulse, 0.05)
    assert pulse.stopped_by(since=0.04, used=0.9, now=0.75) == 0.75 - 0.05


def test_of_a_long_gap_each_has_its_own_part() -> None:
    """Several may have followed each other without the loop coming round."""
    pulse = Pulse(0.0)
    looks(pulse, 0.05, 5.0)
    assert pulse.stopped_by(since=0.04, used=0.6, now=5.01) == 0.6


def test_who_waited_did_not_do_it() -> None:
    """A call that was out at the time, and used no CPU, is not blamed for another one."""
    pulse = Pulse(0.0)
    looks(pulse, 0.05, 0.8)
    assert pulse.stopped_by(since=0.0, used=0.01, now=0.81) == 0.0


def test_who_took_its_turns_did_not_do_it() -> None:
    """Computing in pure Python lets the loop come round, and is not blamed."""
    pulse = Pulse(0.0)
    looks(pulse, *(number / 20 for number in range(1, 40)))
    assert pulse.stopped_by(since=0.0, used=1.9, now=1.96) == 0.0


def test_a_gap_of_before_is_of_somebody_else() -> None:
    """What ended before the call began is not its doing."""
    pulse = Pulse(0.0)
    looks(pulse, 0.05, 0.8, 0.85)
    assert pulse.stopped_by(since=0.81, used=0.6, now=0.85 + LATE / 2) == 0.0


def test_a_loop_that_computed_while_the_look_was_late_did_it() -> None:
    """Told from the CPU of each group's loop, whether the look or the report comes first."""
    pulse = Pulse(0.0)
    pulse.beat(0.05, {"sums": 1.0, "waits": 1.0})
    assert pulse.stopped_on("sums", 0.04, used=1.6, now=0.75) == pytest.approx(0.6)
    assert pulse.stopped_on("waits", 0.04, used=1.01, now=0.75) == 0.0
    pulse.beat(0.75, {"sums": 1.6, "waits": 1.01})
    assert pulse.stopped_on("sums", 0.04, used=1.6, now=0.76) == pytest.approx(0.6)
    assert pulse.stopped_on("waits", 0.04, used=1.01, now=0.76) == 0.0
    assert pulse.stopped_on("sums", 0.755, used=1.6, now=0.76) == 0.0, "it began behind the gap"
