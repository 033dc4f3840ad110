"""`make bench`: the tables of docs/figures.md, candidates in turn within one run.

python -m bench [--rounds 5] [--count 20000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from gateway.testing.broker import Mosquitto

NODES = 500
BROKER = [
    "allow_anonymous true",
    "max_queued_messages 0",
    "max_inflight_messages 1000",
]


def run(*words: str) -> str:
    """Run a module of this package, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def c_client(port: int, count: int) -> dict[str, float]:
    """mosquitto_sub on a persistent session, to /dev/null."""
    words = ["mosquitto_sub", "-p", str(port), "-i", "bench-c", "-c", "-q", "1"]
    words += ["-t", "hydro/+/+/+/heartbeat"]
    words += ["-C", str(count)] if count else ["-E"]
    began = time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=120)
    return {"seconds": time.monotonic() - began}


def drain(rounds: int, count: int) -> dict[str, list[dict[str, float]]]:
    """A backlog of beats, drained by each candidate in turn."""
    results: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder) / "b", lines=BROKER) as broker,
    ):
        port = str(broker.port)

        def child(name: str, *more: str) -> Callable[[int], dict[str, float]]:
            def go(number: int) -> dict[str, float]:
                out = run("bench.candidates", name, port, str(number), *more)
                return dict(json.loads(out.splitlines()[-1]))

            return go

        candidates: dict[str, Callable[[int], dict[str, float]]] = {
            "mosquitto_sub (C), nothing stored": lambda n: c_client(broker.port, n),
            "bare paho, nothing stored": child("paho"),
            "paho, json, insert and commit each": child("script", folder),
            "hellogate: journal, 3 plugins, effects": child("ours", f"{folder}/state"),
        }
        for number in range(rounds):
            for name in _turn(list(candidates), number):
                _forget(broker.port)
                candidates[name](0)
                run("bench.load", port, str(count), str(NODES))
                results.setdefault(name, []).append(candidates[name](count))
                shutil.rmtree(f"{folder}/state", ignore_errors=True)
    return results


def _turn(names: list[str], number: int) -> list[str]:
    return names[number % len(names) :] + names[: number % len(names)]


def _forget(port: int) -> None:
    """Clear the sessions of all candidates, so that nobody's queue is filled beside."""
    for client in (
        "bench-c",
        "bench-paho",
        "bench-script",
        "bench-ours-control",
        "bench-ours-bulk",
    ):
        subprocess.run(
            ["mosquitto_sub", "-p", str(port), "-i", client, "-t", "none", "-E"],
            check=True,
            timeout=10,
        )


def latency(rates: list[int], count: int) -> dict[int, list[float]]:
    """Hello to receipt, at several rates."""
    found: dict[int, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder) / "b", lines=BROKER) as broker,
    ):
        env = {
            **os.environ,
            "GATEWAY__STATE_DIR": f"{folder}/state",
            "GATEWAY__MQTT__HOST": "127.0.0.1",
            "GATEWAY__MQTT__PORT": str(broker.port),
            "GATEWAY__LOG_LEVEL": "error",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run"], env=env, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready"):
                break
        try:
            for rate in rates:
                number = min(count, rate * 10)
                out = run(
                    "bench.load", str(broker.port), "hellos", str(number), str(rate), f"r{rate}"
                )
                result = json.loads(out)
                assert result["receipts"] == result["sent"], result["receipts"]
                found[rate] = result["ms"]
        finally:
            process.terminate()
            process.communicate(timeout=20)
    return found


def start_times(rounds: int) -> dict[str, list[float]]:
    """How long a command needs before it does anything."""
    candidates = {
        'python -c "import click"': [sys.executable, "-c", "import click"],
        "gateway version": [sys.executable, "-m", "gateway", "version"],
        "gateway --help": [sys.executable, "-m", "gateway", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds * 2):
        for name, words in candidates.items():
            began = time.monotonic()
            subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=30)
            times[name].append(time.monotonic() - began)
    return times


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    versions = ", ".join(f"{n} {metadata.version(n)}" for n in ("paho-mqtt", "msgspec", "pluggy"))
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )
    drained = drain(options.rounds, options.count)
    print(
        f"\nBacklog of {options.count:,} beats of {NODES} nodes, {options.rounds} rounds in turn\n"
    )
    _drain_table(drained, options.count)
    print("\nHello to receipt (both through the broker), ms\n")
    print("| hellos/s | receipts | p50 | p99 | most |\n|---|---|---|---|---|")
    late = latency([10, 100, 1000], 3000)
    for rate, found in late.items():
        p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
        print(f"| {rate} | {len(found)} | {p50:.1f} | {p99:.1f} | {found[-1]:.1f} |")
    print(
        "\nStart of the command line, ms\n\n| command | median | least | ratio |\n|---|---|---|---|"
    )
    base = 0.0
    for name, found in start_times(options.rounds).items():
        median = statistics.median(found) * 1000
        base = base or median
        print(f"| `{name}` | {median:.0f} | {min(found) * 1000:.0f} | {median / base:.2f} |")
    if options.json:
        options.json.write_text(json.dumps({"drain": drained, "latency": late}))


def _drain_table(drained: dict[str, list[dict[str, float]]], count: int) -> None:
    print("| candidate | msg/s median (min-max) | ratio to C | CPU µs/msg | RSS MB |")
    print("|---|---|---|---|---|")
    base = 0.0
    for name in sorted(drained, key=lambda n: min(r["seconds"] for r in drained[n])):
        rates = sorted(count / r["seconds"] for r in drained[name])
        median = statistics.median(rates)
        if name.startswith("mosquitto_sub"):
            base = median
    for name, rows in drained.items():
        rates = sorted(count / r["seconds"] for r in rows)
        median = statistics.median(rates)
        cpu = statistics.median(r.get("cpu", 0.0) for r in rows) / count * 1e6
        rss = max(r.get("rss_mb", 0.0) for r in rows)
        print(
            f"| {name} | {median:,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f}) | {median / base:.2f} | "
            f"{f'{cpu:.0f}' if cpu else '-'} | {f'{rss:.0f}' if rss else '-'} |"
        )


if __name__ == "__main__":
    main()
