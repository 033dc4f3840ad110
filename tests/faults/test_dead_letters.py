"""Dead letters under load: a replay of all of them loses nothing, and the order rule holds."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway import Gateway
from gateway.store.commands import CommandFile
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
HELLO = "hydro/node_hello"
NODES, EACH = 20, 25


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "state" / "gateway.db", timeout=5)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


class Picky:
    """A handler that fails until it is mended; notes what it has done, in order."""

    def __init__(self) -> None:
        self.broken = threading.Event()
        self.broken.set()
        self.done: list[tuple[str, int]] = []

    async def __call__(self, _topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        if self.broken.is_set():
            raise ValueError("no database")
        self.done.append((message["hardware_id"], int(message["fw_version"])))


def say(peer: Peer, first: int, last: int) -> None:
    for number in range(first, last):
        for node in range(NODES):
            more = {"fw_version": str(number), "boot_id": "00000001", "seq": number + 1}
            peer.say(HELLO, hello(f"n{node:02}", **more), wait=False)


def test_a_replay_of_all_under_load_loses_nothing(make: Make, peer: Peer, tmp_path: Path) -> None:
    """Five hundred dead letters of twenty nodes go through again while five hundred new messages of the
    same nodes come in: each succeeds once, the dead ones of a node in their order and in one piece."""
    picky = Picky()
    gateway = make(handlers__attempts=1, handlers__breaker_failures=1_000_000)
    gateway.subscribe(HELLO, picky, name="picky")
    gateway.start()
    gateway.ready(20)
    say(peer, 0, EACH)
    dead = "SELECT count(*) FROM delivery WHERE state = 'dead'"
    until(lambda: rows(tmp_path, dead) == [(NODES * EACH,)], 60, "five hundred dead letters")
    picky.broken.clear()
    say(peer, EACH, EACH + 3)
    number = CommandFile(tmp_path / "state" / "commands.db").put("dead.replay", "", {"all": True})
    say(peer, EACH + 3, 2 * EACH)
    assert gateway._engine is not None
    reader = gateway._engine.opened.reader
    answer = until(lambda: reader.answer(number), 30, "an answer")
    assert answer["result"] == {"replayed": NODES * EACH}
    until(lambda: len(picky.done) >= 2 * NODES * EACH, 60, "all of them")
    assert len(picky.done) == len(set(picky.done)) == 2 * NODES * EACH
    until(lambda: rows(tmp_path, "SELECT * FROM delivery") == [])
    for node in range(NODES):
        mine = [n for name, n in picky.done if name == f"n{node:02}"]
        replayed = [place for place, n in enumerate(mine) if n < EACH]
        assert [mine[place] for place in replayed] == list(range(EACH))
        assert all(after - before == 1 for before, after in pairwise(replayed))
        live = [n for n in mine if n >= EACH]
        assert live == sorted(live)
