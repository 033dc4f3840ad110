"""`make soak-sim`: whole worlds and fleets of pure parts for as long as you like.

python -m tests.sim.soak [--worlds 500] [--node-hours 1000000] [--seed N] [--jobs N]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any, NamedTuple

from tests.sim.fleet import LAG, Fleet, Tally
from tests.sim.world import Plan, Played, play


class Kind(NamedTuple):
    """Fleets of one size."""

    nodes: int
    interval: int
    hours: float
    share: float
    """Of the node-hours that were asked for; a beat costs the same, however often there is one."""


KINDS = (Kind(200, 600, 240.0, 1.0), Kind(20, 15, 48.0, 0.01))


def one_fleet(kind: Kind, seed: int) -> Tally:
    """Every other has a broker without an order."""
    return Fleet(seed, kind.nodes, kind.interval, by_filter=seed % 2 == 0).play(kind.hours)


def one_world(seed: int) -> Played | str:
    """What came of it, or what broke."""
    try:
        return play(Plan.of(seed))
    except Exception as error:  # noqa: BLE001 - the run goes on, and the seed is told
        return f"{type(error).__name__}: {error}"


def fleets(pool: ProcessPoolExecutor, kind: Kind, seed: int, node_hours: float) -> bool:
    """Liveness, measured."""
    count = max(1, math.ceil(node_hours * kind.share / (kind.nodes * kind.hours)))
    tallies = dict(_gather(pool, partial(one_fleet, kind), range(seed, seed + count)))
    hours = sum(tally.node_hours for tally in tallies.values())
    false = sum(tally.events["false_offline"] for tally in tallies.values())
    cpu = sum(tally.cpu for tally in tallies.values())
    online = max(tally.longest_online for tally in tallies.values())
    alive = max(tally.longest_alive for tally in tallies.values())
    wrong = [(seed, text) for seed, tally in sorted(tallies.items()) for text in tally.wrong]
    print(
        f"fleets       {hours:,.0f} node-hours, a beat every {kind.interval} s, "
        f"{hours / 24 / cpu * 60:,.0f} node-days a CPU minute, seeds {seed} to {seed + count - 1}\n"
        f"             {false} false offlines ({false / hours:.1e} a node-hour), shown online "
        f"{online:.1f} s and alive {alive:.1f} s too long at most, {len(wrong)} wrong",
        flush=True,
    )
    for found in wrong[:20]:
        print(f"  seed {found[0]}: {found[1]}")
    return not wrong and false / hours < 1e-4 and max(online, alive) <= LAG


def worlds(pool: ProcessPoolExecutor, seed: int, count: int) -> bool:
    """Whole gateways."""
    good: list[Played] = []
    broken: list[tuple[int, str]] = []
    for one, found in _gather(pool, one_world, range(seed, seed + count)):
        if isinstance(found, str):
            broken.append((one, found))
            print(f"  seed {one}: {found}", flush=True)
        else:
            good.append(found)
    if good:
        days = sum(played.hours * played.plan.nodes for played in good) / 24
        cpu = sum(played.seconds for played in good)
        kills = sum(sum(played.kills.values()) for played in good)
        acked = sum(played.books["acknowledged"] for played in good)
        slow = sorted(played.converged for played in good)
        print(
            f"worlds       {len(good)} of {count} well, {days:,.0f} node-days "
            f"({days / cpu * 60:,.0f} a CPU minute), {kills:,} kills, {acked:,} messages acknowledged\n"
            f"             converged within {slow[len(slow) // 2]:.0f} s (p50), "
            f"{slow[int(len(slow) * 0.99)]:.0f} s (p99)"
        )
    return not broken


def _gather(
    pool: ProcessPoolExecutor, function: Callable[[int], Any], seeds: range
) -> Iterator[tuple[int, Any]]:
    futures = {pool.submit(function, seed): seed for seed in seeds}
    for future in as_completed(futures):
        yield futures[future], future.result()


def main() -> int:
    """Exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--node-hours", type=float, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"seed         {options.seed}", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        good = all([fleets(pool, kind, options.seed, options.node_hours) for kind in KINDS])
        good = worlds(pool, options.seed, options.worlds) and good if options.worlds else good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
