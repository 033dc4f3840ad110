"""Liveness alone, rule by rule; `test_liveness_machine.py` plays all of them in any order."""

from __future__ import annotations

from gateway_heartbeat.liveness import (
    Beat,
    Grace,
    Pulse,
    asleep,
    beat,
    late_after,
    passed,
    proof,
    will,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = 1000.0
GRACE = Grace()


def test_silence_counts_from_when_we_listen_again() -> None:
    """Also where a turn was asked for before the outage and comes behind it."""
    pulse = beat(Pulse(), Beat("0000000a", 1, 1, 15.0), NOW, GRACE)
    later = NOW + 1000
    assert passed(pulse, later, later - 10, GRACE) == pulse
    assert passed(pulse, later, later - late_after(15, GRACE), GRACE).life == "late"


def overtaken() -> Pulse:
    """The boot that runs is `b`; the last word of `a`, which beat every 15 s, came behind its first."""
    pulse = proof(Pulse(), "b", NOW, GRACE)
    return beat(pulse, Beat("a", 7, 1, 15.0), NOW, GRACE)


def test_the_boot_that_runs_is_believed_by_the_interval_of_the_other() -> None:
    """It beats more seldom than the one before: its own, longer interval does not hide it, and nothing
    is counted for the other boot."""
    pulse = beat(overtaken(), Beat("b", 1, 1, 600.0), NOW + 600, GRACE)
    assert (pulse.life, pulse.boot_id, pulse.proof) == ("online", "b", NOW + 600)
    assert (pulse.beats, pulse.missed, pulse.seq) == (1, 0, 1)


def test_the_boot_that_runs_may_go_to_sleep() -> None:
    """ASLEEP is life as any other message: it counts once the overtaken boot is silent, not before."""
    pulse = overtaken()
    assert asleep(pulse, "b", 600, NOW + 10, GRACE) is pulse
    assert asleep(pulse, "b", 600, NOW + 60, GRACE).life == "asleep"


def test_beats_that_are_missing_between_folded_ones_are_counted() -> None:
    """Also in the first message of a boot: 3 and 9 in one row are seven that never came."""
    pulse = beat(Pulse(), Beat("a", 9, 2, 15.0), NOW, GRACE)
    assert (pulse.beats, pulse.missed) == (2, 7)


BOOTS = st.sampled_from(["a", "b", "c", None])
STEPS = st.one_of(
    st.tuples(st.just("beat"), BOOTS, st.integers(0, 5)),
    st.tuples(st.just("will"), BOOTS, st.just(0)),
    st.tuples(st.just("time"), st.none(), st.integers(0, 200)),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_comes_in_whatever_order(steps: list[tuple[str, str | None, int]]) -> None:
    """No boot that was followed by one that speaks revives or kills; online is never longer than its grace without a
    proof; time alone never makes a node online."""
    pulse, now = Pulse(), 0.0
    for kind, boot, number in steps:
        before = pulse
        past = bool(boot) and boot != before.boot_id and boot in before.boots.split()
        past = past and now - before.proof < late_after(before.interval, GRACE)
        if kind == "beat":
            pulse = beat(pulse, Beat(boot, number, 1, 15.0), now, GRACE)
            assert pulse is before if past else pulse.life == "online"
        elif kind == "will":
            pulse = will(pulse, boot)
            if before.boot_id and boot != before.boot_id:
                assert pulse is before
        else:
            now += number
            pulse = passed(pulse, now, 0.0, GRACE)
            if before.life == "offline":
                assert pulse.life == "offline"
        if pulse.life == "online" and kind == "time":
            assert now - pulse.proof < late_after(pulse.interval, GRACE)
        assert pulse.boot_id not in pulse.boots.split() or not pulse.boot_id


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_proof_never_goes_back(first: float, second: float) -> None:
    """Messages out of order do not move the last proof into the past."""
    pulse = proof(proof(Pulse(), None, first, GRACE), None, second, GRACE)
    assert pulse.proof == max(first, second)
