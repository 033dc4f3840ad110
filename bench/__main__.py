"""`make bench`: the tables of docs/figures.md, candidates in turn within one run.

    python -m bench [NAME ...] [--rounds 5] [--quick] [--into docs/figures.md]

Names are the modules of bench/tables, in this order; without any, all of them. It runs unattended;
with `--into` the tables take the place of the last ones, between two marks in that file.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from bench.frame import Options, conditions

TABLES = (
    "intake", "beats", "hellos", "latency", "growth", "storm", "lanes", "hostile", "stop", "replay", "memory", "start", "disk",
    "embedded",
)  # fmt: skip
BEGIN, END = "<!-- make bench -->", "<!-- as far as here -->"


class Tee(io.StringIO):
    """Keeps what is printed, and shows it at once."""

    def write(self, text: str) -> int:
        """Both."""
        sys.__stdout__.write(text)
        sys.__stdout__.flush()
        return super().write(text)


def measure(names: tuple[str, ...], options: Options) -> str:
    """Run these tables, show them, and return them."""
    began = time.monotonic()
    with redirect_stdout(Tee()) as printed:
        print(conditions())
        for name in names:
            import_module(f"bench.tables.{name}").run(options)
        took = time.monotonic() - began
        print(f"\nAll of it took {took:.0f} s, {options.rounds} rounds in turn.")
    return printed.getvalue()


def put(file: Path, tables: str) -> None:
    """Let them take the place of the last ones."""
    before, _, rest = file.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{tables}{END}{after}")


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does it run at all?")
    parser.add_argument("--into", type=Path, metavar="FILE", help="keep the tables in this file")
    given = parser.parse_args()
    if unknown := set(given.names) - set(TABLES):
        parser.error(
            f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}"
        )
    if given.into and (given.names or given.quick or BEGIN not in given.into.read_text()):
        parser.error(f"--into keeps a whole run, in a file that has the mark {BEGIN}")
    options = Options(1 if given.quick else given.rounds, given.quick)
    tables = measure(tuple(given.names) or TABLES, options)
    if given.into:
        put(given.into, tables)


if __name__ == "__main__":
    main()
