"""`make ledger`: prints what was sent, promised, done and lost while everything is killed.

python -m tests.faults.ledger [--seed N]
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults.crash.forks import Forks
from tests.faults.ledger.script import SCRIPT, play_all


def main() -> int:
    """Exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    broken = 0
    with Forks() as forks:
        for played in play_all(forks, SCRIPT, options.seed):
            parked = f"; {played.parked} parked and replayed" if played.parked else ""
            print(
                f"\n{played.scene}; everybody well again after {played.converged:.1f} s{parked}\n"
            )
            print(played.ledger.table(), flush=True)
            for words in played.broken():
                broken += 1
                print(f"BROKEN: {words}")
    print(f"\n{broken} broken promises")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
