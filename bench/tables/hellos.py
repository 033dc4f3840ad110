"""T3: the whole way of a hello, from never-seen nodes at once to their receipts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.frame import Options, in_turn, middle, spread, table
from bench.rig import Other, Ours, Process, broker, load

Make = Callable[[], Process]


def candidates(folder: Path, port: int, **others: str) -> dict[str, Make]:
    """How to start the gateway, and others by their name in `bench.candidates`."""
    makes: dict[str, Make] = {}
    for name, shown in others.items():
        makes[shown] = lambda name=name: Other(name, folder / "them", port)  # type: ignore[misc] # mypy does not follow the default
    makes["hellogate"] = lambda: Ours(folder / "us", port)
    return makes


def round_of(make: Make, folder: Path, port: int, *words: object) -> Callable[[], dict[str, Any]]:
    """Start it with an empty store, send it the load, and see what it has used."""

    def go() -> dict[str, Any]:
        for name in ("us", "them"):
            shutil.rmtree(folder / name, ignore_errors=True)
        with make() as running:
            before = running.cpu
            found = load(port, *words)
            found |= {"cpu": running.cpu - before, "peak": running.peak}
        return found

    return go


def run(options: Options) -> None:
    """Print it."""
    count = options.many(3000, 200)
    names = {
        "script": "paho, json, bare insert, commit, answer",
        "threads": "a thread and an event loop for each message",
    }
    with broker() as (running, folder):
        port = running.port
        makes = candidates(folder, port, **names)
        words = ("hellos", count, 0, "new")
        found = in_turn(
            options, {name: round_of(make, folder, port, *words) for name, make in makes.items()}
        )
    base = middle([one["receipts"] / one["seconds"] for one in next(iter(found.values()))])
    rows = [row(shown, each, base) for shown, each in found.items()]
    table(
        "The whole way of a hello",
        f"{count:,} never-seen nodes at once; registry committed, receipt acknowledged by the "
        "node's side. The script stores a name and a time, the gateway what its three plugins make "
        "of a node and two changes of it.",
        [
            "candidate",
            "receipts/s median (least-most)",
            "ratio",
            "CPU µs/hello",
            "missing",
            "load idle",
        ],
        rows,
    )


def row(shown: str, each: list[dict[str, Any]], base: float) -> list[str]:
    """One candidate's figures."""
    rates = [one["receipts"] / one["seconds"] for one in each]
    return [
        shown,
        spread(rates),
        f"{middle(rates) / base:.2f}",
        f"{middle([one['cpu'] / one['sent'] * 1e6 for one in each]):.0f}",
        str(sum(one["sent"] - one["receipts"] for one in each)),
        f"{middle([one['idle'] for one in each]):.0%}",
    ]
