"""A fleet that beats, on a connection for each node, while one of them may flood.

    python -m bench.fleet PORT NODES INTERVAL SECONDS [FLOOD KIND HANGING]

FLOOD: so many messages a second of one more node, beats or status; HANGING: so many more nodes say
hello at the beginning. Prints one line of JSON: how long it took from the publish of a beat until
its effects were committed and published (`bench/plugins/watching`), in ms, for one node in ten.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from itertools import count

from bench import wire
from bench.load import Crowd, Peer

_EFFECT = re.compile(rb'"node":"([^"]+)","seq":(\d+)')
GRACE = 10.0
_FLOODER = "bench-flooder"


class Fleet:
    """The nodes, their beats on the way, and what came of them."""

    def __init__(self, port: int, nodes: int, interval: float) -> None:
        self.crowd = Crowd()
        self.crowd.heard = self._heard
        self._port, self._interval = port, interval
        self._names = [f"bench-{number}" for number in range(nodes)]
        self._peers: list[Peer] = []
        self._sent: dict[str, dict[int, float]] = {}
        self.late: list[float] = []

    def connect(self) -> None:
        """All of them, a few hundred at a time, and one who hears of the effects."""
        self.join(wire.connect("bench-watcher") + wire.subscribe("bench/effect"))
        for number, name in enumerate(self._names):
            self._peers.append(self.join(wire.connect(name)))
            if number % 200 == 199:
                self.wait(0.05)
        self.wait(1.0)

    def join(self, first: bytes) -> Peer:
        """One more connection."""
        peer = Peer(self._port, first)
        self.crowd.join(peer)
        return peer

    def wait(self, seconds: float) -> None:
        """Deal with what comes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.crowd.turn(left)

    def beat(self, turn: int) -> None:
        """The `turn`-th beat of all: node after node."""
        number = turn % len(self._peers)
        name, seq = self._names[number], turn // len(self._peers) + 1
        if name.endswith("0"):
            self._sent.setdefault(name, {})[seq] = time.monotonic()
        self.crowd.send(self._peers[number], wire.beat(name, seq, turn, 30))

    @property
    def missing(self) -> int:
        """Beats whose effects were not seen."""
        return sum(map(len, self._sent.values()))

    def _heard(self, _topic: bytes, payload: bytes, at: float) -> None:
        found = _EFFECT.search(payload)
        if found is None:
            return
        mine = self._sent.get(found[1].decode(), {})
        for seq in [seq for seq in mine if seq <= int(found[2])]:
            self.late.append((at - mine.pop(seq)) * 1000)


def run(port: int, nodes: int, interval: float, seconds: float, *flood: str) -> None:
    """Beat for so many seconds."""
    fleet = Fleet(port, nodes, interval)
    fleet.connect()
    rate, kind, hanging = (float(flood[0]), flood[1], int(flood[2])) if flood else (0.0, "", 0)
    flooder = fleet.join(wire.connect(_FLOODER))
    for number in range(hanging):
        fleet.crowd.send(flooder, wire.hello(f"hang-{number}", number))
    make = wire.beat if kind == "beats" else wire.status
    began, cpu = time.monotonic(), time.process_time()
    flooded, turns = 0, count()
    turn = next(turns)
    while (now := time.monotonic() - began) < seconds:
        while turn * interval / nodes <= now:
            fleet.beat(turn)
            turn = next(turns)
        if due := int(now * rate) - flooded:
            numbers = range(flooded, flooded + due)
            fleet.crowd.send(flooder, b"".join(make(_FLOODER, n + 1, n, 31) for n in numbers))
            flooded += due
        fleet.crowd.turn(min(turn * interval / nodes - now, 0.01 if rate else 1.0))
    idle = 1 - (time.process_time() - cpu) / seconds
    until = time.monotonic() + GRACE
    while fleet.missing and time.monotonic() < until:
        fleet.wait(0.1)
    figures = {"beats": turn, "flooded": flooded, "ms": fleet.late, "missing": fleet.missing}
    print(json.dumps({**figures, "idle": idle}))


if __name__ == "__main__":
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    port, nodes, interval, seconds, *flood = sys.argv[1:]
    run(int(port), int(nodes), float(interval), float(seconds), *flood)
