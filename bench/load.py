"""The load: raw MQTT in a process of its own, packets built beforehand, joined writes.

    python -m bench.load PORT beats COUNT NODES          publish beats as fast as they are taken
    python -m bench.load PORT status COUNT NODES         the same with status messages
    python -m bench.load PORT paced COUNT RATE KIND NODES BOOT [FIRST]   the same at a rate, numbers from FIRST
    python -m bench.load PORT pour COUNT RATE NODES BOOT COUNT tallies and as many beats, RATE of both a second
    python -m bench.load PORT hellos COUNT RATE PREFIX   say hello, wait for each receipt; rate 0: at once
    python -m bench.load PORT storm COUNT SECONDS PREFIX as many connections, a hello and a receipt each

Each prints one line of JSON. `idle` is the share of its time in which it waited: near 0 means that
the load itself was the limit, and that the figure is void.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable

from bench import wire

CHUNK = 200
PATIENCE = 60.0
_NAME = re.compile(rb'"hardware_id":"([^"]+)"')


class Peer:
    """One connection: what is to be written, and what has been read in part."""

    def __init__(self, port: int, hello: bytes) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(("127.0.0.1", port))
        self.out = bytearray(hello)
        self.buffer = bytearray()
        self.acknowledged = 0

    def write(self) -> bool:
        """Write what the socket takes; True where nothing is left."""
        try:
            del self.out[: self.sock.send(self.out)]
        except BlockingIOError:
            return False
        return not self.out

    def read(self) -> list[tuple[bytes, bytes]]:
        """Messages that have come, acknowledged: topic and payload."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the broker has closed the connection")
        self.buffer += data
        found = []
        for kind, flags, body in wire.packets(self.buffer):
            if kind == wire.PUBLISH:
                topic, mid, payload = wire.message(flags, body)
                if mid:
                    self.out += wire.puback(mid)
                found.append((topic, payload))
            self.acknowledged += kind == wire.PUBACK
        return found


class Crowd:
    """Peers on one selector; `heard(name, at)` is called for each receipt."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.heard: Callable[[bytes, bytes, float], None] = lambda _topic, _payload, _at: None

    def join(self, peer: Peer) -> None:
        """Look after this peer."""
        self._selector.register(peer.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)

    def send(self, peer: Peer, packets: bytes) -> None:
        """Write now, or as soon as the socket takes it."""
        peer.out += packets
        if not peer.write():
            self._watch(peer, writing=True)

    def turn(self, timeout: float) -> None:
        """Wait for something to happen, `timeout` seconds at most, and deal with it."""
        for key, events in self._selector.select(max(0.0, timeout)):
            peer: Peer = key.data
            if events & selectors.EVENT_READ:
                messages = peer.read()
                now = time.monotonic()
                for topic, payload in messages:
                    self.heard(topic, payload, now)
            writing = bool(peer.out) and not peer.write()
            if writing or key.events & selectors.EVENT_WRITE:
                self._watch(peer, writing=writing)

    def _watch(self, peer: Peer, *, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if self._selector.get_key(peer.sock).events != events:
            self._selector.modify(peer.sock, events, peer)


class Receipts:
    """Who said hello when, and who heard the receipt when."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}
        self.got: dict[str, float] = {}
        self._began = time.monotonic()
        self._cpu = time.process_time()

    def heard(self, _topic: bytes, payload: bytes, at: float) -> None:
        """A receipt."""
        found = _NAME.search(payload)
        if found is not None:
            self.got.setdefault(found[1].decode(), at)

    def report(self) -> None:
        """Print what was seen."""
        took = time.monotonic() - self._began
        first = min(self.said.values())
        late = sorted((self.got[n] - at) * 1000 for n, at in self.said.items() if n in self.got)
        print(
            json.dumps(
                {
                    "sent": len(self.said),
                    "receipts": len(late),
                    "said_in": max(self.said.values()) - first,
                    "seconds": max(self.got.values(), default=first) - first,
                    "ms": late,
                    "behind": self._behind(),
                    "idle": 1 - (time.process_time() - self._cpu) / took,
                }
            )
        )

    def _behind(self) -> float:
        """Seconds by which the unluckiest got its receipt later than its place in the queue explains:
        who spoke as the n-th is due with the n-th receipt."""
        said = [name for name in self.said if name in self.got]  # in the order in which they spoke
        due = sorted(self.got[name] for name in said)
        return max((self.got[n] - at for n, at in zip(said, due, strict=True)), default=0.0)


def build(kind: str, count: int, nodes: int, boot: int, first: int = 1) -> list[bytes]:
    """Beats or status messages of `nodes` nodes in turn, in one boot of theirs, numbered from `first`."""
    make = wire.beat if kind == "beats" else wire.status
    return [make(f"bench-{n % nodes}", n // nodes + first, n, boot) for n in range(count)]


def backlog(port: int, kind: str, count: int, nodes: int) -> None:
    """Publish `count` messages of `nodes` nodes; every one is acknowledged by the broker."""
    packets = build(kind, count, nodes, 10)
    began, cpu = time.monotonic(), time.process_time()
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(wire.connect("bench-load"))
    _read(sock, 4)
    for start in range(0, count, CHUNK):
        part = packets[start : start + CHUNK]
        sock.sendall(b"".join(part))
        _read(sock, 4 * len(part))
    took = time.monotonic() - began
    idle = 1 - (time.process_time() - cpu) / took
    print(json.dumps({"sent": count, "seconds": took, "idle": idle}))


def paced(port: int, count: int, rate: float, kind: str, *numbers: int) -> None:
    """Publish `count` messages at `rate` a second; `numbers`: nodes, boot and perhaps the first number."""
    packets = build(kind, count, *numbers)
    peer = Peer(port, wire.connect("bench-paced"))
    crowd = Crowd()
    crowd.join(peer)
    began = time.monotonic()
    for number in range(count):
        while (left := began + number / rate - time.monotonic()) > 0:
            crowd.turn(left)
        crowd.send(peer, packets[number])
    while peer.acknowledged < count:
        crowd.turn(1.0)


def pour(port: int, count: int, rate: float, nodes: int, boot: int) -> None:
    """`count` tallies and as many beats of `nodes` nodes, `rate` of both together a second."""
    packets = [wire.tally(f"bench-{n % nodes}", n // nodes + 1, 2 * n, boot) for n in range(count)]
    beats = [wire.beat(f"bench-{n % nodes}", n // nodes + 1, 2 * n + 1, boot) for n in range(count)]
    peer, crowd = Peer(port, wire.connect("bench-pour")), Crowd()
    crowd.join(peer)
    began, cpu, said = time.monotonic(), time.process_time(), 0
    while peer.acknowledged < 2 * count:
        due = min(count, int((time.monotonic() - began) * rate / 2) + 1)
        if due > said:
            pairs = zip(packets[said:due], beats[said:due], strict=True)
            crowd.send(peer, b"".join(part for pair in pairs for part in pair))
            said, took = due, time.monotonic() - began
        crowd.turn(0.005 if said < count else 1.0)
    idle = 1 - (time.process_time() - cpu) / (time.monotonic() - began)
    print(json.dumps({"sent": 2 * count, "seconds": took, "idle": idle}))


def hellos(port: int, count: int, rate: float, prefix: str) -> None:
    """Say hello `count` times at `rate` a second over one connection."""
    names = [f"{prefix}-{number}" for number in range(count)]
    packets = [wire.hello(name, number) for number, name in enumerate(names)]
    peer = Peer(
        port, wire.connect("bench-hello") + wire.subscribe("hydro/gh-temp/zn-temp/+/hello_ack")
    )
    crowd = Crowd()
    crowd.join(peer)
    settle = time.monotonic() + 0.3
    while time.monotonic() < settle:
        crowd.turn(settle - time.monotonic())
    receipts = Receipts()
    crowd.heard = receipts.heard
    began, number = time.monotonic(), 0
    deadline = began + PATIENCE + (count / rate if rate else 0)
    while len(receipts.got) < count and time.monotonic() < deadline:
        now = time.monotonic()
        due = count if not rate else min(count, int((now - began) * rate) + 1)
        if due > number:
            part = slice(number, min(due, number + CHUNK))
            receipts.said.update(dict.fromkeys(names[part], now))
            crowd.send(peer, b"".join(packets[part]))
            number = part.stop
        more = number < count
        crowd.turn(0.0 if more and not rate else began + number / rate - now if more else 1.0)
    receipts.report()


def storm(port: int, count: int, seconds: float, prefix: str) -> None:
    """`count` nodes, each on a connection of its own, connect and say hello within `seconds`."""
    names = [f"{prefix}-{number}" for number in range(count)]
    starts = [
        wire.connect(name)
        + wire.subscribe(f"hydro/gh-temp/zn-temp/{name}/hello_ack")
        + wire.hello(name)
        for name in names
    ]
    crowd = Crowd()
    receipts = Receipts()
    crowd.heard = receipts.heard
    began, number = time.monotonic(), 0
    while len(receipts.got) < count and time.monotonic() < began + seconds + PATIENCE:
        now = time.monotonic()
        due = min(count, int((now - began) / seconds * count) + 1, number + CHUNK)
        for at in range(number, due):
            receipts.said[names[at]] = now
            crowd.join(Peer(port, starts[at]))
        number = max(number, due)
        crowd.turn(began + number / count * seconds - now if number < count else 1.0)
    receipts.report()


def _read(sock: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(sock.recv(65536))


def main() -> None:
    """One of them."""
    port, name, count, amount, *rest = sys.argv[1:]
    if name in ("beats", "status"):
        backlog(int(port), name, int(count), int(amount))
    elif name == "paced":
        kind, *numbers = rest
        paced(int(port), int(count), float(amount), kind, *map(int, numbers))
    elif name == "pour":
        pour(int(port), int(count), float(amount), *map(int, rest))
    elif name == "hellos":
        hellos(int(port), int(count), float(amount), *rest)
    else:
        storm(int(port), int(count), float(amount), *rest)


if __name__ == "__main__":
    main()
