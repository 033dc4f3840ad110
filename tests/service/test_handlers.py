"""The fallback path, where the project comes from: handlers run, loop or no loop, and succeed once."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import Gateway
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
TOPIC = "hydro/node_hello"
WARNING = (
    "No running event loop found for topic hydro/node_hello. Creating new event loop for fallback "
    "execution to avoid dropped messages."
)
STARTED = "Started fallback execution thread for topic hydro/node_hello"


class Ran:
    """An async handler that notes where it ran; one lock for all messages."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.payloads: list[bytes] = []
        self.lock = asyncio.Lock()

    async def __call__(self, _topic: str, payload: bytes) -> None:
        async with self.lock:
            await asyncio.sleep(0.001)
            self.threads.append(threading.current_thread().name)
            self.loops.append(asyncio.get_running_loop())
            self.payloads.append(payload)


def say(peer: Peer, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        peer.say(TOPIC, hello(f"n{number}"))


def test_no_loop_at_all(make: Make, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    """Without any loop the one fallback loop runs all, and says so once, word for word."""
    ran = Ran()
    gateway = make()
    gateway.subscribe(TOPIC, ran, name="ran")
    with caplog.at_level(logging.DEBUG, "gateway.service.handlers"):
        gateway.start()
        gateway.ready(10)
        say(peer, 5)
        until(lambda: len(ran.payloads) == 5)
    assert set(ran.threads) == {"gateway-fallback"}
    assert len(set(map(id, ran.loops))) == 1
    records = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert records.count(("WARNING", WARNING)) == 1
    assert records.count(("INFO", STARTED)) == 1
    executed = "Handler executed in fallback event loop for topic hydro/node_hello"
    until(lambda: [r.getMessage() for r in caplog.records].count(executed) == 5)


def test_the_hosts_loop_while_it_runs(make: Make, peer: Peer) -> None:
    """With `async with` the handlers run on the application's loop."""
    ran = Ran()

    async def application() -> None:
        async with make() as gateway:
            gateway.subscribe(TOPIC, ran, name="ran")
            await asyncio.to_thread(gateway.ready, 10)
            await asyncio.to_thread(say, peer, 5)
            await asyncio.to_thread(until, lambda: len(ran.payloads) == 5)
            assert set(map(id, ran.loops)) == {id(asyncio.get_running_loop())}

    asyncio.run(application())
    assert set(ran.threads) == {threading.current_thread().name}


def test_a_loop_that_does_not_run_yet_or_any_more(
    make: Make, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    """A host loop that never runs, stops, or is closed: the handler moves to the fallback loop once
    and for good, and every message succeeds once."""
    loop = asyncio.new_event_loop()
    ran = Ran()
    gateway = make()
    gateway.subscribe(TOPIC, ran, name="ran", loop=loop)
    gateway.start()
    gateway.ready(10)
    say(peer, 2)
    until(lambda: len(ran.payloads) == 2, 10, "the move to the fallback loop")
    loop.run_until_complete(asyncio.sleep(0.01))  # it runs now, too late: nothing runs twice
    loop.close()
    say(peer, 3, first=2)
    until(lambda: len(ran.payloads) == 5)
    assert set(ran.threads) == {"gateway-fallback"}
    assert sum("moves to the fallback" in r.getMessage() for r in caplog.records) == 1
    assert len(set(ran.payloads)) == 5


def test_subscribed_from_another_thread_while_it_runs(make: Make, peer: Peer) -> None:
    """A handler may be added from any thread at any time."""
    ran = Ran()
    gateway = make()
    gateway.start()
    gateway.ready(10)
    thread = threading.Thread(target=gateway.subscribe, args=(TOPIC, ran), kwargs={"name": "late"})
    thread.start()
    thread.join(10)
    say(peer, 3)
    until(lambda: len(ran.payloads) >= 3)
    assert len(set(ran.payloads)) == len(ran.payloads) == 3


def test_plain_functions_may_block(make: Make, peer: Peer) -> None:
    """A plain function runs on a thread of its own pool, in the order of its node."""
    seen: list[tuple[str, bytes]] = []

    def handle(_topic: str, payload: bytes) -> None:
        time.sleep(0.01)
        seen.append((threading.current_thread().name, payload))

    gateway = make()
    gateway.subscribe(TOPIC, handle, name="plain")
    gateway.start()
    gateway.ready(10)
    for number in range(4):
        peer.say(TOPIC, hello("same", fw_version=str(number)))
    until(lambda: len(seen) == 4)
    assert all(name != "gateway" for name, _ in seen)
    assert [json.loads(payload)["fw_version"] for _, payload in seen] == ["0", "1", "2", "3"]


def test_order_within_a_node_and_side_by_side_between(make: Make, peer: Peer) -> None:
    """A slow node's messages stay in order and hold nobody else up."""
    seen: list[tuple[str, str]] = []
    gate = threading.Event()

    async def handle(_topic: str, payload: bytes) -> None:
        name = "slow" if b'"slow"' in payload else "quick"
        if name == "slow":
            while not gate.is_set():  # noqa: ASYNC110 - the gate is a thread's
                await asyncio.sleep(0.01)
        seen.append((name, payload.decode()))

    gateway = make()
    gateway.subscribe(TOPIC, handle, name="mixed")
    gateway.start()
    gateway.ready(10)
    for number in range(3):
        peer.say(TOPIC, hello("slow", fw_version=f"s{number}"))
    peer.say(TOPIC, hello("quick"))
    until(lambda: [name for name, _ in seen] == ["quick"])
    gate.set()
    until(lambda: len(seen) == 4)
    order = [text for name, text in seen if name == "slow"]
    assert ["s0" in order[0], "s1" in order[1], "s2" in order[2]] == [True] * 3


def test_what_fails_is_said_retried_and_kept(
    make: Make, peer: Peer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that raises is logged with its traceback, tried again, and ends as a dead letter."""
    tries: list[int] = []

    async def handle(_topic: str, _payload: bytes) -> None:
        tries.append(1)
        raise ValueError("no such unit")

    gateway = make(handlers__attempts=3)
    gateway.subscribe(TOPIC, handle, name="bad")
    gateway.start()
    gateway.ready(10)
    say(peer, 1)
    until(lambda: len(tries) == 3)
    expected = (
        "Failed to execute handler in fallback event loop for topic hydro/node_hello: no such unit"
    )
    found = [r for r in caplog.records if r.getMessage() == expected]
    assert found
    assert found[0].exc_info is not None

    def dead() -> list[tuple[str, int]]:
        connection = sqlite3.connect(tmp_path / "state" / "gateway.db")
        rows = connection.execute("SELECT plugin, attempts FROM delivery WHERE state = 'dead'")
        result = rows.fetchall()
        connection.close()
        return result

    until(lambda: dead() == [("app:bad", 3)])


def test_what_waits_for_a_handler_runs_when_it_comes_back(make: Make, peer: Peer) -> None:
    """Messages that were accepted for a handler which is gone after a restart wait in the journal."""
    first, second = Ran(), Ran()
    gateway = make()
    gateway.subscribe(TOPIC, first, name="comes-back")
    gateway.start()
    gateway.ready(10)
    say(peer, 1)
    until(lambda: len(first.payloads) == 1)
    gateway.stop()

    gateway = make()
    gateway.start()  # nobody has subscribed yet
    gateway.ready(10)
    say(peer, 2, first=1)
    until(lambda: gateway.facts()["retrying"] == 2)
    gateway.subscribe(TOPIC, second, name="comes-back")
    until(lambda: len(second.payloads) == 2)
    assert len(first.payloads) == 1
    assert len({*first.payloads, *second.payloads}) == 3


def test_stop_drains_what_was_accepted(make: Make, peer: Peer) -> None:
    """`stop` returns after the handlers have finished what was accepted, however long they take."""
    begun, ended, gate = list[bytes](), list[bytes](), threading.Event()

    async def slow(_topic: str, payload: bytes) -> None:
        begun.append(payload)
        while not gate.is_set():  # noqa: ASYNC110 - a thread opens it, which has no loop
            await asyncio.sleep(0.01)
        ended.append(payload)

    gateway = make()
    gateway.subscribe(TOPIC, slow, name="slow")
    gateway.start()
    gateway.ready(10)
    say(peer, 20)
    until(lambda: len(begun) == 20)
    threading.Timer(0.5, gate.set).start()  # while `stop` waits; it would be over long before
    gateway.stop()
    assert len(ended) == 20


def test_a_hanging_handler_does_not_hold_the_stop(make: Make, peer: Peer) -> None:
    """A handler that hangs costs `shutdown_grace` and no more; its message is tried after the next
    start."""
    hung: list[bytes] = []
    release = threading.Event()

    def hang(_topic: str, payload: bytes) -> None:
        hung.append(payload)
        release.wait(60)

    gateway = make(shutdown_grace=0.2)
    gateway.subscribe(TOPIC, hang, name="hangs")
    gateway.start()
    gateway.ready(10)
    say(peer, 1)
    until(lambda: hung)
    began = time.monotonic()
    gateway.stop()
    assert time.monotonic() - began < 10
    release.set()

    ran = Ran()
    gateway = make()
    gateway.subscribe(TOPIC, ran, name="hangs")
    gateway.start()
    until(lambda: len(ran.payloads) == 1)


def test_stop_on_the_handlers_own_loop_is_refused(make: Make) -> None:
    """Sync `stop()` on the loop that handlers need would wait for itself; it names the way out."""

    async def handle(_topic: str, _payload: bytes) -> None:
        return

    async def application() -> None:
        async with make() as gateway:
            gateway.subscribe(TOPIC, handle, name="mine")
            with pytest.raises(RuntimeError, match=r"await gateway\.aclose"):
                gateway.stop()

    asyncio.run(application())


def test_stop_on_the_fallback_loop_is_refused(make: Make, peer: Peer) -> None:
    """A handler that stops its own gateway would wait for itself there too."""
    said: list[str] = []
    gateway = make()

    async def handle(_topic: str, _payload: bytes) -> None:
        try:
            gateway.stop()
        except RuntimeError as error:
            said.append(str(error))

    gateway.subscribe(TOPIC, handle, name="stops")
    gateway.start()
    gateway.ready(10)
    say(peer, 1)
    until(lambda: said)
    assert "await gateway.aclose()" in said[0]


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a#", "a/b+", "a\0"])
def test_a_wrong_filter_is_refused_at_once(make: Make, wrong: str) -> None:
    """A filter that MQTT does not know is a mistake of the caller, told in the call."""
    with pytest.raises(ValueError, match="no MQTT topic filter"):
        make().subscribe(wrong, lambda _topic, _payload: None)
