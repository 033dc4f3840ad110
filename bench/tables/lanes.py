"""Nobody waits for a stranger: a fleet beats while others flood, hang and raise; and a long journal."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from bench import rig
from bench.frame import Options, share, table
from gateway.protocol import topics
from gateway.store import journal
from gateway.testing.process import until

PLUGINS = Path(__file__).parents[1] / "plugins"
INTERVAL, FLOOD, HANGING, FLOOD_RATE = 10.0, 2000, 100, 20


class Case(NamedTuple):
    """What goes on beside the fleet: plugins besides the one that watches, and a flooder."""

    shown: str
    plugins: tuple[str, ...] = ()
    flood: int = 0
    kind: str = "beats"
    hanging: int = 0


def run(options: Options) -> None:
    """Print both tables."""
    stress(options)
    waiting(options)


def stress(options: Options) -> None:
    """A fleet beside each kind of trouble, and beside all of it."""
    rate, hanging = options.many(FLOOD, 200), options.many(HANGING, 3)
    cases = [
        Case("nothing else goes on"),
        Case(f"one node floods {rate:,} beats/s", flood=rate),
        Case(f"one node floods {rate:,} status messages/s", flood=rate, kind="status"),
        Case(
            f"a plugin hangs on {hanging} hellos, another raises on every beat",
            ("hanging", "raising"),
            hanging=hanging,
        ),
        Case("flood of beats, hanging and raising", ("hanging", "raising"), rate, "beats", hanging),
    ]
    nodes = options.many(5000, 50)
    rows = [
        measure(options, nodes, case)
        for case in (cases[:: len(cases) - 1] if options.quick else cases)
    ]
    base = float(rows[0][2])
    notes = (
        f"{nodes:,} connected nodes, each beats every {INTERVAL:g} s; from the publish of a beat to "
        f"its committed effects, of every tenth node, ms. `flood_rate = {FLOOD_RATE}`."
    )
    head = ["while", "p50", "p99", "p99 to quiet", "most", "effects missing", "refused: flood"]
    shown = [[*row[:3], f"{float(row[2]) / base:.1f}", *row[3:]] for row in rows]
    table("Lanes under stress", notes, [*head, "peak MB", "CPU", "load idle"], shown)


def measure(options: Options, nodes: int, case: Case) -> list[str]:
    """One fleet's run beside this case."""
    folders = [str(PLUGINS / name) for name in ("watching", *case.plugins)]
    settings = f"[plugins]\ndirs = {folders}\n[limits]\nflood_rate = {FLOOD_RATE}\n".replace(
        "'", '"'
    )
    seconds = options.many(12, 2)
    words = [str(word) for word in (nodes, INTERVAL if not options.quick else 1.0, seconds)]
    words += [str(case.flood), case.kind, str(case.hanging)]
    with rig.broker() as (broker, folder), rig.Ours(folder / "us", broker.port, settings) as us:
        rig.load(broker.port, "hellos", nodes, 0, "bench")
        us.settle()
        before = us.cpu
        found = rig.run("bench.fleet", str(broker.port), *words)
        cpu = (us.cpu - before) / seconds
        flood = us.facts()["counts"].get("refused:flood", 0)
        peak = us.peak
    late = found["ms"]
    figures = [f"{value:.1f}" for value in (share(late, 0.5), share(late, 0.99), max(late))]
    more = [
        str(found["missing"]),
        f"{flood:,}",
        f"{peak:.0f}",
        f"{cpu:.0%}",
        f"{found['idle']:.0%}",
    ]
    return [case.shown, *figures, *more]


def waiting(options: Options) -> None:
    """A journal full of work at the start, after a clean end and after a SIGKILL."""
    count, nodes = options.many(1_000_000, 5_000), options.many(5_000, 50)
    with rig.broker() as (broker, folder):
        with rig.Ours(folder / "us", broker.port):
            pass  # makes the store
        path = folder / "us" / "state" / "gateway.db"
        fill(path, count, nodes)
        rows = [
            start(options, rig.Ours(folder / "us", broker.port), shown)
            for shown in ("a clean end", "a SIGKILL")
        ]
    head = [
        "after",
        "waiting",
        "ready after s",
        "first event done after s",
        "events/s then",
        "peak MB",
    ]
    notes = (
        f"A start with a journal of status messages of {nodes:,} nodes that wait. After a SIGKILL the "
        "first of each node is named on disk before it runs, because it may be what ended the process."
    )
    table("A long journal at the start", notes, head, rows)


def start(options: Options, us: rig.Ours, shown: str) -> list[str]:
    """Start on that store, look for ten seconds, and kill it."""
    path = us.state / "gateway.db"
    had, left = done(path), count(path, journal.WAITING)
    began = time.monotonic()
    with us:
        ready = time.monotonic() - began
        # a smoke run's few may all have been done before the SIGKILL
        until(lambda: not left or done(path) > had, 120, "the first event of the journal")
        first = time.monotonic() - began
        had, since = done(path), time.monotonic()
        time.sleep(options.many(10, 1))
        rate = (done(path) - had) / (time.monotonic() - since)
        peak = us.peak
        us.kill()
    return [shown, f"{left:,}", f"{ready:.1f}", f"{first:.1f}", f"{rate:,.0f}", f"{peak:.0f}"]


def fill(path: Path, count: int, nodes: int) -> None:
    """So many waiting status messages, of these nodes in turn."""
    now, payload = time.time(), b'{"status":"ONLINE"}'
    made = [topics.Topics().of("gh-1", "zn-1", f"bench-{n}", "status") for n in range(nodes)]
    rows = (
        journal.Row(
            number, now, now, "control", "journal", "status", f"bench-{number % nodes}",
            made[number % nodes], payload, journal.checksum(made[number % nodes], payload),
        )
        for number in range(1, count + 1)
    )  # fmt: skip
    connection = sqlite3.connect(path)
    connection.execute("BEGIN")
    part = []
    for row in rows:
        part.append(row)
        if len(part) == 10_000:
            journal.add(connection, part)
            part = []
    journal.add(connection, part)
    connection.commit()
    connection.close()


def done(path: Path) -> int:
    """Rows of the journal that are done."""
    return count(path, journal.DONE)


def count(path: Path, state: int) -> int:
    """Rows of the journal in this state."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        sql = "SELECT count(*) FROM journal WHERE state = ?"
        return int(connection.execute(sql, (state,)).fetchone()[0])
    finally:
        connection.close()
