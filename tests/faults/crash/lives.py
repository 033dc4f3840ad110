"""Lives of a gateway: between them they reach every label.

A life says what happens around the gateway, not when that dies: `World` starts it again. Each life
ends at rest and is judged.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress

from tests.faults.crash.verdict import judge
from tests.faults.crash.world import World

Life = Callable[[World], None]


def working_day(world: World) -> None:
    """A node comes, is configured and beats; others say what has effects, junk, and what fails first."""
    world.start()
    world.ready()
    hardware_id = world.node()
    talker = world.talker("talker-1")
    early = world.talker("nd-early")
    early.say("heartbeat", uptime=1, free_heap=1)  # nobody knows it yet: a node with a uid alone
    early.say("tally", n=100)
    for n in range(20):
        talker.say("tally", n=n, fail=n == 3)
    talker.junk()
    world.until(
        lambda: world.gateway.rows("SELECT 1 FROM nodes WHERE uid = 'nd-early'"), "it was seen"
    )
    early.hello(hardware_id="early-board", provisioning_meta={"node_uid": "nd-early"})
    for n in range(4):
        early.say("tally", n=101 + n)
    world.push(hardware_id)
    for n in range(60):
        talker.say("tally", n=1000 + n)  # more than are kept, so that some are pruned
    world.ask("publish", topic=f"{world.root}/note", payload={"n": 1})
    world.at_rest()
    world.until(
        lambda: world.gateway.rows("SELECT count(*) FROM journal")[0][0] < 60, "it was pruned"
    )


def unclean_exit(world: World) -> None:
    """It was killed with events under way: they are tried one by one, each named before it runs."""
    world.terms.insert(0, "units.committing=kill@3")
    world.start()
    world.ready()
    talker = world.talker("talker-1")
    world.until(lambda: talker.say("tally", n=1) and world.hit, "it was killed")
    world.at_rest()


def fewer_filters(world: World) -> None:
    """A plugin is gone, and what only it wanted is not asked for any more."""
    world.env["GATEWAY__PLUGINS__DISABLED"] = "[]"
    terms, world.terms = world.terms, []
    world.start()
    world.ready()
    world.stop()
    world.terms = terms
    world.start(GATEWAY__PLUGINS__DISABLED='["tally"]')
    world.ready()


def backups(world: World) -> None:
    """A backup by the clock, while something happens."""
    world.env["GATEWAY__BACKUP__EVERY"] = "0.2"
    world.start()
    world.ready()
    talker = world.talker("talker-1")
    folder = world.folder / "state" / "backups"
    world.until(lambda: talker.say("tally", n=1) and list(folder.glob("*.zip")), "a backup")
    world.at_rest()


def damaged(world: World) -> None:
    """The database is damaged; the gateway goes back to its last backup and takes over what waits."""
    world.env["GATEWAY__BACKUP__EVERY"] = "0.2"
    terms, world.terms = world.terms, []
    world.start()
    world.ready()
    folder = world.folder / "state" / "backups"
    world.until(lambda: list(folder.glob("*.zip")), "a backup")
    world.stop()
    path = world.folder / "state" / "gateway.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path.write_bytes(b"my notes\n" * 5000)
    world.terms = terms
    world.start()
    world.ready()
    talker = world.talker("talker-1")
    talker.say("tally", n=1)
    world.at_rest()


def full_disk(world: World) -> None:
    """No file may grow for a moment: nothing is acknowledged, and then it goes on by itself."""
    world.start()
    world.ready()
    talker = world.talker("talker-1")
    talker.say("tally", n=0)
    world.at_rest()
    starts, process = world.starts, world.gateway.process
    assert process is not None
    wal = world.folder / "state" / "gateway.db-wal"
    _limit(process.pid, wal.stat().st_size)
    talker.say("tally", n=1)
    world.until(
        lambda: "cannot be written" in world.gateway.whole_log() or world.starts > starts,
        "it says so, or was killed",
    )
    if world.starts == starts:
        _limit(process.pid, resource.RLIM_INFINITY)
    world.at_rest()


def _limit(pid: int, size: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def embedded(world: World) -> None:
    """The gateway brings its own broker, which dies with it; a node registers through it."""
    world.broker_mode = "embedded"
    world.start()
    world.ready()
    port = int((world.folder / "state" / "broker" / "port").read_text())
    world.push(world.node(port=port))


def restored(world: World) -> None:
    """A backup is put back by hand, and that is killed; it can be done again."""
    terms, world.terms = world.terms, []
    world.start()
    world.ready()
    world.stop()
    out = str(world.folder / "mine.zip")
    assert world.gateway.command("backup", "create", "-o", out).returncode == 0
    world.terms = terms
    world.run("backup", "restore", out, "--force")
    world.start()
    world.ready()


LIVES: tuple[Life, ...] = (
    working_day, unclean_exit, fewer_filters, backups, damaged, full_disk, embedded, restored,
)  # fmt: skip


def live(life: Life, world: World) -> list[str]:
    """Live it to its end and judge it; returns the terms that struck."""
    try:
        life(world)
        if world.fleet is not None:
            world.fleet.stop()
        world.stop()
        judge(world)
    finally:
        world.close()
    world.remove()
    return world.hit
