"""T4: from a hello to its receipt at several rates, against an echo through bare paho."""

from __future__ import annotations

from typing import Any

from bench.frame import Options, in_turn, middle, share, spread, table
from bench.rig import broker
from bench.tables.hellos import candidates, round_of

SECONDS = 3
RATES = (10, 100, 1000)


def run(options: Options) -> None:
    """Print it."""
    rows = [row for rate in RATES[:: options.many(1, len(RATES))] for row in at(options, rate)]
    head = [
        "hellos/s",
        "candidate",
        "p50 ms",
        "p99 ms",
        "p99 to the echo's",
        "missing",
        "load idle",
    ]
    notes = (
        f"Never-seen nodes for {SECONDS} s at each rate; from the write of the hello to the read of "
        "its receipt, both through the broker. The echo is bare paho that stores nothing."
    )
    table("Hello to receipt", notes, head, rows)


def at(options: Options, rate: int) -> list[list[str]]:
    """A row for each candidate at this rate."""
    words = ("hellos", options.many(rate * SECONDS, 20), rate, "new")
    with broker() as (running, folder):
        port = running.port
        makes = candidates(folder, port, echo="echo")
        found = in_turn(
            options, {name: round_of(make, folder, port, *words) for name, make in makes.items()}
        )
    base = middle([share(one["ms"], 0.99) for one in found["echo"]])
    return [[f"{rate}", *row(name, each, base)] for name, each in found.items()]


def row(name: str, each: list[dict[str, Any]], base: float) -> list[str]:
    """One candidate's figures; `base` is the echo's p99."""
    p99 = [share(one["ms"], 0.99) for one in each]
    return [
        name,
        spread([share(one["ms"], 0.5) for one in each], 1),
        spread(p99, 1),
        f"{middle(p99) / base:.1f}",
        str(sum(one["sent"] - one["receipts"] for one in each)),
        f"{middle([one['idle'] for one in each]):.0%}",
    ]
