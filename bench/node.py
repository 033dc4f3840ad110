"""The node's link on the loopback: `python -m bench.node`, for docs/figures.md.

In one run, on real MicroPython and a real mosquitto: QoS 1 publishes of ours against those of the
plain library, 70,000 of them through the wrap of the packet ids, and 1,000 reconnects; for the last two
how free memory moved.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from gateway.cli.parts import find_parts
from gateway.testing.broker import Mosquitto

HEAP = "192k"
ROUNDS = 3

COMMON = """
import gc, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
def free():
    gc.collect()
    return gc.mem_free()
def said(numbers):
    print(repr(numbers))
"""

PLAIN = """
from umqtt.simple import MQTTClient
client = MQTTClient("plain", "127.0.0.1", port, keepalive=60)
client.connect()
start = time.ticks_ms()
for number in range(count):
    client.publish(b"bench/node", b"x" * 100, qos=1)
said([time.ticks_ms() - start])
"""

OURS = """
from gwnode.link import Link
link = Link("ours", "127.0.0.1", port, clock=time.ticks_ms)
def up():
    link.open("will/ours", "gone")
    while not link.is_open:
        link.poll(100)
"""

SEND = """
up()
sent, marks = 0, []
start = time.ticks_ms()
while sent < count or link.in_flight:
    while sent < count and link.can_send:
        link.send(b"bench/node", b"x" * 100)
        sent += 1
        if sent % (count // 10) == 0:
            marks.append(free())
    link.poll(100)
said([time.ticks_ms() - start, link.flight.pid, marks])
"""

RECONNECT = """
marks = []
start = time.ticks_ms()
for number in range(count):
    up()
    link.send(b"bench/node", b"x")
    while link.in_flight:
        link.poll(100)
    link.close()
    if (number + 1) % (count // 10) == 0:
        marks.append(free())
said([time.ticks_ms() - start, marks])
"""


def play(body: str, port: int, count: int) -> list[Any]:
    """Run it in MicroPython; the numbers that it prints."""
    parts = find_parts()
    assert parts.micropython is not None
    done = subprocess.run(
        [parts.micropython, "-X", f"heapsize={HEAP}", "-c", COMMON + body, str(port), str(count)],
        env={"MICROPYPATH": f"{parts.device}:{parts.umqtt}:.frozen"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return list(ast.literal_eval(done.stdout.splitlines()[-1]))


def slope(marks: list[int]) -> float:
    """Bytes that free memory moves from one mark to the next, without the first, which warms up."""
    line = statistics.linear_regression(range(len(marks) - 1), marks[1:])
    return line.slope


def rates(port: int) -> dict[str, list[float]]:
    """Publishes a second, in turn."""
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        (took,) = play(PLAIN, port, 50)
        found["plain"].append(50 / took * 1000)
        took, _pid, _marks = play(OURS + SEND, port, 10_000)
        found["ours"].append(10_000 / took * 1000)
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "b") as broker:
        found = rates(broker.port)
        plain = statistics.median(found["plain"])
        print("| QoS 1 publishes of 100 bytes | a second, median (min-max) | ratio |")
        print("|---|---|---|")
        for name, label in (("plain", "umqtt.simple, plain"), ("ours", "our link, window of 8")):
            middle, low, high = statistics.median(found[name]), min(found[name]), max(found[name])
            print(f"| {label} | {middle:,.0f} ({low:,.0f}-{high:,.0f}) | {middle / plain:,.0f} |")
        took, pid, marks = play(OURS + SEND, broker.port, 70_000)
        print("\n| endurance | seconds | free memory, bytes per tenth |")
        print("|---|---|---|")
        wrapped = f"70,000 publishes, the last id {pid}"
        print(f"| {wrapped} | {took / 1000:.1f} | {slope(marks):+.0f} |")
        took, marks = play(OURS + RECONNECT, broker.port, 1_000)
        print(f"| 1,000 reconnects | {took / 1000:.1f} | {slope(marks):+.0f} |")


if __name__ == "__main__":
    main()
