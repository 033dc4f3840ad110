"""`make bench`: the tables of docs/figures.md, candidates in turn within one run.

    python -m bench [NAME ...] [--rounds 5] [--quick]

Names are the modules of bench/tables, in this order; without any, all of them.
"""

from __future__ import annotations

import argparse
import time
from importlib import import_module

from bench.frame import Options, conditions

TABLES = (
    "intake", "beats", "hellos", "latency", "growth", "storm", "lanes", "memory", "start", "disk",
    "embedded",
)  # fmt: skip


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does it run at all?")
    given = parser.parse_args()
    if unknown := set(given.names) - set(TABLES):
        parser.error(
            f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}"
        )
    options = Options(1 if given.quick else given.rounds, given.quick)
    began = time.monotonic()
    print(conditions())
    for name in given.names or TABLES:
        import_module(f"bench.tables.{name}").run(options)
    print(f"\nAll of it took {time.monotonic() - began:.0f} s, {options.rounds} rounds in turn.")


if __name__ == "__main__":
    main()
