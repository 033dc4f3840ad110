"""The breaker: opens on failures in a row, is tried again, closes on success."""

from __future__ import annotations

import asyncio

import pytest

from gateway.hooks.breaker import Breaker, Breakers


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


@pytest.mark.parametrize("turns", range(4))
def test_who_waits_for_good_news_can_be_cancelled_while_they_come(turns: int) -> None:
    """The wait ends as cancelled, or it was over before: a retry must not outlive its stop."""

    async def play() -> None:
        breakers = Breakers(5)
        waiting = asyncio.ensure_future(breakers.wait(60.0))
        await asyncio.sleep(0)
        breakers.reset("p")
        for _ in range(turns):
            await asyncio.sleep(0)
        was_told = waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled() == was_told

    asyncio.run(play())
