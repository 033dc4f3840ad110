"""`make soak-power`: the power cuts of the tests, for as long as you like.

python -m tests.faults.power.soak [--states 1000000] [--seed N] [--jobs N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

from tests.faults.power.replay import Tally
from tests.faults.power.rounds import play_round


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


def main() -> int:
    """Everything in turn; exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"seed         {options.seed}")
    good = replay(options.states, options.seed, options.jobs)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
