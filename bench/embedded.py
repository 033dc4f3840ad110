"""What the embedded broker's honest setting costs: each message synced, or every two minutes.

python -m bench.embedded
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.load import _length, _text
from gateway.broker import embedded

COUNT = 2000
ROUNDS = 5


async def measure(setting: str) -> float:
    """Messages a second that the broker acknowledges."""
    template = embedded._CONFIG
    embedded._CONFIG = template.replace("sync_interval: always", f"sync_interval: {setting}")
    with tempfile.TemporaryDirectory() as folder:
        broker = embedded.EmbeddedBroker(Path(folder) / "broker", port=0)
        try:
            await broker.start()
            subscriber = await asyncio.to_thread(_subscribe, broker.port)
            words = [sys.executable, "-m", "bench.load", str(broker.port), str(COUNT), "50"]
            began = time.monotonic()
            await asyncio.to_thread(subprocess.run, words, check=True, timeout=120)
            took = time.monotonic() - began
            subscriber.close()
        finally:
            await broker.stop()
            embedded._CONFIG = template
    return COUNT / took


def _subscribe(port: int) -> socket.socket:
    """A persistent session that wants the beats: only then they are stored."""
    sock = socket.create_connection(("127.0.0.1", port))
    body = b"\x00\x04MQTT\x04\x00\x00\x00" + _text(b"bench-keep")
    sock.sendall(b"\x10" + _length(len(body)) + body)
    sock.recv(4)
    body = b"\x00\x01" + _text(b"hydro/+/+/+/heartbeat") + b"\x01"
    sock.sendall(b"\x82" + _length(len(body)) + body)
    sock.recv(5)
    return sock


def main() -> None:
    """Print a table."""
    rates: dict[str, list[float]] = {"always": [], "2m": []}
    for _ in range(ROUNDS):
        for setting, found in rates.items():
            found.append(asyncio.run(measure(setting)))
    print("| sync_interval | acknowledged msg/s, median (min-max) | ratio |\n|---|---|---|")
    base = statistics.median(rates["2m"])
    for setting, found in rates.items():
        median = statistics.median(found)
        print(
            f"| {setting} | {median:,.0f} ({min(found):,.0f}-{max(found):,.0f}) | {median / base:.2f} |"
        )


if __name__ == "__main__":
    main()
