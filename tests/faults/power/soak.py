"""`make soak-power`: what the tests try of a failing disk, at length.

python -m tests.faults.power.soak [PART ...] [--states 1000000] [--flips 10000] [--crashes 1000]
                                  [--seed N] [--jobs N] [--file FILE]

The parts are `replay`, `sweep`, `ext4` and `flips`; all of them where none is named. Each says its
seed, so that it can be had again. What the sweep has done stands in FILE; it goes on where it was left.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path

from tests.faults.power import ext4
from tests.faults.power.flips import WRONG, Rotting
from tests.faults.power.replay import Tally
from tests.faults.power.rounds import fast_folder, play_round
from tests.faults.power.swept import Swept


def in_turn(jobs: int, seeds: Iterator[int]) -> Iterator[tuple[int, Tally]]:
    """Rounds without end, `jobs` at a time, in the order of their seeds."""
    with ProcessPoolExecutor(jobs) as pool:
        under_way = [(seed, pool.submit(play_round, seed)) for seed in islice(seeds, jobs)]
        try:
            while True:
                seed, future = under_way.pop(0)
                another = next(seeds)
                under_way.append((another, pool.submit(play_round, another)))
                yield seed, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def replay(states: int, first: int, jobs: int) -> bool:
    """Power cuts until so many states were tried; True where nothing was wrong."""
    tally, began, told = Tally(), time.monotonic(), 0.0
    for seed, found in in_turn(jobs, count(first)):
        tally.add(found)
        tried, taken = sum(tally.states.values()), time.monotonic() - began
        over = tried >= states
        if over or taken - told > 10 or found.wrong:
            told = taken
            print(
                f"power cuts   {tried:>10,} states of {states:,}, {tally.calls:,} calls, "
                f"{tried / taken:,.0f} states/s, seeds {first} to {seed}, "
                f"{sum(tally.wrong.values())} wrong",
                flush=True,
            )
            for words in found.words:
                print(f"  seed {seed}: {words}")
        if over:
            break
    return not tally.wrong


def sweep(file: Path, seed: int, jobs: int) -> bool:
    """An error from every call; what was done so far stands in the file, with its seed."""
    swept, told = Swept(file, seed), time.monotonic()
    print(f"I/O errors   seed {swept.seed}, {file} ({swept.failed:,} calls so far)", flush=True)
    for _ in swept.run(jobs):
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(swept.line(), flush=True)
    print(swept.report(), flush=True)
    return not swept.false


def crashes(count: int, seed: int) -> bool:
    """A real ext4 that is shut down, again and again."""
    if why := ext4.why_not():
        print(f"ext4         not here: {why}")
        return True
    wrong = acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        image = ext4.new_image(Path(folder))
        for number in range(1, count + 1):
            found = ext4.crash(image, seed + number)
            acknowledged += found.acknowledged
            wrong += found.wrong
            if found.wrong:
                print(f"  {found}")
            if number % 50 == 0 or number == count:
                print(
                    f"ext4         {number:>10,} crashes of {count:,}, {acknowledged:,} "
                    f"acknowledged, {wrong} lost something",
                    flush=True,
                )
    return not wrong


def flips(count: int, seed: int) -> bool:
    """Single bits that rot, in the database and in its log."""
    good = True
    for wal in (False, True):
        with fast_folder() as folder:
            found = Rotting(folder, seed, wal=wal).flips(count)
        good = good and not found[WRONG]
        print(
            f"flipped bits {count:>10,} in the {'log' if wal else 'database'}; {found[WRONG]} wrong messages"
        )
        for outcome, number in found.most_common():
            print(f"  {number:>10,} {outcome}", flush=True)
    return good


def main() -> int:
    """The parts in turn; exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["flips", "sweep", "ext4", "replay"])
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--crashes", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--file", type=Path, default=Path(".cache/soak-sweep.json"))
    options = parser.parse_args()
    print(f"seed         {options.seed}")
    parts: dict[str, Callable[[], bool]] = {
        "flips": lambda: flips(options.flips, options.seed),
        "sweep": lambda: sweep(options.file, options.seed, options.jobs),
        "ext4": lambda: crashes(options.crashes, options.seed),
        "replay": lambda: replay(options.states, options.seed, options.jobs),
    }
    good = [parts[name]() for name in options.parts]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
