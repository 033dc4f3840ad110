"""What is said leaves by its own thread: whoever does not read holds nobody up."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from gateway.cli.talk import Talker
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

NODES = 800


def test_in_order_and_all_of_it() -> None:
    """Behind `flush` everything was said, in the order of asking."""
    said: list[int] = []
    talk = Talker(lambda _lost: None)
    for number in range(100):
        talk.soon(lambda number=number: said.append(number))
    talk.flush(10)
    assert said == list(range(100))


def test_what_finds_no_room_is_counted_and_said() -> None:
    """Nobody waits and nothing grows while somebody does not read; how much is missing is said then."""
    gate, lost, said = threading.Event(), list[int](), list[int]()
    talk = Talker(lost.append, most=10)
    talk.soon(lambda: gate.wait(30) and None)
    for number in range(100):
        talk.soon(lambda number=number: said.append(number))
    gate.set()
    talk.flush(10)
    assert said == list(range(len(said)))
    assert sum(lost) + len(said) == 100
    assert 9 <= len(said) <= 10


class Deaf(GatewayProcess):
    """Nobody reads what it prints."""

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Not a byte."""


def said_and_registered(peer: Peer, gateway: GatewayProcess) -> bool:
    """A hello has arrived: the gateway is subscribed, which nobody can read from what it prints."""
    peer.say("hydro/node_hello", hello("first"))
    return bool(gateway.rows("SELECT 1 FROM nodes"))


def test_a_terminal_that_does_not_read_stops_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    """With its output blocked after some kilobytes the gateway registers everybody."""
    gateway = Deaf(tmp_path / "state", broker.port).start(wait=False)
    peer = Peer(broker.port)
    try:
        until(lambda: said_and_registered(peer, gateway), 40, "the start")
        for number in range(NODES):
            peer.say("hydro/node_hello", hello(f"n{number}"), wait=number == NODES - 1)
        until(lambda: gateway.rows("SELECT count(*) FROM nodes") == [(NODES + 1,)], 60, "all nodes")
    finally:
        peer.close()
        gateway.kill()
        assert gateway.process is not None
        assert gateway.process.stdout is not None
        gateway.process.stdout.close()
