"""`make soak-nodes`: forty scripts of bad weather with three hundred real nodes each.

python -m tests.faults.weather.soak [--nodes 300] [--scripts 40] [--minutes N] [--file FILE]

What each script came to stands in FILE; the same FILE goes on with those that are missing. A script
that went wrong keeps its folder, and is played again by removing its line from FILE.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.weather.script import PUSHED, Outcome, play


def done(file: Path, nodes: int) -> dict[int, Outcome]:
    """What is known already, by seed; scripts with another number of nodes do not count."""
    if not file.exists():
        return {}
    found = [Outcome(**json.loads(line)) for line in file.read_text().splitlines()]
    return {one.seed: one for one in found if one.nodes == nodes}


def add(file: Path, outcome: Outcome) -> None:
    """One line more."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(outcome._asdict()) + "\n")


def line(outcome: Outcome) -> str:
    """How one script went."""
    what = f"{outcome.connections:,} connections, well {outcome.well:.1f} s after the last act"
    head = f"script {outcome.seed:<5} {outcome.seconds:5.0f} s  {what}  {', '.join(outcome.acts)}"
    return "\n".join([head, *(f"  {text}" for text in outcome.broken[:10])])


def report(known: dict[int, Outcome], nodes: int) -> str:
    """All of them."""
    bad = [one.seed for one in known.values() if one.broken]
    well = sorted(one.well for one in known.values()) or [0.0]
    return "\n".join(
        [
            f"scripts      {len(known)} with {nodes} real nodes each, {len(bad)} went wrong {bad or ''}",
            f"connections  {sum(one.connections for one in known.values()):,}",
            f"configs      {(len(known) - len(bad)) * PUSHED} pushed in bad weather, and proved",
            f"well again   median {well[len(well) // 2]:.1f} s, worst {well[-1]:.1f} s",
        ]
    )


def main() -> int:
    """Exit code 1 where a script went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--scripts", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no script after so long")
    parser.add_argument("--file", type=Path, default=Path(".cache/soak-nodes.jsonl"))
    options = parser.parse_args()
    known, began = done(options.file, options.nodes), time.monotonic()
    print(f"scripts      {len(known)} of {options.scripts} done in {options.file}", flush=True)
    for seed in range(options.scripts):
        if seed in known:
            continue
        if options.minutes and time.monotonic() - began > 60 * options.minutes:
            break
        folder = Path(tempfile.mkdtemp(prefix=f"weather-{seed}-"))
        known[seed] = outcome = play(folder, seed, options.nodes)
        add(options.file, outcome)
        print(line(outcome), flush=True)
        if outcome.broken:
            print(f"  kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    print(report(known, options.nodes))
    return int(any(one.broken for one in known.values()))


if __name__ == "__main__":
    sys.exit(main())
