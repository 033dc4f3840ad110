"""A steady few messages, and what provokes a hostile plugin beside them.

    python -m bench.trickle PORT RATE SECONDS PROVOKED

RATE messages a second of twenty nodes, PROVOKED a second of twenty others. Prints one line of JSON: how
late the witness was called (`bench/plugins/witness`), in ms, and which of its effects are missing or
came twice.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

from bench import wire
from bench.load import Crowd, Peer

NODES, GRACE = 20, 180.0


class Trickle:
    """What was sent, and what the witness said of it."""

    def __init__(self, port: int) -> None:
        self.crowd = Crowd()
        self.crowd.heard = self._heard
        self.peer = Peer(port, wire.connect("bench-trickle") + wire.subscribe("bench/seen"))
        self.crowd.join(self.peer)
        self.seen: Counter[int] = Counter()
        self.late: list[float] = []

    def say(self, number: int) -> None:
        """One more."""
        said = {"number": number, "sent": time.monotonic()}
        topic = f"hydro/gh-1/zn-1/bench-{number % NODES}/trickle"
        self.crowd.send(self.peer, wire.publish(topic, json.dumps(said).encode(), number))

    def provoke(self, number: int) -> None:
        """One more of the others."""
        said = json.dumps({"boot_id": "0000000a", "seq": number + 1}).encode()
        topic = f"hydro/gh-1/zn-1/bench-other-{number % NODES}/provoked"
        self.crowd.send(self.peer, wire.publish(topic, said, 30_000 + number))

    def _heard(self, _topic: bytes, payload: bytes, _at: float) -> None:
        said = json.loads(payload)
        self.seen[said["number"]] += 1
        self.late.append(said["late"])


def run(port: int, rate: float, seconds: float, provoked: float) -> None:
    """Send for so many seconds, then wait until all has been seen."""
    trickle = Trickle(port)
    settle = time.monotonic() + 0.3
    while time.monotonic() < settle:
        trickle.crowd.turn(0.1)
    began, said, provocations = time.monotonic(), 0, 0
    while (now := time.monotonic() - began) < seconds:
        if said <= now * rate:
            trickle.say(said)
            said += 1
        elif provocations <= now * provoked:
            trickle.provoke(provocations)
            provocations += 1
        else:
            due = min(said / rate, provocations / provoked)
            trickle.crowd.turn(due - now)
    until = time.monotonic() + GRACE
    while len(trickle.seen) < said and time.monotonic() < until:
        trickle.crowd.turn(0.1)
    found = {
        "sent": said,
        "provoked": provocations,
        "missing": said - len(trickle.seen),
        "doubles": sum(trickle.seen.values()) - len(trickle.seen),
        "ms": trickle.late,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    run(int(sys.argv[1]), *map(float, sys.argv[2:]))
