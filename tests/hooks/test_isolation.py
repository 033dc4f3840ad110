"""A plugin cannot take the host down: it raises, exits, hangs or blocks, and only it is harmed."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"
STRANGER = Path(__file__).parents[1] / "fixtures" / "plugins"

HOSTILE = {
    "raises": "def node_hello(event):\n    raise ValueError('mine')\n",
    "exits": "def node_hello(event):\n    raise SystemExit(3)\n",
    "exits_async": "async def node_hello(event):\n    raise SystemExit(3)\n",
    "hangs_async": "import asyncio\n@hookimpl\nasync def node_hello(event):\n"
    "    await asyncio.sleep(3600)\n",
    "hangs": "import time\n@hookimpl\ndef node_hello(event):\n    time.sleep(3600)\n",
    "blocks_its_loop": "import time\n@hookimpl\nasync def node_hello(event):\n    time.sleep(3600)\n",
    "bad_sql": "def node_hello(event, tx):\n    tx.write('insert into nowhere values (1)')\n",
}


HARMLESS = "def node_hello(event):\n    pass\n"


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "state" / "gateway.db", timeout=5)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def plugin(folder: Path, name: str, body: str) -> str:
    folder.mkdir(exist_ok=True)
    mark = "" if "@hookimpl" in body else "@hookimpl\n"
    (folder / f"{name}.py").write_text(f"from gateway import hookimpl\n{mark}{body}")
    return str(folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plugin_harms_only_itself(
    make: Make, peer: Peer, tmp_path: Path, name: str
) -> None:
    """Twenty hellos are registered and receipted as if the hostile plugin were not there, its own
    deliveries are kept for it, and the gateway stops in time."""
    folder = plugin(tmp_path / "plugins", name, HOSTILE[name])
    gateway = make(
        plugins__dirs=[folder], handlers__budget=0.3, handlers__attempts=2, shutdown_grace=0.5
    )
    gateway.start()
    gateway.ready(10)
    peer.listen("hydro/gh-temp/zn-temp/+/hello_ack")
    for number in range(20):
        peer.say(HELLO, hello(f"n{number}"), wait=False)
    until(lambda: len(peer.heard("hello_ack")) == 20, 20, "twenty receipts")
    registered = "SELECT count(*) FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
    assert rows(tmp_path, registered) == [(20,)]
    kept = f"SELECT count(*) FROM delivery WHERE plugin = '{name}'"
    until(lambda: rows(tmp_path, kept) == [(20,)], 20, "twenty kept deliveries")
    assert rows(tmp_path, f"SELECT 1 FROM delivery WHERE plugin <> '{name}'") == []
    began = time.monotonic()
    gateway.stop()
    assert time.monotonic() - began < 10


def test_a_plugin_that_keeps_failing_is_switched_off_visibly(
    make: Make, peer: Peer, tmp_path: Path
) -> None:
    """After failures in a row the breaker opens, nothing is lost, and a reset lets it go on."""
    folder = plugin(tmp_path / "plugins", "weather", HOSTILE["raises"])
    gateway = make(plugins__dirs=[folder], handlers__breaker_failures=3)
    gateway.start()
    gateway.ready(10)
    for number in range(10):
        peer.say(HELLO, hello(f"n{number}"))
    off = until(lambda: gateway.facts()["switched_off"])
    assert "ValueError: mine" in off["weather"]
    until(lambda: rows(tmp_path, "SELECT count(*) FROM delivery") == [(10,)])


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


def test_work_is_left_behind_no_thread(make: Make, peer: Peer) -> None:
    """After a stop no thread of the gateway runs on."""
    gateway = make()
    gateway.start()
    gateway.ready(10)
    peer.say(HELLO, hello("n"))
    gateway.stop()
    until(lambda: not [t.name for t in threading.enumerate() if t.name.startswith("gateway")])


def test_an_event_that_ends_the_process_is_given_up(
    tmp_path: Path, broker: Mosquitto, peer: Peer
) -> None:
    """A plugin that ends the process on one message does so three times and no more: then the message
    is a dead letter, everybody else's have been worked on, and the gateway stays up. With a mended
    plugin a replay brings it back."""
    body = (
        "import os\n@hookimpl\ndef node_hello(event):\n"
        "    if event.hardware_id == 'killer':\n        os._exit(9)\n"
    )
    folder = plugin(tmp_path / "plugins", "exits_hard", body)
    env = {"GATEWAY__PLUGINS__DIRS": f'["{folder}"]'}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env).start()
    peer.say(HELLO, hello("before"))
    peer.say(HELLO, hello("killer"))
    for _ in range(6):
        assert gateway.process is not None
        try:
            gateway.process.wait(3)
        except subprocess.TimeoutExpired:
            break
        gateway.start(wait=False)
    try:
        peer.say(HELLO, hello("after"))
        until(lambda: gateway.node("after"))
        assert gateway.node("before")
        why = gateway.rows("SELECT error FROM delivery WHERE state = 'dead'")
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
