"""Durations, sizes and types: what is written comes back, what is wrong says how to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.values import Wrong, convert, duration, size


@given(st.integers(0, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_durations_mean_their_unit(number: int, unit: tuple[str, int]) -> None:
    """`5m` is 300 seconds, and a bare number is seconds."""
    assert duration(f"{number}{unit[0]}") == number * unit[1]
    assert duration(number) == number


def test_milliseconds_are_exact() -> None:
    """`100ms` is 0.1, without a rounding tail."""
    assert duration("100ms") == 0.1


@given(st.integers(0, 10**6), st.sampled_from([("KiB", 1024), ("MiB", 1 << 20), ("kB", 1000)]))
def test_sizes_mean_their_unit(number: int, unit: tuple[str, int]) -> None:
    """`64KiB` is 65,536 bytes."""
    assert size(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("wrong", ["2 mins", "-1s", "", "5 5s", True, None, [1], "1e3s", -1])
def test_what_is_no_duration_says_how_to_write_one(wrong: object) -> None:
    """Every refusal comes with an example."""
    with pytest.raises(Wrong) as caught:
        duration(wrong)
    assert caught.value.suggestion.startswith("write ")


@pytest.mark.parametrize(
    ("value", "hint"), [("1", int), (1, str), ("true", bool), (True, int), (1.5, int), (-1, int)]
)
def test_types_are_not_guessed(value: object, hint: type) -> None:
    """A text is no number and a number is no text."""
    with pytest.raises(Wrong):
        convert(value, hint)
