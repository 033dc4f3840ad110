"""`make soak-kills`: ten thousand SIGKILLs over gateway, brokers and nodes; can be stopped and gone on with.

python -m tests.faults.ledger.soak [--kills 10000] [--seed N] [--jobs 2] [--file FILE]

What was done so far stands in FILE, with its seed; the same FILE goes on where it was left.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.testing.ledger import COLUMNS
from tests.faults.crash.forks import Forks
from tests.faults.ledger.script import FOR_EVER, Played, play


class Totals:
    """The figures of all scenes, in a file."""

    def __init__(self, file: Path, seed: int) -> None:
        self._file = file
        self.seed = seed
        self.scenes = 0
        self.kills: Counter[str] = Counter()
        self.figures: dict[str, list[int]] = {}
        self.converged: list[float] = []
        self.parked = 0
        self.broken: list[str] = []
        if file.exists():
            for name, value in json.loads(file.read_text()).items():
                setattr(self, name, Counter(value) if name == "kills" else value)

    def add(self, played: Played) -> None:
        """One more scene."""
        self.scenes += 1
        self.kills.update(played.kills)
        self.converged.append(round(played.converged, 2))
        self.parked += played.parked
        self.broken += [f"{played.scene}, seed {played.seed}: {words}" for words in played.broken()]
        if played.unwell:
            return  # what was not waited for is not counted
        kept = (
            ""
            if played.scene.broker == "embedded" or "broker" not in played.scene.targets
            else ", forgetful broker"
        )
        for kind, account in played.ledger.accounts.items():
            sums = self.figures.setdefault(kind + kept, [0] * len(COLUMNS))
            self.figures[kind + kept] = [
                a + b for a, b in zip(sums, account.figures(), strict=True)
            ]

    def save(self) -> None:
        """Write it down, whole or not at all."""
        kept: dict[str, Any] = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        fresh = self._file.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._file)

    def line(self) -> str:
        """How far it is."""
        killed = ", ".join(f"{count:,} {who}" for who, count in sorted(self.kills.items()))
        return f"kills        {self.kills.total():,} ({killed}) in {self.scenes} scenes, {len(self.broken)} broken promises"

    def report(self) -> str:
        """All of it."""
        times = sorted(self.converged) or [0.0]
        p50, p99 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
        lines = [
            self.line(),
            f"well again   p50 {p50:.1f} s, p99 {p99:.1f} s after the last kill",
            "",
        ]
        lines += ["| message | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        lines += [
            f"| {kind} | " + " | ".join(f"{n:,}" for n in sums) + " |"
            for kind, sums in self.figures.items()
        ]
        return "\n".join([*lines, *self.broken])


def main() -> int:
    """Exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--file", type=Path, default=Path(".cache/soak-kills.json"))
    options = parser.parse_args()
    totals = Totals(options.file, options.seed)
    print(
        f"seed         {totals.seed}, {options.file} ({totals.kills.total():,} kills so far)",
        flush=True,
    )
    with Forks() as forks, ThreadPoolExecutor(options.jobs) as pool:
        while totals.kills.total() < options.kills:
            batch = range(totals.scenes, totals.scenes + options.jobs)
            seeds = [random.Random(f"kills {totals.seed} {n}").randrange(1 << 30) for n in batch]
            scenes = [FOR_EVER[number % len(FOR_EVER)] for number in batch]
            for played in pool.map(
                lambda pair: play(forks, *pair), zip(scenes, seeds, strict=True)
            ):
                totals.add(played)
            totals.save()
            print(totals.line(), flush=True)
    print(totals.report())
    return int(bool(totals.broken))


if __name__ == "__main__":
    sys.exit(main())
