"""Beats of nodes that are online wait for company before they are written; nothing else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway import Gateway
from gateway.flow.group import Linger
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"
FOR_EVER = 3600.0


def online(make: Make, peer: Peer, *names: str) -> Gateway:
    """A gateway in which beats wait for ever by themselves, and these nodes are online: the
    first beat of a boot brings facts that are news, and does not wait."""
    gateway = make(store__linger=FOR_EVER)
    gateway.start()
    gateway.ready(10)
    for name in names:
        peer.say(HELLO, hello(name, boot_id="00000001", seq=1))
    until(lambda: lives(gateway).count("online") == len(names), what="nodes that are online")
    for name in names:
        beat(peer, name, 1)
    until(
        lambda: counts(gateway, "journaled") == 2 * len(names), what="the first beat of each boot"
    )
    return gateway


def lives(gateway: Gateway) -> list[str]:
    """Which life each node has."""
    assert gateway._engine is not None
    return [node.life for node in gateway._engine.wiring.parts.roster.all()]


def beat(peer: Peer, name: str, seq: int, **more: Any) -> None:
    """A beat, heard by the broker."""
    said = {"boot_id": "00000001", "seq": seq, "uptime": seq, **more}
    peer.say(f"hydro/gh-temp/zn-temp/{name}/heartbeat", said)


def counts(gateway: Gateway, word: str) -> int:
    """One of the intake's counts."""
    return int(gateway.facts()["counts"].get(word, 0))


def waits(gateway: Gateway, number: int) -> bool:
    """True where so many messages were read and are neither on disk nor acknowledged."""
    return bool(gateway.facts()["unacknowledged"] == number)


def test_a_beat_waits_and_is_not_acknowledged_before_it_is_on_disk(make: Make, peer: Peer) -> None:
    """It is held with the broker's copy until a hello takes it along, in its order."""
    gateway = online(make, peer, "n1")
    before = counts(gateway, "journaled")
    beat(peer, "n1", 2)
    until(lambda: waits(gateway, 1), what="a beat that waits")
    assert counts(gateway, "journaled") == before
    peer.say(HELLO, hello("n2", boot_id="00000001", seq=1))
    until(lambda: waits(gateway, 0), what="its acknowledgement")
    until(lambda: counts(gateway, "journaled") == before + 2, what="both on disk")


def test_many_beats_are_company_enough(make: Make, peer: Peer) -> None:
    """Sixteen share a commit: the broker's window of twenty is never full of what waits."""
    names = [f"n{number}" for number in range(16)]
    gateway = online(make, peer, *names)
    before = counts(gateway, "journaled")
    for name in names[:15]:
        beat(peer, name, 2)
    until(lambda: waits(gateway, 15), what="fifteen that wait")
    assert counts(gateway, "journaled") == before
    beat(peer, names[15], 2)
    until(lambda: counts(gateway, "journaled") == before + 16, what="all of them on disk")


def test_a_beat_that_is_news_does_not_wait(make: Make, peer: Peer) -> None:
    """One of a node that was not online changes what an operator sees."""
    gateway = online(make, peer, "n1")
    peer.say("hydro/gh-temp/zn-temp/n1/status", {"status": "OFFLINE", "boot_id": "00000001"})
    until(lambda: lives(gateway) == ["offline"], what="the node's end")
    beat(peer, "n1", 2)
    until(lambda: lives(gateway) == ["online"], what="the node's return")
    beat(peer, "stranger", 1)
    until(lambda: len(lives(gateway)) == 2, what="a node that was never seen")
    assert waits(gateway, 0), "both are acknowledged"


def test_a_stop_takes_what_waits_along(make: Make, peer: Peer) -> None:
    """What was read is committed, acknowledged and done before the gateway ends."""
    gateway = online(make, peer, "n1")
    beat(peer, "n1", 2)
    until(lambda: waits(gateway, 1), what="a beat that waits")
    gateway.stop()
    again = make(store__linger=0)
    again.start()
    again.ready(10)
    beat(peer, "n1", 3)
    until(lambda: counts(again, "journaled") == 1, what="the second beat")
    assert counts(again, "received") == 1, "the first one was acknowledged before the stop"


@pytest.mark.parametrize(
    ("seconds", "waiting", "holds"), [(0.0, 1, False), (9.0, 1, True), (9.0, 16, False)]
)
def test_nobody_waits_without_a_time_or_in_a_crowd(
    seconds: float, waiting: int, holds: bool
) -> None:
    """0 seconds switch it off, and sixteen go on at once."""

    async def play() -> bool:
        linger = Linger(seconds, lambda: None)
        found = linger.holds(waiting)
        linger.reset()
        return found

    assert asyncio.run(play()) == holds


def test_the_wait_ends_by_itself_and_begins_anew() -> None:
    """When it is over nothing holds any more, until what waited is on its way."""

    async def play() -> None:
        over = asyncio.Event()
        linger = Linger(0.01, over.set)
        for _ in range(2):
            over.clear()
            assert linger.holds(1)
            async with asyncio.timeout(20):
                await over.wait()
            assert not linger.holds(2)
            linger.reset()

    asyncio.run(play())
