"""What a message's way leaves in memory: nothing."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from gateway import Gateway
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
FLOWING = {"Item", "Lane", "Unit", "Effect", "Delivery", "Gathered", "NodeHello", "NodeHeartbeat"}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector does not run by itself, and keeps what it finds."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_an_event_needs_no_collector(make: Make, peer: Peer) -> None:
    """Events are freed by their last reference: cycles would make the collector work for each of them."""
    gateway = make()
    gateway.start()
    gateway.ready(20)
    for number in range(5):
        peer.say("hydro/node_hello", hello(f"node-{number}", boot_id="00000001", seq=1))
        topic = f"hydro/gh-temp/zn-temp/node-{number}/heartbeat"
        peer.say(topic, {"uptime": 1, "boot_id": "00000001", "seq": 1})
    until(lambda: gateway.facts()["counts"].get("journaled", 0) == 10, what="ten rows")
    until(lambda: gateway.facts()["waiting"] == gateway.facts()["outbox"] == 0, what="all done")
    gateway.stop()
    gc.collect()
    left = Counter(type(thing).__name__ for thing in gc.garbage)
    assert {name: number for name, number in left.items() if name in FLOWING} == {}
