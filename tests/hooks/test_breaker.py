"""The breaker: opens on failures in a row, is tried again, closes on success."""

from __future__ import annotations

from gateway.hooks.breaker import Breaker


def test_it_opens_at_the_limit_and_not_before() -> None:
    """Only failures without a success between them count."""
    breaker = Breaker(limit=3)
    assert not breaker.failed(0, "x")
    assert not breaker.failed(0, "x")
    breaker.succeeded()
    assert [breaker.failed(0, "x") for _ in range(3)] == [False, False, True]
    assert breaker.is_open
    assert not breaker.allows(1)


def test_half_open_lets_one_call_through() -> None:
    """After the pause one call may try; the pause grows while it fails; a success closes it."""
    breaker = Breaker(limit=1, pause=10)
    breaker.failed(0, "x")
    assert [breaker.allows(10), breaker.allows(10.1)] == [True, False]
    breaker.failed(11, "y")
    assert not breaker.allows(30)
    assert breaker.allows(31.5)
    assert breaker.succeeded()
    assert breaker.allows(32)
    assert breaker.reason == ""
