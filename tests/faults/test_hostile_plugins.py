"""A plugin does its worst, and harms itself alone: no hello is lost, and nobody waits for it.

"Nobody waits" is shown by order, not by the clock: the others have all they want while the hostile one
is still at it. What one process cannot contain stands in `docs/plugins/isolation.md`.
"""

from __future__ import annotations

import re
import sqlite3
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
REGISTERED = "SELECT count(*) FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
NODES = 20

ASYNC = "import asyncio, time\n@hookimpl\nasync def node_hello(event, tx):\n    "
PLAIN = "import json, logging, os, sys, time\n@hookimpl\ndef node_hello(event, tx):\n    "

HOSTILE = {
    "raises": f"{PLAIN}raise ValueError('mine')\n",
    "raises_what_cannot_be_said": "class Mute(Exception):\n    def __str__(self):\n        sys.exit(1)\n"
    f"{PLAIN}raise Mute\n",
    "raises_what_is_no_text": f"{PLAIN}raise ValueError('\\ud800')\n",
    "exits": f"{PLAIN}raise SystemExit(3)\n",
    "exits_async": f"{ASYNC}raise SystemExit(3)\n",
    "hangs": f"{PLAIN}time.sleep(3600)\n",
    "hangs_async": f"{ASYNC}await asyncio.sleep(3600)\n",
    "blocks_its_loop": f"{ASYNC}time.sleep(3600)\n",
    # until the test is over: what is left of it would slow every later one in this process
    "spins": f"over = []\n{PLAIN}while not over: pass\n",
    "spins_async": f"over = []\n{ASYNC}while not over: pass\n",
    "bad_sql": f"{PLAIN}tx.write('insert into nowhere values (1)')\n",
    "ends_the_transaction": f"{PLAIN}tx.write('insert or rollback into node_names values (?, 0)', "
    "event.hardware_id)\n",
    "commits": f"{PLAIN}tx.write('COMMIT')\n",
    "floods_tx": f"{PLAIN}\n    for n in range(1_000_000):\n"
    "        tx.write('update nodes set name = ? where id = 0', str(n))\n",
    "fills_tx": f"{PLAIN}tx.publish_json('hydro/x', {{'a': 'x' * (20 << 20)}})\n",
    "asks_for_nonsense": f"{PLAIN}tx.publish_json('hydro/x', {{}}, qos=7)\n",
    "expires_with_a_word": f"{PLAIN}tx.publish_json('hydro/x', {{}}, expires='soon')\n",
}
"""Each fails every one of its deliveries."""


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "state" / "gateway.db", timeout=5)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def plugin(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"from gateway import hookimpl\n{body}")


SEEN = "tx.publish_json('hydro/seen/' + event.hardware_id, {'at': 1})\n"
WITNESS = f"{ASYNC}{SEEN}"
"""Another stranger's plugin, which behaves."""


def hangs_if(head: str, condition: str) -> str:
    """A plugin that hangs for good on some, and behaves otherwise."""
    return f"{head}if {condition}:\n        time.sleep(3600)\n    {SEEN}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plugin_harms_only_itself(
    make: Make, peer: Peer, tmp_path: Path, name: str
) -> None:
    """Twenty hellos are registered and receipted, and another plugin has its effects, as if the hostile
    one were not there; its own deliveries are kept for it, and the gateway stops in time."""
    folder = tmp_path / "plugins"
    plugin(folder, name, HOSTILE[name])
    plugin(folder, "witness", WITNESS)
    gateway = make(
        plugins__dirs=[str(folder)],
        handlers__budget=1.0 if "sleep" in HOSTILE[name] or "while" in HOSTILE[name] else 30.0,
        handlers__attempts=2,
        shutdown_grace=0.5,
    )
    gateway.start()
    gateway.ready(20)
    peer.listen("hydro/gh-temp/zn-temp/+/hello_ack", "hydro/seen/+")
    for number in range(NODES):
        peer.say(HELLO, hello(f"n{number}"), wait=False)
    until(lambda: len(peer.heard("hello_ack")) == NODES, 40, "twenty receipts")
    until(lambda: len(peer.heard("", at=1)) == NODES, 40, "twenty effects of the witness")
    assert rows(tmp_path, REGISTERED) == [(NODES,)]
    kept = f"SELECT count(*) FROM delivery WHERE plugin = '{name}'"
    until(lambda: rows(tmp_path, kept) == [(NODES,)], 60, "twenty kept deliveries")
    others = f"SELECT plugin, state FROM delivery WHERE plugin <> '{name}'"
    # on a machine that is busy with something else, one of the others may have been late
    until(lambda: rows(tmp_path, others) == [], 30, "nobody else's delivery open or dead")
    hook = in_plugin(gateway, name)
    began = time.monotonic()
    gateway.stop()
    hook.get("over", []).append(True)
    assert time.monotonic() - began < 30


def in_plugin(gateway: Gateway, name: str) -> dict[str, Any]:
    """The globals of a plugin that runs in this process."""
    assert gateway._engine is not None
    found: dict[str, Any] = (
        gateway._engine.registry.plugins[name].hooks["node_hello"].function.__globals__
    )
    return found


def test_what_comes_after_the_budget_changes_nothing(
    make: Make, peer: Peer, tmp_path: Path
) -> None:
    """A hook that was given up and then writes is told so, and none of its work is committed."""
    body = (
        "import time\nsaid = []\n@hookimpl\ndef node_hello(event, tx):\n"
        "    if said:\n        return\n    said.append('given up')\n    time.sleep(1.5)\n"
        "    try:\n        tx.publish_json('hydro/late', {})\n"
        "    except RuntimeError as error:\n        said.append(str(error))\n        raise\n"
    )
    plugin(tmp_path / "plugins", "sleeper", body)
    gateway = make(plugins__dirs=[str(tmp_path / "plugins")], handlers__budget=0.3)
    gateway.start()
    gateway.ready(20)
    peer.listen("hydro/late")
    peer.say(HELLO, hello("n"))
    said: list[str] = until(lambda: in_plugin(gateway, "sleeper")["said"])
    until(lambda: len(said) == 2, what="the late write")
    assert "closed" in said[1]
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [], what="its second attempt")
    assert rows(tmp_path, "SELECT * FROM outbox") == []
    assert not peer.heard("hydro/late")


def test_what_a_blocked_thread_had_not_begun_is_begun_by_the_next(
    make: Make, peer: Peer, tmp_path: Path
) -> None:
    """One event blocks the plugin's loop for good: the others that were handed to that thread run on
    the thread that takes its place."""
    plugin(tmp_path / "plugins", "stuck", hangs_if(ASYNC, "event.hardware_id == 'n0'"))
    gateway = make(
        plugins__dirs=[str(tmp_path / "plugins")],
        handlers__budget=0.5,
        handlers__attempts=1,
        shutdown_grace=0.5,
    )
    gateway.start()
    gateway.ready(20)
    peer.listen("hydro/seen/+")
    for number in range(NODES):
        peer.say(HELLO, hello(f"n{number}"), wait=False)
    until(lambda: len(peer.heard("", at=1)) >= NODES - 1, 30, "the others' effects")
    until(lambda: rows(tmp_path, "SELECT state FROM delivery") == [("dead",)], 30)
    assert len(peer.heard("", at=1)) == NODES - 1


def test_threads_that_hang_are_replaced(make: Make, peer: Peer, tmp_path: Path) -> None:
    """A plain hook that hangs for good on ten nodes, more than it has threads, still serves the rest."""
    plugin(tmp_path / "plugins", "hangs", hangs_if(PLAIN, "event.fw_version == 'bad'"))
    gateway = make(
        plugins__dirs=[str(tmp_path / "plugins")],
        handlers__budget=0.3,
        handlers__attempts=1,
        handlers__breaker_failures=100,
        shutdown_grace=0.5,
    )
    gateway.start()
    gateway.ready(20)
    peer.listen("hydro/seen/+")
    for number in range(10):
        peer.say(HELLO, hello(f"bad{number}", fw_version="bad"), wait=False)
    for number in range(NODES):
        peer.say(HELLO, hello(f"n{number}"), wait=False)
    until(lambda: len(peer.heard("", at=1)) >= NODES, 60, "the others' effects")
    assert len(peer.heard("", at=1)) == NODES


@pytest.mark.parametrize("head", [PLAIN, ASYNC], ids=["plain", "async"])
def test_a_loop_that_never_ends_is_ended(make: Make, peer: Peer, tmp_path: Path, head: str) -> None:
    """Pure Python that runs over its budget is interrupted: it does not take its turns for ever."""
    spin = (
        "ended = []\ndef spin():\n    while True: pass\n"
        f"{head}try:\n        spin()\n    finally:\n        ended.append(event)\n"
    )
    plugin(tmp_path / "plugins", "spins", spin)
    gateway = make(
        plugins__dirs=[str(tmp_path / "plugins")], handlers__budget=0.5, handlers__attempts=1
    )
    gateway.start()
    gateway.ready(20)
    for number in range(3):
        peer.say(HELLO, hello(f"n{number}"))
    ended = in_plugin(gateway, "spins")["ended"]
    until(lambda: len(ended) == 3, 60, "the end of three loops")
    until(lambda: rows(tmp_path, REGISTERED) == [(3,)], 30)
    assert len(ended) == 3, "each was begun once, and ended once"


DEEDS = {
    "forks": "\n    with open(os.environ['DEEDS'], 'a') as file:\n"
    "        child = os.fork()\n        if child:\n            file.write(f'{child} ')\n",
    "closes_stdout": "\n    sys.stdout.close()\n    sys.stderr.close()\n",
    "patches_json": "json.dumps = json.loads = json.dump = json.load = None\n",
    "allocates": "if event.hardware_id == 'n0':\n        len(b'x' * (1 << 30))\n",
    "logs": "\n    for n in range(1000):\n        logging.getLogger('mine').warning('my line %d', n)\n",
}
"""What a process can do to itself; none of these fails."""


@pytest.mark.parametrize("name", DEEDS)
def test_a_hostile_plugin_does_not_take_the_process_down(
    tmp_path: Path, broker: Mosquitto, name: str
) -> None:
    """Whatever it does to the process: all are registered, a broker that restarts is found again, an
    operator is answered, SIGTERM ends it well, and nothing holds the folder then."""
    plugin(tmp_path / "plugins", name, f"{PLAIN}{DEEDS[name]}")
    deeds = tmp_path / "deeds"
    env = {"GATEWAY__PLUGINS__DIRS": f'["{tmp_path / "plugins"}"]', "DEEDS": str(deeds)}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env).start()
    peer = Peer(broker.port)
    try:
        for number in range(NODES):
            peer.say(HELLO, hello(f"n{number}"))
        until(lambda: gateway.rows(REGISTERED) == [(NODES,)], 40)
        peer.close()
        broker.restart()
        peer = Peer(broker.port)
        until(lambda: answered(gateway)["connected"], 40, "the broker, again")
        peer.say(HELLO, hello("after"))
        until(lambda: gateway.rows(REGISTERED) == [(NODES + 1,)], 40)
        until(lambda: gateway.rows("SELECT * FROM delivery") == [], 40, "no delivery that is open")
        assert gateway.stop() == 0
        assert not [child for child in children(deeds) if is_alive(child)]
        gateway.start()
        assert gateway.stop() == 0
    finally:
        peer.close()
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()


def test_a_plugin_does_not_drown_the_log(tmp_path: Path, broker: Mosquitto, peer: Peer) -> None:
    """Of ten thousand lines at once a few are shown, the log says how many were not, and the gateway's
    own lines are there."""
    plugin(tmp_path / "plugins", "logs", f"{PLAIN}{DEEDS['logs']}")
    env = {"GATEWAY__PLUGINS__DIRS": f'["{tmp_path / "plugins"}"]'}
    with GatewayProcess(tmp_path / "state", broker.port, env=env) as gateway:
        for number in range(10):
            peer.say(HELLO, hello(f"n{number}"), wait=False)

        def left_out() -> int:
            said = re.findall(r"plugin logs: ([\d,]+) lines were left out", gateway.output)
            return sum(int(count.replace(",", "")) for count in said)

        until(lambda: left_out() + gateway.output.count("my line") == 10_000, 60, "all of them")
        assert left_out() > 5_000
        broker.restart()
        until(lambda: "broker back" in gateway.output, 40, "a line of the gateway's own")


def answered(gateway: GatewayProcess) -> dict[str, Any]:
    """What an operator sees; the command runs in a process of its own."""
    import json

    found: dict[str, Any] = json.loads(gateway.command("status", "--json").stdout)["gateway"]
    return found or {"connected": False}


def children(deeds: Path) -> list[int]:
    return [int(word) for word in deeds.read_text().split()] if deeds.exists() else []


def is_alive(pid: int) -> bool:
    """True where it runs; one that has ended and that nobody has asked for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_breaker_shows_what_cannot_be_mended(make: Make, peer: Peer, tmp_path: Path) -> None:
    """A plugin that fails each time is named with its reason where an operator looks."""
    plugin(tmp_path / "plugins", "raises", HOSTILE["raises"])
    gateway = make(plugins__dirs=[str(tmp_path / "plugins")], handlers__breaker_failures=3)
    gateway.start()
    gateway.ready(20)
    for number in range(5):
        peer.say(HELLO, hello(f"n{number}"))
    assert "ValueError: mine" in until(lambda: gateway.facts()["switched_off"].get("raises"))


@pytest.mark.parametrize("head", [PLAIN, ASYNC], ids=["plain", "async"])
def test_the_breaker_shows_who_lets_nobody_else_run(
    make: Make, peer: Peer, tmp_path: Path, head: str
) -> None:
    """Calls into C that keep Python's lock go well, and stop everybody for as long as they take: their
    effects are kept, and after a few in a row the plugin is switched off and named. No hello is lost."""
    plugin(tmp_path / "plugins", "sums", f"{head}sum(range(30_000_000))\n    {SEEN}")
    gateway = make(plugins__dirs=[str(tmp_path / "plugins")], handlers__breaker_failures=2)
    gateway.start()
    gateway.ready(20)
    peer.listen("hydro/seen/+", "hydro/gh-temp/zn-temp/+/hello_ack")
    for number in range(NODES):
        peer.say(HELLO, hello(f"n{number}"), wait=False)
    reason = until(lambda: gateway.facts()["switched_off"].get("sums"), 60, "the breaker")
    assert "let nobody else run for" in reason
    until(lambda: len(peer.heard("hello_ack")) == NODES, 60, "twenty receipts")
    kept = "SELECT count(*) FROM delivery WHERE plugin = 'sums'"
    until(
        lambda: len(peer.heard("", at=1)) + rows(tmp_path, kept)[0][0] == NODES,
        60,
        "each has had its effect, or is kept for it",
    )
