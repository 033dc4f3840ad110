"""T1: receive, journal, PUBACK, and no further."""

from __future__ import annotations

from bench.candidates import STATUS
from bench.frame import Options
from bench.tables.drained import Backlog, measure


def run(options: Options) -> None:
    """Print it."""
    count = options.many(50_000, 2_000)
    measure(
        options,
        "Intake alone",
        f"Backlog of {count:,} status messages of 500 nodes, a row of the journal each, "
        "`synchronous=FULL`.",
        Backlog("status", STATUS, count),
        {
            "mosquitto_sub (C), nothing stored": ("c", 1),
            "bare paho, nothing stored": ("paho", 1),
            "hellogate: journal, PUBACK": ("intake", 1),
        },
    )
