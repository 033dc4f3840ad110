"""A message at which the broker hangs up: it is tried for ever, and nobody else waits for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import Gateway
from gateway.testing.broker import Broker, Mosquitto, Nats
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"
POISON = (
    "from gateway import hookimpl\n@hookimpl\ndef node_hello(event, tx):\n"
    "    if event.hardware_id == 'poison':\n"
    "        tx.publish_json('hydro/poison', {'a': 'x' * 1_500_000})\n"
    "    tx.publish_json('hydro/seen/' + event.hardware_id, {'at': 1})\n"
)
"""More than the broker takes in one packet."""


@pytest.fixture(params=["mosquitto", "embedded"])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A broker that ends the connection of who sends it more than a megabyte."""
    lines = ["allow_anonymous true", "max_packet_size 1000000"]
    made: Broker = (
        Mosquitto(tmp_path / "strict", lines=lines)
        if request.param == "mosquitto"
        else Nats(tmp_path / "strict")
    )
    with made as running:
        yield running


def test_nobody_waits_for_a_message_that_the_broker_does_not_take(
    make: Make, strict: Broker, tmp_path: Path
) -> None:
    """Twenty other nodes get what the same plugin has for them, before and after it; so does the node of
    the message itself; and an operator sees which message it is."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "poison.py").write_text(POISON)
    gateway = make(mqtt__port=strict.port, plugins__dirs=[str(tmp_path / "plugins")])
    gateway.start()
    gateway.ready(20)
    peer = Peer(strict.port)
    try:
        peer.listen("hydro/seen/+")
        names = [*(f"n{n}" for n in range(10)), "poison", *(f"m{n}" for n in range(10))]
        for name in names:
            peer.say(HELLO, hello(name))
        seen = [f"hydro/seen/{name}" for name in names]
        until(lambda: {topic for topic, _, _ in list(peer.got)} >= {*seen}, 90, "one for each")
        until(lambda: gateway.facts()["unpublishable"], 60, "the message is known")
        words = [sys.executable, "-m", "gateway", "--state-dir", str(tmp_path / "state"), "status"]
        shown = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False
        ).stdout
        assert "the broker hangs up at a message of 1.4 MB to hydro/poison" in shown
    finally:
        peer.close()
