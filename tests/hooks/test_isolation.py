"""A plugin cannot take the host down: it raises, exits, hangs or blocks, and only it is harmed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import Gateway
from gateway.failpoint import arm
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"
STRANGER = Path(__file__).parents[1] / "fixtures" / "plugins"

RAISES = "def node_hello(event):\n    raise ValueError('mine')\n"
HARMLESS = "def node_hello(event):\n    pass\n"


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "state" / "gateway.db", timeout=5)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def has_ended(gateway: GatewayProcess) -> bool:
    assert gateway.process is not None
    return gateway.process.poll() is not None


def plugin(folder: Path, name: str, body: str) -> str:
    folder.mkdir(exist_ok=True)
    mark = "" if "@hookimpl" in body else "@hookimpl\n"
    (folder / f"{name}.py").write_text(f"from gateway import hookimpl\n{mark}{body}")
    return str(folder)


def test_a_plugin_that_keeps_failing_is_switched_off_visibly(
    make: Make, peer: Peer, tmp_path: Path
) -> None:
    """After failures in a row the breaker opens, nothing is lost, and a reset lets it go on."""
    folder = plugin(tmp_path / "plugins", "weather", RAISES)
    gateway = make(plugins__dirs=[folder], handlers__breaker_failures=3)
    gateway.start()
    gateway.ready(10)
    for number in range(10):
        peer.say(HELLO, hello(f"n{number}"))
    off = until(lambda: gateway.facts()["switched_off"])
    assert "ValueError: mine" in off["weather"]
    until(lambda: rows(tmp_path, "SELECT count(*) FROM delivery") == [(10,)])


def test_nothing_is_begun_after_the_goodbye(make: Make, peer: Peer, tmp_path: Path) -> None:
    """What the grace of a stop was too short for waits for the next start, and is nobody's failure."""
    slow = "import asyncio\n@hookimpl\nasync def shutdown(gateway):\n    await asyncio.sleep(1.5)\n"
    folder = plugin(tmp_path / "plugins", "slow", slow)  # the others have had theirs meanwhile
    gateway = make(shutdown_grace=1.5, handlers__gather=0.001, plugins__dirs=[folder])
    gateway.start()
    gateway.ready(20)
    arm("hook.before=sleep:20@1+")  # so that all are late, and go on alone
    try:
        for number in range(100):
            said = hello(f"node-{number % 20}", boot_id=f"{number // 20:08x}", seq=1)
            peer.say(HELLO, said, wait=number == 99)
        until(lambda: gateway.facts()["counts"].get("journaled", 0) == 100, what="100 rows")
        gateway.stop()
    finally:
        arm("")
    assert rows(tmp_path, "SELECT plugin, error FROM delivery WHERE error <> ''") == []
    assert rows(tmp_path, "SELECT count(*) > 0 FROM journal WHERE state = 0") == [(1,)]
    again = make()
    again.start()
    left = (
        "SELECT (SELECT count(*) FROM journal WHERE state <> 1) + (SELECT count(*) FROM delivery)"
    )
    until(lambda: rows(tmp_path, left) == [(0,)], 60, "no work left")
    assert rows(tmp_path, "SELECT count(*) FROM nodes") == [(20,)]


def test_a_late_plugin_delays_nobody(make: Make, peer: Peer, tmp_path: Path) -> None:
    """What takes longer than `gather` goes on alone: the receipt does not wait for it, and its own
    effects are committed when it is done."""
    body = (
        "import asyncio\n@hookimpl\nasync def node_hello(event, tx):\n"
        "    await asyncio.sleep(0.5)\n    tx.publish_json('hydro/late', {'ok': 1})\n"
    )
    gateway = make(plugins__dirs=[plugin(tmp_path / "plugins", "slow", body)])
    gateway.start()
    gateway.ready(10)
    peer.listen("hydro/gh-temp/zn-temp/+/hello_ack", "hydro/late")
    peer.say(HELLO, hello("late"))
    until(lambda: peer.heard("hello_ack"))
    assert not peer.heard("hydro/late")
    until(lambda: peer.heard("hydro/late"))
    until(lambda: rows(tmp_path, "SELECT count(*) FROM delivery") == [(0,)])


def test_a_strangers_plugin_has_its_table_and_its_kind(
    make: Make, peer: Peer, tmp_path: Path
) -> None:
    """One file, dropped into a folder: its hooks are called, its table is made, its kind arrives."""
    gateway = make(plugins__dirs=[str(STRANGER)])
    gateway.start()
    gateway.ready(10)
    peer.say(HELLO, hello("gate", capabilities=["door"]))
    until(lambda: rows(tmp_path, "SELECT 1 FROM nodes"))
    peer.say("hydro/gh-temp/zn-temp/gate/door", {"door": "front"})
    found = until(
        lambda: (r := rows(tmp_path, "SELECT what FROM door_sensor_events")) and len(r) == 2 and r
    )
    assert len(found) == 2


def threads_beside(others: set[threading.Thread]) -> list[str]:
    """The names of threads that are not among these."""
    return [thread.name for thread in threading.enumerate() if thread not in others]


def test_work_is_left_behind_no_thread(make: Make, peer: Peer) -> None:
    """After a stop no thread of the gateway runs on; one that hangs for another test is not of it."""
    others = set(threading.enumerate())
    gateway = make()
    gateway.start()
    gateway.ready(10)
    peer.say(HELLO, hello("n"))
    gateway.stop()
    until(lambda: not [t for t in threads_beside(others) if t.startswith("gateway")])
    assert not [t for t in threads_beside(others) if t.startswith("plugins-")]


def test_an_event_that_ends_the_process_is_given_up(
    tmp_path: Path, broker: Mosquitto, peer: Peer
) -> None:
    """A plugin that ends the process on one message does so three times with its name written down, and
    no more: then the message is a dead letter, everybody else's have been worked on, and the gateway
    stays up. With a mended plugin a replay brings it back."""
    body = (
        "import os\n@hookimpl\ndef node_hello(event):\n"
        "    if event.hardware_id == 'killer':\n        os._exit(9)\n"
    )
    folder = plugin(tmp_path / "plugins", "exits_hard", body)
    env = {"GATEWAY__PLUGINS__DIRS": f'["{folder}"]'}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env).start()
    peer.say(HELLO, hello("before"))
    peer.say(HELLO, hello("killer"))
    dead = "SELECT error FROM delivery WHERE state = 'dead'"
    ends = 0
    while until(lambda: gateway.rows(dead) or has_ended(gateway), 60, "its next end") is True:
        ends += 1
        gateway.start(wait=False)
    try:
        assert ends == 4  # the first end names nobody
        peer.say(HELLO, hello("after"))
        until(lambda: gateway.node("after"))
        assert gateway.node("before")
        why = gateway.rows(dead)
        assert len(why) == 1
        assert "ended the gateway" in why[0][0]
        plugin(tmp_path / "plugins", "exits_hard", HARMLESS)
        assert gateway.stop() == 0
        gateway.start()
        assert gateway.command("dead", "replay", "--all").returncode == 0
        until(lambda: gateway.node("killer"))
        assert gateway.rows("SELECT * FROM delivery") == []
    finally:
        gateway.kill()
