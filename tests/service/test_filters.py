"""Filters as sets: the union that is subscribed covers what is wanted and never overlaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.filters import covers, matches, overlaps, reduce

levels = st.sampled_from(["a", "b", "c"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join)
filters = st.builds(
    lambda parts, tail: "/".join([*parts, *tail]),
    st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)


@given(st.lists(filters, max_size=6), topics)
def test_the_union_covers_what_is_wanted(wanted: list[str], topic: str) -> None:
    """A topic in one of the wanted filters is in the union, and in one filter of it only."""
    union = reduce(wanted)
    hits = [f for f in union if matches(f, topic)]
    assert len(hits) <= 1
    if any(matches(f, topic) for f in wanted):
        assert len(hits) == 1


@given(filters, filters, topics)
def test_covering_and_overlapping_mean_what_they_say(one: str, other: str, topic: str) -> None:
    """A topic in the narrow filter is in the one that covers it; disjoint filters share no topic."""
    if covers(one, other) and matches(other, topic):
        assert matches(one, topic)
    if matches(one, topic) and matches(other, topic):
        assert overlaps(one, other)


def test_the_brokers_own_topics_are_not_in_wide_filters() -> None:
    """`#` and `+/x` do not take `$SYS`, as MQTT says."""
    assert not matches("#", "$SYS/x")
    assert not matches("+/x", "$SYS/x")
    assert matches("$SYS/#", "$SYS/x")


def test_the_parent_level_is_in_its_hash_filter() -> None:
    """`a/#` takes `a` itself."""
    assert matches("a/#", "a")
