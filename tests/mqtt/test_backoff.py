"""How long the link waits before it tries again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import AuthError, BrokerError
from gateway.mqtt import errors
from gateway.mqtt.session import FIRST_PAUSE, LONGEST_PAUSE, next_pause

GONE = errors.lost("broker:1883", "gone")
NOBODY = errors.unreachable("broker:1883", "Connection refused", ConnectionRefusedError())


def test_pauses_grow_and_stay_bounded() -> None:
    """They double up to half a minute, and never end."""
    pause, found = FIRST_PAUSE, []
    for _ in range(10):
        pause = next_pause(pause, GONE, 0.0)
        found.append(pause)
    assert found[:4] == [1.0, 2.0, 4.0, 8.0]
    assert found[-1] == LONGEST_PAUSE


def test_a_broker_that_restarts_is_met_soon() -> None:
    """While the machine answers that nobody listens, we are back within five seconds."""
    assert next_pause(LONGEST_PAUSE, NOBODY, 0.0) < 5


def test_a_refused_login_is_not_hurried() -> None:
    """Brokers lock out who tries too often, and only a person can mend it."""
    assert next_pause(FIRST_PAUSE, AuthError("no"), 0.0) == LONGEST_PAUSE


def test_a_connection_that_stood_starts_anew() -> None:
    """Only one that lived; two gateways that steal one session from each other slow down."""
    assert next_pause(LONGEST_PAUSE, GONE, 60.0) == FIRST_PAUSE
    assert next_pause(4.0, GONE, 1.0) == 8.0


@given(
    st.floats(FIRST_PAUSE, LONGEST_PAUSE),
    st.sampled_from([None, GONE, NOBODY, AuthError("no"), BrokerError("x")]),
    st.floats(0, 1e6),
)
def test_it_is_always_a_sensible_time(
    pause: float, error: BrokerError | None, lived: float
) -> None:
    """Never nothing, never more than the longest."""
    assert FIRST_PAUSE <= next_pause(pause, error, lived) <= LONGEST_PAUSE
