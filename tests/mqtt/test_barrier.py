"""The barrier between backlog and life, without a broker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.barrier import Barrier
from gateway.service.filters import matches

LEVEL = st.sampled_from(["+", "hydro", "gh-1", "heartbeat"])
FILTERS = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(LEVEL, min_size=1, max_size=5),
    st.sampled_from([[], ["#"]]),
)


def test_backlog_ends_with_our_own_barrier() -> None:
    """It is up from before the connect until the message of this connection comes back."""
    barrier = Barrier("hydro", "gw-bulk", per_filter=False)
    barrier.build(["hydro/+/+/+/heartbeat"])
    assert barrier.up
    ((topic, nonce),) = barrier.letters()
    assert topic == "hydro/system/barrier/gw-bulk"
    assert barrier.own == [topic]
    assert barrier.swallow(topic, b"of another connection")
    assert barrier.up
    assert barrier.swallow(topic, nonce)
    assert not barrier.up
    assert not barrier.letters()


def test_each_filter_has_its_own_where_the_broker_needs_it() -> None:
    """NATS serves filters separately: backlog ends when the last of them has been heard."""
    barrier = Barrier("hydro", "gw-control", per_filter=True)
    barrier.build(["hydro/node_hello", "hydro/+/+/+/status", "hydro/+/+/+/lwt"])
    letters = barrier.letters()
    assert sorted(topic for topic, _ in letters) == [
        "hydro/gw-barrier/gw-barrier/gw-control/lwt",
        "hydro/gw-barrier/gw-barrier/gw-control/status",
    ]
    assert barrier.own == []
    for topic, nonce in letters:
        assert barrier.up
        assert barrier.swallow(topic, nonce)
    assert not barrier.up


@given(FILTERS)
def test_a_barrier_comes_through_its_filter(pattern: str) -> None:
    """The topic matches the filter that it stands for, and is recognised as a barrier."""
    barrier = Barrier("hydro", "gw-bulk", per_filter=True)
    barrier.build([pattern])
    for topic, nonce in barrier.letters():
        assert matches(pattern, topic)
        assert barrier.swallow(topic, nonce)
    assert not barrier.up


def test_barriers_of_others_are_swallowed() -> None:
    """A wide filter brings the other session's and another gateway's; they end nothing of ours."""
    barrier = Barrier("hydro", "gw-control", per_filter=False)
    barrier.build([])
    assert barrier.swallow("hydro/system/barrier/gw-bulk", b"x")
    assert barrier.swallow("hydro/gw-barrier/gw-barrier/other-bulk/heartbeat", b"x")
    assert not barrier.swallow("hydro/node_hello", b"{}")
    assert barrier.up


def test_a_new_session_has_no_backlog() -> None:
    """Where the broker kept nothing it is lifted at once."""
    barrier = Barrier("hydro", "gw-bulk", per_filter=False)
    barrier.build([])
    barrier.lift()
    assert not barrier.up
    assert not barrier.letters()
