"""The observed clock, with a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.clock import ObservedClock, Silence

WALL = 1_000_000.0


def test_it_starts_at_the_wall() -> None:
    """Before anything is heard it stands at the wall clock of its making."""
    assert ObservedClock(WALL).read() == WALL


def test_it_follows_what_is_heard() -> None:
    """It advances by the time between two signs of life, and not with the first one."""
    clock = ObservedClock(WALL)
    clock.heard(50.0)
    assert clock.read() == WALL
    clock.heard(55.0)
    clock.heard(57.5)
    assert clock.read() == WALL + 7.5


def test_silence_stands_still() -> None:
    """However long nobody is heard, reading it changes nothing: a half-open link expires no fleet."""
    clock = ObservedClock(WALL)
    clock.heard(0.0)
    clock.heard(5.0)
    assert [clock.read() for _ in range(3)] == [WALL + 5.0] * 3


def test_a_suspended_process_loses_the_time() -> None:
    """After a SIGSTOP of an hour it has gone one step further, not an hour."""
    clock = ObservedClock(WALL, step=10.0)
    clock.heard(0.0)
    clock.heard(3600.0)
    assert clock.read() == WALL + 10.0


def test_an_outage_does_not_count() -> None:
    """The time between the loss of the link and the first bytes after it is nobody's."""
    clock = ObservedClock(WALL)
    clock.heard(0.0)
    clock.heard(4.0)
    clock.lost()
    clock.heard(8.0)
    assert clock.read() == WALL + 4.0
    clock.heard(9.0)
    assert clock.read() == WALL + 5.0


@given(st.lists(st.one_of(st.none(), st.floats(-100, 1e6)), max_size=50))
def test_it_never_goes_back_nor_faster_than_time(steps: list[float | None]) -> None:
    """Whatever the order of signs of life and losses, it goes neither back nor ahead of real time."""
    clock, now, began = ObservedClock(WALL), 0.0, None
    for step in steps:
        before = clock.read()
        if step is None:
            clock.lost()
        else:
            now += step
            clock.heard(now)
            began = now if began is None else min(began, now)
        assert before <= clock.read() <= before + 10.0
    positive = sum(step for step in steps if step is not None and step > 0)
    assert clock.read() - WALL <= positive + 1e-3 or positive == pytest.approx(clock.read() - WALL)


def test_silence_grows_until_something_is_heard() -> None:
    """It is the time since the last bytes, and starts anew with them."""
    silence = Silence(0.0, step=6.0)
    assert silence.look(5.0, heard_at=0.0) == 5.0
    assert silence.look(10.0, heard_at=0.0) == 10.0
    assert silence.look(15.0, heard_at=14.0) == 1.0
    assert silence.look(20.0, heard_at=14.0) == 6.0


def test_time_in_which_we_did_not_run_is_no_silence() -> None:
    """An hour in which this process was stopped counts as one step."""
    silence = Silence(0.0, step=6.0)
    assert silence.look(3600.0, heard_at=0.0) == 6.0
    assert silence.look(3605.0, heard_at=0.0) == 11.0


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30))
def test_silence_is_never_longer_than_it_was(looks: list[tuple[float, bool]]) -> None:
    """It is never more than the real time since the last bytes."""
    silence, now, heard = Silence(0.0, step=6.0), 0.0, 0.0
    for passed, hears in looks:
        now += passed
        heard = now if hears else heard
        assert 0.0 <= silence.look(now, heard) <= now - heard + 1e-6
