"""T2: the whole way of a beat."""

from __future__ import annotations

from bench.candidates import BEATS
from bench.frame import Options
from bench.tables.drained import Backlog, measure


def run(options: Options) -> None:
    """Print it."""
    count = options.many(60_000, 2_000)
    measure(
        options,
        "The whole way of a beat",
        f"Backlog of {count:,} beats of 500 nodes (the script's is a twentieth of it); journal, "
        "PUBACK, three plugins, their effects committed. Adjacent beats of one boot are folded "
        "while a commit is under way.",
        Backlog("beats", BEATS, count),
        {
            "mosquitto_sub (C), nothing stored": ("c", 1),
            "bare paho, nothing stored": ("paho", 1),
            "paho, json, insert and commit each": ("beats", 20),
            "hellogate: the whole way": ("ours", 1),
        },
    )
