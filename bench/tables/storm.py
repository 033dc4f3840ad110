"""T6: after a power cut all nodes come at once, each on a connection of its own."""

from __future__ import annotations

from bench.frame import Options, in_turn, middle, share, spread, table
from bench.rig import broker
from bench.tables.hellos import candidates, round_of

WITHIN = 2.0
SHOWN = {
    "hellogate": "hellogate, {:,} nodes",
    "threads": "a thread and an event loop for each message, {:,} nodes at the same pace",
}


def run(options: Options) -> None:
    """Print it."""
    count, part = options.many(10_000, 200), options.many(2000, 100)
    fewer = options.fewer(2)
    with broker() as (running, folder):
        port = running.port
        makes = candidates(folder, port, threads="threads")
        sizes = {"hellogate": count, "threads": part}
        found = in_turn(
            fewer,
            {
                SHOWN[name].format(sizes[name]): round_of(
                    make, folder, port, "storm", sizes[name], WITHIN * sizes[name] / count, "storm"
                )
                for name, make in makes.items()
            },
        )
    rows = [
        [
            name,
            spread([one["said_in"] for one in each], 1),
            spread([one["seconds"] for one in each], 1),
            spread([share(one["ms"], 0.5) / 1000 for one in each], 1),
            str(sum(one["sent"] - one["receipts"] for one in each)),
            spread([one["peak"] for one in each]),
            f"{middle([one['idle'] for one in each]):.0%}",
        ]
        for name, each in found.items()
    ]
    table(
        "Storm",
        f"{count:,} never-seen nodes connect, subscribe and say hello, meant within {WITHIN:g} s; "
        f"nobody repeats a hello. {fewer.rounds} rounds in turn.",
        [
            "candidate",
            "said in s",
            "all receipts after s",
            "p50 s",
            "missing",
            "peak MB",
            "load idle",
        ],
        rows,
    )
