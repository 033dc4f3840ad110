"""`make soak-crash`: a kill at every label, then ordered pairs of kills, for as long as you like.

python -m tests.faults.crash.soak [--pairs 400] [--seed N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.crash.lab import Lab, lab
from tests.faults.crash.labels import labels


def every_label(found: Lab) -> int:
    """A kill at each; the number of failures."""
    wrong, told = 0, time.monotonic()
    for number, (label, where) in enumerate(labels().items()):
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"labels       {number} killed at, {wrong} wrong", flush=True)
        try:
            found.kill(label)
        except AssertionError as error:
            wrong += 1
            print(f"  {label} ({where}): {error}", flush=True)
    print(f"labels       {len(labels())} killed at, {wrong} wrong", flush=True)
    return wrong


def every_pair(found: Lab, wanted: int, seed: int) -> int:
    """So many pairs of which both struck; the number of failures."""
    both, tried, wrong, told = set[tuple[str, str]](), set[tuple[str, str]](), 0, time.monotonic()
    for pair in found.pairs(seed):
        if len(both) + wrong >= wanted:
            break
        if pair in tried:
            continue
        tried.add(pair)
        try:
            if found.kill_twice(*pair):
                both.add(pair)
        except AssertionError as error:
            wrong += 1
            print(f"  {' then '.join(pair)}: {error}", flush=True)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(
                f"pairs        {len(both)} of {wanted} ({len(tried)} tried), {wrong} wrong",
                flush=True,
            )
    print(f"pairs        {len(both)} where both struck ({len(tried)} tried), {wrong} wrong")
    return wrong


def main() -> int:
    """Exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    options = parser.parse_args()
    print(f"seed         {options.seed}")
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as found:
        return int(every_label(found) + every_pair(found, options.pairs, options.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
