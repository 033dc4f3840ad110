"""T6: after a power cut all nodes come at once, each on a connection of its own."""

from __future__ import annotations

from typing import Any

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
    sizes = {"hellogate": options.many(10_000, 200), "threads": options.many(2000, 100)}
    fewer = options.fewer(2)
    head = [
        "candidate",
        "said in s",
        "all receipts after s",
        "p50 s",
        "most behind its place s",
        "missing",
        "peak MB",
        "load idle",
    ]
    notes = (
        f"{sizes['hellogate']:,} never-seen nodes connect, subscribe and say hello, meant within "
        f"{WITHIN:g} s; nobody repeats a hello. {fewer.rounds} rounds in turn."
    )
    rows = [row(shown, each) for shown, each in storms(fewer, sizes).items()]
    table("Storm", notes, head, rows)


def storms(options: Options, sizes: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """What each candidate made of its storm; fewer nodes come at the same pace."""
    pace = WITHIN / sizes["hellogate"]
    with broker() as (running, folder):
        port = running.port
        makes = candidates(folder, port, threads="threads")
        return in_turn(
            options,
            {
                SHOWN[name].format(sizes[name]): round_of(
                    make, folder, port, "storm", sizes[name], pace * sizes[name], "storm"
                )
                for name, make in makes.items()
            },
        )


def row(shown: str, each: list[dict[str, Any]]) -> list[str]:
    """One candidate's figures."""
    return [
        shown,
        spread([one["said_in"] for one in each], 1),
        spread([one["seconds"] for one in each], 1),
        spread([share(one["ms"], 0.5) / 1000 for one in each], 1),
        spread([one["behind"] for one in each], 2),
        str(sum(one["sent"] - one["receipts"] for one in each)),
        spread([one["peak"] for one in each]),
        f"{middle([one['idle'] for one in each]):.0%}",
    ]
