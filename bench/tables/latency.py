"""T4: from a hello to its receipt at several rates, against an echo through bare paho."""

from __future__ import annotations

from bench.frame import Options, in_turn, middle, share, spread, table
from bench.rig import broker
from bench.tables.hellos import candidates, round_of

SECONDS = 3
RATES = (10, 100, 1000)


def run(options: Options) -> None:
    """Print it."""
    rows: list[list[str]] = []
    for rate in RATES[:: options.many(1, len(RATES))]:
        count = options.many(rate * SECONDS, 20)
        with broker() as (running, folder):
            port = running.port
            makes = candidates(folder, port, echo="echo")
            words = ("hellos", count, rate, "new")
            found = in_turn(
                options,
                {name: round_of(make, folder, port, *words) for name, make in makes.items()},
            )
        base = middle([share(one["ms"], 0.99) for one in found["echo"]])
        for name, each in found.items():
            p99 = [share(one["ms"], 0.99) for one in each]
            rows.append(
                [
                    f"{rate}",
                    name,
                    spread([share(one["ms"], 0.5) for one in each], 1),
                    spread(p99, 1),
                    f"{middle(p99) / base:.1f}",
                    str(sum(one["sent"] - one["receipts"] for one in each)),
                    f"{middle([one['idle'] for one in each]):.0%}",
                ]
            )
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
