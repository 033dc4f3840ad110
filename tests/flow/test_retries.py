"""Deliveries that go on alone: in order for their (node, plugin), each called once, none forgotten."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway.failpoint import arm
from gateway.store import journal
from gateway.store.commands import CommandFile
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"


@pytest.fixture
def late_answers() -> Iterator[None]:
    """A commit is on disk long before the gateway's loop hears of it."""
    arm("writer.committed=sleep:200@1+")
    yield
    arm("")


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "state" / "gateway.db", timeout=5)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def plugin(tmp_path: Path, name: str, body: str) -> list[str]:
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"from gateway import hookimpl\n{body}")
    return [str(folder)]


def running(make: Make, **more: Any) -> Gateway:
    gateway = make(**more)
    gateway.start()
    gateway.ready(20)
    return gateway


def order(tmp_path: Path, gateway: Gateway, verb: str, **args: object) -> dict[str, Any]:
    """What an operator asks for through `commands.db`, and the answer."""
    number = CommandFile(tmp_path / "state" / "commands.db").put(verb, "", args)
    assert gateway._engine is not None
    reader = gateway._engine.opened.reader
    answer: dict[str, Any] = until(lambda: reader.answer(number), what=f"an answer to {verb}")
    return answer


BAD_SQL = (
    "@hookimpl\ndef node_hello(event, tx):\n"
    "    if event.fw_version == 'bad':\n        tx.write('insert into nowhere values (1)')\n"
)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_statement_that_fails_for_good_leaves_nothing_behind(
    make: Make, peer: Peer, tmp_path: Path, attempts: int
) -> None:
    """After its dead letter the plugin is called for the node's next event as if nothing had been."""
    gateway = running(
        make, plugins__dirs=plugin(tmp_path, "stats", BAD_SQL), handlers__attempts=attempts
    )
    peer.say(HELLO, hello("n", fw_version="bad"))
    until(lambda: rows(tmp_path, "SELECT attempts FROM delivery WHERE state = 'dead'"))
    until(lambda: gateway.facts()["retrying"] == 0, what="no key of a delivery that is over")
    peer.say(HELLO, hello("n", fw_version="good"))
    until(
        lambda: rows(tmp_path, "SELECT count(*) FROM journal WHERE kind = 'node_hello'")[0] == (2,)
    )
    until(lambda: gateway.left == 0)
    assert rows(tmp_path, "SELECT state, attempts FROM delivery") == [("dead", attempts)]


@pytest.mark.usefixtures("late_answers")
def test_a_late_call_is_made_once(make: Make, peer: Peer) -> None:
    """Its row is on disk before the gateway's loop has heard of the commit: nobody calls again."""
    calls: list[bytes] = []
    gate = threading.Event()

    async def handle(_topic: str, payload: bytes) -> None:
        calls.append(payload)
        while not gate.is_set():  # noqa: ASYNC110 - the gate is a thread's
            await asyncio.sleep(0.01)

    gateway = make()
    gateway.subscribe(HELLO, handle, name="slow")
    gateway.start()
    gateway.ready(20)
    peer.say(HELLO, hello("n"))
    until(lambda: gateway.facts()["retrying"] == 1, what="a call that is late")
    until(lambda: gateway.facts()["events"] >= 1, what="the others' commit")
    gate.set()
    until(lambda: gateway.facts()["retrying"] == 0, what="its end")
    assert len(calls) == 1


PATIENT = """
import asyncio, os
@hookimpl
async def node_hello(event, tx):
    while not os.path.exists({gate!r}):
        await asyncio.sleep(0.01)
    tx.set_node(name="tank")
"""


@pytest.mark.usefixtures("late_answers")
def test_a_late_call_leaves_what_came_meanwhile(make: Make, peer: Peer, tmp_path: Path) -> None:
    """It ends while another commit of its node is under way: what that one said of the node stays, in
    memory too. A node was taken for online there, was offline on disk, and stayed so for ever."""
    gate = tmp_path / "gate"
    body = PATIENT.format(gate=str(gate))
    gateway = running(make, plugins__dirs=plugin(tmp_path, "patient", body))
    peer.say(HELLO, hello("n", boot_id="b1b1b1b1", seq=1))
    until(lambda: gateway.facts()["retrying"] == 1, what="a call that is late")
    life = "SELECT life FROM nodes"
    until(lambda: rows(tmp_path, life) == [("online",)], what="the node online")
    until(lambda: gateway.left == 0, what="nothing else under way")
    peer.say("hydro/gh-temp/zn-temp/n/lwt", {"status": "OFFLINE", "boot_id": "b1b1b1b1"})
    until(lambda: rows(tmp_path, life) == [("offline",)], what="the will on disk")
    gate.touch()  # the gateway's loop has not heard of that commit yet
    until(lambda: rows(tmp_path, "SELECT name FROM nodes") == [("tank",)], what="the late effect")
    until(lambda: gateway.facts()["retrying"] == 0, what="its end")
    assert gateway._engine is not None
    node = gateway._engine.opened.roster.find("n")
    assert node is not None
    assert (node.life, node.name) == ("offline", "tank")
    assert rows(tmp_path, life) == [("offline",)]


FUSSY = (
    "seen = []\n@hookimpl\ndef node_hello(event, tx):\n    seen.append(1)\n"
    "    if len(seen) < 3:\n        raise ValueError('not yet')\n"
    "    tx.publish_json('hydro/fussy', {'at': len(seen)})\n"
)


def test_a_retry_survives_its_nodes_new_name(make: Make, peer: Peer, tmp_path: Path) -> None:
    """A node known by its uid says who it is, which makes another lane of it; what failed on that
    very event is tried again there."""
    gateway = running(make, plugins__dirs=plugin(tmp_path, "fussy", FUSSY))
    peer.listen("hydro/fussy")
    peer.say("hydro/gh-1/zn-1/nd-ph-1/heartbeat", {"uptime": 5, "free_heap": 1000})
    until(lambda: rows(tmp_path, "SELECT uid FROM nodes") == [("nd-ph-1",)], what="the beat's node")
    peer.say(HELLO, hello("esp32-1", node_uid="nd-ph-1"))
    until(lambda: peer.heard("hydro/fussy"), what="the third attempt")
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [])
    assert gateway.facts()["retrying"] == 0


def test_rows_find_the_lane_that_their_node_has_by_now(tmp_path: Path) -> None:
    """A delivery that is written under a name of yesterday lies where it will be looked for."""
    from gateway.api import Node
    from gateway.store import migrations, nodes
    from gateway.store.sqlite import open_writer

    db = open_writer(tmp_path / "gateway.db")
    migrations.migrate_core(db)
    nodes.write(db, Node(id=1, known=False), Node(id=1, uid="nd-1", hardware_id="ESP32-1"))
    journal.put_delivery(db, journal.Delivery(7, "stats", "nd-1", "open", 1, 0.0, ""))
    assert journal.head_delivery(db, "esp32-1", "stats") is not None
    db.close()


def test_a_store_that_cannot_be_read_for_a_while_ends_no_retry(
    make: Make, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While reading fails nothing is tried and nothing is counted; afterwards it goes on by itself."""
    gateway = running(make, plugins__dirs=plugin(tmp_path, "fussy", FUSSY))
    peer.listen("hydro/fussy")
    real, failures = journal.head_delivery, [0]

    def broken(*args: Any) -> Any:
        failures[0] += 1
        if failures[0] <= 2:
            raise sqlite3.OperationalError("disk I/O error")
        return real(*args)

    monkeypatch.setattr(journal, "head_delivery", broken)
    peer.say(HELLO, hello("n"))
    until(lambda: peer.heard("hydro/fussy", at=3), what="the third attempt")
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [])
    assert gateway.facts()["retrying"] == 0


def test_a_read_that_the_disk_does_not_answer_is_nobodys_attempt(
    make: Make, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that fails because `tx.read` met a broken disk is tried for ever, not five times."""
    from gateway.errors import StoreTroubleError
    from gateway.store.reader import Reader

    body = "@hookimpl\ndef node_hello(event, tx):\n    tx.read('SELECT 1 -- mine')\n"
    real, failures = Reader.tuples, [0]

    def broken(self: Reader, sql: str, *params: object) -> Any:
        if "mine" in sql and (failures := _count(failures_box)) <= 4:
            raise StoreTroubleError(f"the store cannot answer ({failures})")
        return real(self, sql, *params)

    failures_box = failures
    monkeypatch.setattr(Reader, "tuples", broken)
    gateway = running(make, plugins__dirs=plugin(tmp_path, "reads", body), handlers__attempts=2)
    peer.say(HELLO, hello("n"))
    until(lambda: failures[0] == 5, what="the fifth read")
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [])
    assert gateway.facts()["switched_off"] == {}


def _count(box: list[int]) -> int:
    box[0] += 1
    return box[0]


@pytest.mark.parametrize("gather", [0.05, 30.0])
def test_a_replay_waits_for_the_call_that_is_under_way(
    make: Make, peer: Peer, tmp_path: Path, gather: float
) -> None:
    """Dead messages of a node run in their order, one at a time, behind what runs already and before
    what comes later; only they are marked as replayed."""
    calls: list[tuple[str, str]] = []
    broken, gate = threading.Event(), threading.Event()
    broken.set()

    async def handle(_topic: str, payload: bytes) -> None:
        name = next(n for n in ("v1", "v2", "v3", "v4") if n.encode() in payload)
        calls.append(("begin", name))
        while name == "v3" and not gate.is_set():  # noqa: ASYNC110 - the gate is a thread's
            await asyncio.sleep(0.01)
        calls.append(("end", name))
        if broken.is_set():
            raise ValueError("not yet")

    gateway = make(handlers__attempts=1, handlers__breaker_failures=50, handlers__gather=gather)
    gateway.subscribe(HELLO, handle, name="h")
    gateway.start()
    gateway.ready(20)
    for version in ("v1", "v2"):
        peer.say(HELLO, hello("n", fw_version=version))
    until(lambda: rows(tmp_path, "SELECT count(*) FROM delivery WHERE state = 'dead'") == [(2,)])
    broken.clear()
    peer.say(HELLO, hello("n", fw_version="v3"))
    until(lambda: ("begin", "v3") in calls)
    assert order(tmp_path, gateway, "dead.replay", all=True)["result"] == {"replayed": 2}
    peer.say(HELLO, hello("n", fw_version="v4"))
    until(lambda: gateway.facts()["counts"]["journaled"] == 4)
    gate.set()
    until(lambda: ("end", "v4") in calls)
    assert [name for what, name in calls[4:] if what == "begin"] == ["v3", "v1", "v2", "v4"]
    assert [what for what, _ in calls[4:]] == ["begin", "end"] * 4
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [])
    marked = rows(tmp_path, "SELECT flags & 4 FROM journal WHERE kind = 'node_hello' ORDER BY id")
    assert marked == [(4,), (4,), (0,), (0,)]


SLOW = """
import time
from typing import ClassVar
from gateway import Command, Manifest
class Brew(Command, kw_only=True):
    kind: ClassVar[str] = "coffee.brew"
    cups: int = 1
@hookimpl
def manifest():
    return Manifest(version="1", commands=(Brew,))
@hookimpl
def node_message(event, tx):
    time.sleep(0.4)
    if event.cups > 9:
        raise ValueError("too many cups")
    tx.answer({"cups": event.cups})
"""


def test_a_command_that_takes_its_time_is_answered_when_it_is_done(
    make: Make, tmp_path: Path
) -> None:
    """Its plugin is late, or busy with an earlier command of the same node: the answer is what it says
    in the end, and one that fails then says so and is not tried again."""
    gateway = running(make, plugins__dirs=plugin(tmp_path, "barista", SLOW), handlers__gather=0.05)
    file = CommandFile(tmp_path / "state" / "commands.db")
    asked = {cups: file.put("coffee.brew", "", {"cups": cups}) for cups in (1, 2, 10, 3)}
    assert gateway._engine is not None
    reader = gateway._engine.opened.reader
    found = {cups: until(lambda n=n: reader.answer(n)) for cups, n in asked.items()}  # type: ignore[misc] # bound at once
    assert [found[cups] for cups in (1, 2, 3)] == [
        {"ok": True, "result": {"cups": cups}} for cups in (1, 2, 3)
    ]
    assert not found[10]["ok"]
    assert "too many cups" in found[10]["result"]["error"]
    until(lambda: gateway.left == 0)
    assert rows(tmp_path, "SELECT * FROM delivery") == []


def test_a_power_cut_in_a_replay_is_not_its_last_attempt(
    tmp_path: Path, broker: Mosquitto, peer: Peer
) -> None:
    """Even where one attempt is all a plugin has: what was under way is tried again by the next start."""
    broken = tmp_path / "broken"
    broken.touch()
    body = (
        "@hookimpl\ndef node_hello(event, tx):\n    import pathlib\n"
        f"    if pathlib.Path({str(broken)!r}).exists():\n        raise RuntimeError('broken')\n"
        "    tx.publish_json('hydro/seen', {'at': 1})\n"
    )
    (folder,) = plugin(tmp_path, "breaks", body)
    env = {"GATEWAY__PLUGINS__DIRS": json.dumps([folder]), "GATEWAY__HANDLERS__ATTEMPTS": "1"}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env).start()
    try:
        peer.listen("hydro/seen")
        peer.say(HELLO, hello("n"))
        until(lambda: gateway.rows("SELECT state FROM delivery") == [("dead",)])
        assert gateway.stop() == 0
        broken.unlink()
        gateway.env["HELLOGATE_FAILPOINT"] = "retry.written=kill"
        gateway.start()
        gateway.command("dead", "replay", "--all")
        assert gateway.process is not None
        gateway.process.wait(30)
        del gateway.env["HELLOGATE_FAILPOINT"]
        gateway.start()
        until(lambda: peer.heard("seen"))
        assert gateway.rows("SELECT * FROM delivery") == []
        assert gateway.stop() == 0
    finally:
        gateway.kill()
