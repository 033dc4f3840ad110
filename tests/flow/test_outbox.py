"""The outbox: order for each node, nothing lost on a bad connection, stamped and signed when it leaves."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.api import Node
from gateway.errors import BrokerError
from gateway.flow import suspects
from gateway.flow.outbox import Outbox, render
from gateway.flow.work import Ids
from gateway.store import migrations
from gateway.store import outbox as rows
from gateway.store.journal import checksum
from gateway.store.outbox import Parcel
from gateway.store.sqlite import Connection, open_writer
from gateway.store.writer import Writer


def parcel(
    number: int, node: int = 1, key: str | None = None, expires: float | None = None
) -> Parcel:
    body = json.dumps({"n": number}).encode()
    topic = f"hydro/{node}"
    return Parcel(
        number,
        node,
        topic,
        body,
        '{"qos":1,"retain":false}',
        key,
        expires,
        0,
        checksum(topic, body),
    )


class Broker:
    """Takes what is published; fails or waits when told so."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int]] = []
        self.fail = 0
        self.hold: asyncio.Event | None = None

    async def publish(self, topic: str, payload: bytes, _qos: int, _retain: bool) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.fail > 0:
            self.fail -= 1
            raise BrokerError("connection lost")
        self.got.append((topic, json.loads(payload)["n"]))


class Strict(Broker):
    """Ends the connection at one number, or at every fourth publish for some time, and is there again."""

    outbox: Outbox

    def __init__(self, hates: int | None = None, moods: int = 0) -> None:
        super().__init__()
        self.hates = hates
        self.moods = moods
        self._connection = self._asked = 0

    async def publish(self, topic: str, payload: bytes, _qos: int, _retain: bool) -> None:
        number, connection = json.loads(payload)["n"], self._connection
        self._asked += 1
        moody = self._asked % 4 == 0 and self.moods > 0
        self.moods -= moody
        if number == self.hates or moody:
            self._connection += 1
            self.outbox.connected(False)
            asyncio.get_running_loop().call_later(0.01, self.outbox.connected, True)
        await asyncio.sleep(0.001)
        if connection != self._connection:
            raise BrokerError("connection lost")
        self.got.append((topic, number))


def run(
    path: Path,
    body: Callable[[Outbox, Any, Writer], Coroutine[Any, Any, None]],
    broker: Broker | None = None,
) -> tuple[Broker, int]:
    """Run a body with an outbox on a real store; returns the broker and the rows left."""

    async def go() -> tuple[Broker, int]:
        connection = open_writer(path)
        migrations.migrate_core(connection)
        writer = Writer(lambda: open_writer(path))
        writer.start(connection)
        outbox = Outbox(writer, Ids(0, 0, 0), taker.publish, lambda _id: None)
        if isinstance(taker, Strict):
            taker.outbox = outbox
        await body(outbox, taker, writer)
        await asyncio.wait_for(outbox.drain(), 10)
        await outbox.stop()
        left = await writer.submit(lambda c: len(rows.waiting(c)))
        await writer.close()
        return taker, left

    taker = broker or Broker()
    return asyncio.run(go())


async def put(outbox: Outbox, writer: Writer, parcels: list[Parcel]) -> None:
    await writer.submit(lambda c: rows.put(c, parcels))
    outbox.push(parcels)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the outbox has no event for it
            await asyncio.sleep(0.005)


def test_everything_leaves_in_the_order_of_its_node(tmp_path: Path) -> None:
    """Rows of a node arrive in order even when publishes fail, and are gone from the store then."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        broker.fail = 5
        await put(outbox, writer, [parcel(n, node=n % 3) for n in range(30)])
        outbox.connected(True)
        await until(lambda: len(broker.got) == 30)

    broker, left = run(tmp_path / "x.db", body)
    for node in range(3):
        mine = [n for topic, n in broker.got if topic == f"hydro/{node}"]
        assert mine == sorted(mine)
        assert len(mine) == 10
    assert left == 0


def test_a_refusal_is_not_asked_for_as_fast_as_it_comes(tmp_path: Path) -> None:
    """A broker that refuses a publish at once is asked again after a pause, and others go meanwhile."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        broker.fail = 1_000_000
        outbox.connected(True)
        await put(outbox, writer, [parcel(1)])
        await until(lambda: broker.fail < 1_000_000)
        for _ in range(500):
            await asyncio.sleep(0)
        assert 1_000_000 - broker.fail < 10
        broker.fail = 0
        await put(outbox, writer, [parcel(2, node=2)])
        await until(lambda: len(broker.got) == 2)

    broker, left = run(tmp_path / "x.db", body)
    assert broker.got == [("hydro/2", 2), ("hydro/1", 1)]
    assert left == 0


def test_nothing_leaves_while_disconnected(tmp_path: Path) -> None:
    """Rows wait in the store, not in anybody's memory queue, until the link is there."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        await put(outbox, writer, [parcel(1)])
        await asyncio.sleep(0)
        assert broker.got == []
        assert await writer.submit(lambda c: len(rows.waiting(c))) == 1
        outbox.connected(True)
        await until(lambda: len(broker.got) == 1)

    assert run(tmp_path / "x.db", body)[1] == 0


def test_what_the_broker_has_not_acknowledged_is_kept(tmp_path: Path) -> None:
    """While a publish is under way its row stays: a crash now must not lose it."""
    seen: list[int] = []

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        broker.hold = asyncio.Event()
        await put(outbox, writer, [parcel(1)])
        outbox.connected(True)
        for _ in range(20):  # the publish is under way, and whatever was queued before it is done
            await writer.submit(lambda _connection: None)
        seen.append(await writer.submit(lambda c: len(rows.waiting(c))))
        broker.hold.set()

    broker, left = run(tmp_path / "gateway.db", body)
    assert (seen, broker.got, left) == ([1], [("hydro/1", 1)], 0)


def test_a_newer_message_replaces_one_that_has_not_left(tmp_path: Path) -> None:
    """With the same key only the newest is sent."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        for n in range(1, 4):
            await put(outbox, writer, [parcel(n, key="config:1")])
        await put(outbox, writer, [parcel(9)])
        outbox.connected(True)
        await until(lambda: ("hydro/1", 9) in broker.got)

    broker, left = run(tmp_path / "x.db", body)
    assert [n for _, n in broker.got] == [3, 9]
    assert left == 0


def test_a_commit_that_was_taken_again_replaces_too(tmp_path: Path) -> None:
    """Its first outcome was unknown, and the second time the older row is gone already (rule 19): the
    older message is not sent."""

    def twice(parcels: list[Parcel]) -> Callable[[Connection], None]:
        def write(connection: Connection) -> None:
            rows.put(connection, parcels)
            rows.put(connection, parcels)

        return write

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        for n in (1, 2):
            parcels = [parcel(n, key="config:1")]
            await writer.submit(twice(parcels))
            outbox.push(parcels)
        outbox.connected(True)
        await until(lambda: ("hydro/1", 2) in broker.got)

    broker, left = run(tmp_path / "x.db", body)
    assert ([n for _, n in broker.got], left) == ([2], 0)


def test_one_that_is_replaced_on_its_way_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """A publish under way cannot be taken back; its number is forgotten with its row."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        broker.hold = asyncio.Event()
        await put(outbox, writer, [parcel(1, key="config:1")])
        outbox.connected(True)
        await asyncio.sleep(0)
        await put(outbox, writer, [parcel(2, key="config:1")])
        broker.hold.set()
        await until(lambda: len(broker.got) == 2)
        assert outbox._held.empty

    assert run(tmp_path / "x.db", body)[1] == 0


def test_one_that_is_replaced_after_it_has_left_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """Its row may still be there when a newer one takes its place: its number is no news any more. Nor is
    that of one whose node is forgotten."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        outbox.connected(True)
        await put(outbox, writer, [parcel(1, key="config:1")])
        await until(lambda: len(broker.got) == 1)
        await put(outbox, writer, [parcel(2, key="config:1")])
        await until(lambda: len(broker.got) == 2)
        assert outbox._held.empty
        outbox.connected(False)
        await put(outbox, writer, [parcel(3, key="config:1")])
        await put(outbox, writer, [parcel(4, key="config:1")])
        outbox.forget(1)
        await writer.submit(lambda c: rows.gone(c, [4]))
        assert outbox._held.empty

    assert run(tmp_path / "x.db", body)[1] == 0


def test_what_is_pointless_is_dropped(tmp_path: Path) -> None:
    """A receipt whose time is over is not sent any more."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        await put(outbox, writer, [parcel(1, expires=1.0), parcel(2)])
        outbox.connected(True)
        await until(lambda: len(broker.got) == 1)

    broker, left = run(tmp_path / "x.db", body)
    assert broker.got == [("hydro/1", 2)]
    assert left == 0


def test_damaged_bytes_are_never_sent(tmp_path: Path) -> None:
    """A row whose CRC does not fit becomes a dead letter, and the one behind it goes."""
    letters: list[tuple[str, str]] = []

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        await put(outbox, writer, [parcel(1)._replace(body=b'{"n": 5}'), parcel(2)])
        outbox.connected(True)
        await until(lambda: len(broker.got) == 1)
        letters.extend(
            await writer.submit(lambda c: c.execute("SELECT topic, word FROM refused").fetchall())
        )

    assert run(tmp_path / "x.db", body)[0].got == [("hydro/1", 2)]
    assert letters == [("hydro/1", "hash")]


def test_a_forgotten_nodes_messages_do_not_leave(tmp_path: Path) -> None:
    """What waited behind a message that is on its way is gone with its node, and counted once."""

    async def body(outbox: Outbox, broker: Broker, writer: Writer) -> None:
        broker.hold = asyncio.Event()
        await put(outbox, writer, [parcel(1), parcel(2)])
        outbox.connected(True)
        await asyncio.sleep(0)
        outbox.forget(1)
        await writer.submit(lambda c: rows.gone(c, [1, 2]))
        broker.hold.set()
        await outbox.drain()
        assert outbox.waiting == 0

    assert run(tmp_path / "x.db", body)[0].got == [("hydro/1", 1)]


def test_stamp_and_signature_are_those_of_the_moment() -> None:
    """The clock and the signature are put in when the message leaves, under the secret on trial."""
    options = {"stamp": ["unix_ts"], "sign": ["hello_ack", "hardware_id", "unix_ts"]}
    node = Node(id=1, secret="old", trial_secret="new")
    sent = json.loads(render(b'{"hardware_id":"hw"}', options, node, 1234.9))
    assert sent["unix_ts"] == 1234
    expected = hmac.new(b"new", b"hello_ack\nhw\n1234", hashlib.sha256).hexdigest()
    assert sent["sig"] == expected


def test_without_a_secret_there_is_no_signature() -> None:
    """A node that has no secret gets an unsigned receipt, never one signed with nothing."""
    options = {"stamp": ["unix_ts"], "sign": ["hello_ack", "unix_ts"]}
    assert "sig" not in json.loads(render(b"{}", options, Node(id=1), 1.0))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in milliseconds."""
    monkeypatch.setattr(suspects, "_FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("quick")
def test_nobody_waits_behind_what_the_broker_hangs_up_at(tmp_path: Path) -> None:
    """Whatever their node, the others arrive in their order, and the message itself as soon as the broker
    takes it."""
    poison = 7

    async def body(outbox: Outbox, broker: Strict, writer: Writer) -> None:
        await put(outbox, writer, [parcel(n, node=n % 3) for n in range(1, 31)])
        outbox.connected(True)
        await until(lambda: len(broker.got) == 29)
        await until(lambda: bool(outbox.unpublishable))
        size = len(parcel(poison).body)
        assert outbox.unpublishable == [{"topic": "hydro/1", "bytes": size}]
        assert await writer.submit(lambda c: len(rows.waiting(c))) >= 1
        broker.hates = None
        await until(lambda: len(broker.got) == 30)
        assert outbox.unpublishable == []

    broker, left = run(tmp_path / "x.db", body, Strict(poison))
    for node in range(3):
        mine = [n for topic, n in broker.got if topic == f"hydro/{node}" and n != poison]
        assert mine == sorted(mine)
    assert left == 0


@pytest.mark.usefixtures("quick")
def test_a_bad_line_loses_nothing(tmp_path: Path) -> None:
    """Connections that end for no reason of any message's: each arrives, once."""

    async def body(outbox: Outbox, broker: Strict, writer: Writer) -> None:
        await put(outbox, writer, [parcel(n, node=n % 5) for n in range(1, 51)])
        outbox.connected(True)
        await until(lambda: len(broker.got) == 50)

    broker, left = run(tmp_path / "x.db", body, Strict(moods=12))
    assert sorted(n for _, n in broker.got) == list(range(1, 51))
    assert left == 0


@pytest.mark.usefixtures("quick")
def test_a_node_that_is_deleted_takes_its_unpublishable_messages_along(tmp_path: Path) -> None:
    """Nothing of it is tried again, and nothing is held."""

    async def body(outbox: Outbox, broker: Strict, writer: Writer) -> None:
        await put(outbox, writer, [parcel(n, node=1) for n in range(1, 4)])
        outbox.connected(True)
        await until(lambda: bool(outbox.unpublishable))
        outbox.forget(1)
        assert outbox.waiting == 0
        await put(outbox, writer, [parcel(9, node=2)])
        await until(lambda: ("hydro/2", 9) in broker.got)

    run(tmp_path / "x.db", body, Strict(2))
