"""Ten thousand dead letters are replayed while the same and other nodes send more."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from bench import rig
from bench.frame import Options, table
from bench.tables.stop import TALLY, tally
from gateway.testing.process import until

NODES, RATE, PATIENCE = 200, 600, 280.0
DEAD, LIVE = 10, 11
"""Boots."""


def run(options: Options) -> None:
    """Print it."""
    dead, live = options.many(10_000, 400), options.many(6_000, 400)
    rows = [measure(dead, live, kill) for kill in (False, True)]
    notes = (
        f"{dead:,} dead letters of {NODES} nodes go through their plugin again with `gateway dead replay "
        f"--all`, while these and {NODES} other nodes send {RATE} messages a second, half of them beats; "
        "until the last one has had its effect. Order: nodes whose replayed messages were not in theirs."
    )
    head = ["", "dead", "live", "s", "replayed/s", "lost", "doubles", "out of order"]
    table("Dead letters, replayed under load", notes, head, rows)


def measure(dead: int, live: int, kill: bool) -> list[str]:
    """One replay; `kill`: with a SIGKILL in the middle of it."""
    settings = (
        f'[plugins]\ndirs = ["{TALLY}"]\n[handlers]\nattempts = 1\nbreaker_failures = 1000000\n'
    )
    with rig.broker() as (broker, folder):
        broken, port = folder / "broken", broker.port
        broken.touch()
        us = rig.Ours(folder / "us", port, settings, {"TALLY_BROKEN": str(broken)})
        path = us.state / "gateway.db"
        with us:
            rig.load(port, "pour", dead, 4 * RATE, NODES, DEAD)
            sql = "SELECT count(*) FROM delivery WHERE state = 'dead'"
            until(lambda: number(path, sql) == dead, PATIENCE, "the dead letters")
            broken.unlink()
            words = ("pour", live, RATE, 2 * NODES, LIVE)
            load = threading.Thread(target=lambda: rig.load(port, *words))
            load.start()
            us.command("dead", "replay", "--all")
            began = time.monotonic()
            if kill:
                until(lambda: tally(path)[1] > dead // 3, PATIENCE, "a third of them")
                us.kill()
            else:
                until(lambda: tally(path)[1] >= dead + live, PATIENCE, "all of them")
                took = time.monotonic() - began
        if kill:
            with us:
                until(lambda: tally(path)[1] >= dead + live, PATIENCE, "all of them")
                took = time.monotonic() - began
        load.join()
        rows, different = tally(path)
        checked = [str(dead + live - different), str(rows - different), str(out_of_order(path))]
    return [
        "with a SIGKILL in it" if kill else "without trouble",
        *(f"{dead:,}", f"{live:,}", f"{took:.1f}", f"{dead / took:,.0f}"),
        *checked,
    ]


def out_of_order(path: Path) -> int:
    """Nodes whose replayed messages had their effects in another order than they came."""
    sql = (
        "SELECT count(DISTINCT node) FROM (SELECT node, seq, lag(seq) OVER (PARTITION BY node ORDER BY "
        f"rowid) AS before FROM tally_effects WHERE boot_id = '{DEAD:08x}') WHERE seq < before"
    )
    return number(path, sql)


def number(path: Path, sql: str) -> int:
    """One number of the store."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()
