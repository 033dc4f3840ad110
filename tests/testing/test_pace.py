"""The pace at which a fleet of light nodes is switched on."""

from __future__ import annotations

from itertools import pairwise

from gateway.testing.swarm.pace import Pace


def switched_on(seconds: float, answers: float) -> list[int]:
    """How many are on after each tenth of a second, where so many are answered in a second."""
    pace, on, answered, steps = Pace(0.0, 400, 500), 0, 0.0, []
    for tenth in range(1, round(seconds * 10) + 1):
        on = pace.allowed(tenth / 10, on, int(answered))
        answered = min(on, answered + answers / 10)
        steps.append(on)
    return steps


def test_a_quick_gateway_gets_four_hundred_a_second() -> None:
    """No more than that, and no fewer."""
    steps = switched_on(10, 10_000)
    assert 3990 <= steps[-1] <= 4000
    assert max(b - a for a, b in pairwise(steps)) <= 41


def test_a_slow_gateway_is_not_run_over() -> None:
    """Never are more than five hundred without an answer, and all of its speed is used."""
    steps = switched_on(60, 50)
    assert all(on <= 500 + 5 * (number + 1) for number, on in enumerate(steps))
    assert steps[-1] > 50 * 59


def test_where_nobody_answers_nobody_is_waited_for() -> None:
    """Without a gateway the fleet is switched on all the same."""
    assert switched_on(5, 0)[-1] == 500
    assert switched_on(20, 0)[-1] > 4000
