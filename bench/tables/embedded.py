"""What the embedded broker's honest setting costs: each message synced, or every two minutes."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import wire
from bench.frame import Options, in_turn, middle, spread, table
from bench.rig import load
from gateway.broker import embedded

_HONEST = "sync_interval: always"


def measure(setting: str, count: int) -> Callable[[], float]:
    """Messages a second that the broker acknowledges."""

    async def go() -> float:
        template = embedded._CONFIG
        assert _HONEST in template
        embedded._CONFIG = template.replace(_HONEST, f"sync_interval: {setting}")
        with tempfile.TemporaryDirectory() as folder:
            broker = embedded.EmbeddedBroker(Path(folder) / "broker", port=0)
            try:
                await broker.start()
                subscriber = await asyncio.to_thread(subscribe, broker.port)
                found = await asyncio.to_thread(load, broker.port, "beats", count, 50)
                subscriber.close()
            finally:
                await broker.stop()
                embedded._CONFIG = template
        return float(count / found["seconds"])

    return lambda: asyncio.run(go())


def subscribe(port: int) -> socket.socket:
    """A persistent session that wants the beats: only then they are stored."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(wire.connect("bench-keep", clean=False))
    sock.recv(4)
    sock.sendall(wire.subscribe("hydro/+/+/+/heartbeat"))
    sock.recv(5)
    return sock


def run(options: Options) -> None:
    """Print it."""
    count = options.many(2000, 200)
    settings = {"always (ours)": "always", "2m (its default)": "2m"}
    found = in_turn(options, {shown: measure(what, count) for shown, what in settings.items()})
    base = middle(found["2m (its default)"])
    rows = [[name, spread(rate), f"{middle(rate) / base:.2f}"] for name, rate in found.items()]
    notes = f"{count:,} beats that nats-server acknowledges while a persistent session wants them."
    head = ["sync_interval", "acknowledged msg/s median (least-most)", "ratio"]
    table("What the embedded broker's honest setting costs", notes, head, rows)
