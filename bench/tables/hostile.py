"""A plugin does its worst: how late is another plugin's handler called, and is anything lost?

Each deed has a gateway of its own; the one that behaves is the quiet run of the same job.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bench import rig
from bench.frame import Options, share, table

PLUGINS = Path(__file__).parents[1] / "plugins"
RATE, PROVOKED, BUDGET = 50, 10, 1.0
DEEDS = {
    "behaves": "behaves",
    "raises": "raises",
    "exits": "raises `SystemExit`",
    "hangs": "hangs, plain",
    "hangs_async": "hangs, async",
    "blocks": "blocks its loop",
    "spins": "a loop of pure Python that never ends",
    "spins_async": "the same on its event loop",
    "allocates": "allocates 1 GB, a MiB at a time",
    "allocates_at_once": "allocates 1 GB in one call into C",
    "floods_tx": "floods `tx` until it is refused",
    "fills_tx": "9,999 statements for each event",
    "comes_late": "writes after its budget",
    "forks": "forks",
    "closes_stdout": "closes stdout and stderr",
    "patches_json": "replaces functions of `json`",
    "logs": "10,000 log lines a second",
}


def run(options: Options) -> None:
    """Print it."""
    seconds = options.many(8, 1)
    deeds = ["behaves", "raises", "logs"] if options.quick else list(DEEDS)
    notes = (
        f"A witness of another plugin hears {RATE} messages a second of twenty nodes for {seconds} s, "
        f"while the hostile one is provoked {PROVOKED} times a second by twenty others; from the write "
        "of a message to the start of the witness's `async def`, ms. "
        f"`[handlers] budget = {BUDGET:g}`, the breaker opens after five failures."
    )
    head = ["a plugin that", "p50", "p99", "most", "most to quiet", "lost", "doubles", "breaker"]
    table("Hostile plugins", notes, [*head, "log, lines"], list(rows(deeds, seconds)))


def rows(deeds: list[str], seconds: int) -> Iterator[list[str]]:
    """A row for each deed; the first is the quiet one."""
    base = 0.0
    for deed in deeds:
        late, more = measure(deed, seconds)
        base = base or max(late)
        figures = [f"{value:.1f}" for value in (share(late, 0.5), share(late, 0.99), max(late))]
        yield [DEEDS[deed], *figures, f"{max(late) / base:.1f}", *more]


def measure(deed: str, seconds: int) -> tuple[list[float], list[str]]:
    """How late the witness was, and lost, doubles, the breaker and the length of the log."""
    folders = f'["{PLUGINS / "witness"}", "{PLUGINS / "hostile"}"]'
    settings = f"[plugins]\ndirs = {folders}\n[handlers]\nbudget = {BUDGET}\n"
    with rig.broker() as (broker, folder):
        us = rig.Ours(folder / "us", broker.port, settings, {"BENCH_DEED": deed})
        with us:
            found = rig.run("bench.trickle", str(broker.port), *map(str, (RATE, seconds, PROVOKED)))
            facts = us.facts()
        kept = count(
            us.state / "gateway.db", "SELECT count(*) FROM journal WHERE kind = 'provoked'"
        )
        lines = len((folder / "us" / "log").read_text(errors="replace").splitlines())
    lost = found["missing"] + found["provoked"] - kept
    if facts["plugins"]["deeds"] != "ready":
        raise RuntimeError("the hostile plugin was not there")
    shown = "off" if "deeds" in facts["switched_off"] else "closed"
    return found["ms"], [str(lost), str(found["doubles"]), shown, f"{lines:,}"]


def count(path: Path, sql: str) -> int:
    """One number of the store."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()
