"""SIGTERM while 5,000 messages a second come in: how long the stop takes, and what is lost or done twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from bench import rig
from bench.frame import Options, table

TALLY = Path(__file__).parents[2] / "tests" / "faults" / "crash" / "plugins"
RATE, NODES, SECONDS, GRACE = 5000, 500, 6, 10.0
DONE = "SELECT count(*), count(DISTINCT node || '/' || boot_id || '/' || seq) FROM tally_effects"


def run(options: Options) -> None:
    """Print it."""
    rate, fewer = options.many(RATE, 200), options.fewer(3)
    rows = [
        [str(number + 1), signals, *measure(rate, options.many(SECONDS, 2), times)]
        for number in range(fewer.rounds)
        for signals, times in (("one", 1), ("two, 0.6 s apart", 2))
    ]
    notes = (
        f"Half of the {rate:,} messages a second are beats, half are of a kind whose plugin writes a row "
        f"each, of {NODES} nodes; SIGTERM comes in the middle, `shutdown_grace = {GRACE:g}`. Then the "
        "gateway starts again, and each row is counted. A gateway that cannot keep up with what is "
        "offered leaves it at the broker."
    )
    head = ["round", "SIGTERM", "offered/s", "exit after s", "code", "lost", "doubles", "load idle"]
    table("A stop while messages pour in", notes, head, rows)


def measure(rate: int, seconds: int, times: int) -> list[str]:
    """One stop."""
    settings = f'[plugins]\ndirs = ["{TALLY}"]\n'
    count = rate * seconds // 2
    with rig.broker() as (broker, folder):
        us, found = rig.Ours(folder / "us", broker.port, settings), dict[str, float]()
        with us:
            load = threading.Thread(
                target=lambda: found.update(rig.load(broker.port, "pour", count, rate, NODES, 10))
            )
            load.start()
            time.sleep(seconds / 2)
            took, code = us.end(times)
            load.join()
        with rig.Ours(folder / "us", broker.port, settings) as us:
            path, deadline = us.state / "gateway.db", time.monotonic() + 120
            while (done := tally(path))[1] < count and time.monotonic() < deadline:
                time.sleep(0.1)
    offered = found["sent"] / found["seconds"]
    lost, doubles = count - done[1], done[0] - done[1]
    figures = [f"{offered:,.0f}", f"{took:.1f}", str(code), str(lost), str(doubles)]
    return [*figures, f"{found['idle']:.0%}"]


def tally(path: Path) -> tuple[int, int]:
    """Rows, and different ones."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows, different = connection.execute(DONE).fetchone()
        return int(rows), int(different)
    finally:
        connection.close()
