"""The outbox between a real file and a broker that does what Hypothesis wants, against a dictionary.

The writer's thread is replaced by a step: what is queued is on disk when the machine says so. The broker
checks each message as it comes: is it committed, is it its turn, was it there before?
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from gateway.errors import BrokerError
from gateway.flow import outbox as flow
from gateway.flow import suspects
from gateway.flow.work import Ids
from gateway.store import nodes
from gateway.store import outbox as rows
from gateway.store.journal import checksum
from gateway.store.outbox import Parcel
from gateway.store.sqlite import Connection, open_reader, open_writer
from gateway.store.writer import Writer, _Entry, _resolve
from tests.machines import OnDisk, lives

NODES = (1, 2)
SAID = st.lists(st.sampled_from([None, "config", "ack"]), min_size=1, max_size=3)
"""The replace keys of messages of one unit, None where each is to arrive."""


class StepWriter(Writer):
    """The writer without its thread."""

    def start(self, connection: Connection) -> None:
        self._loop, self._connection = asyncio.get_running_loop(), connection

    def turn(self, *, told: bool = True, twice: bool = False) -> None:
        """Commit what is queued; not `told`, the process dies before anybody hears of it. `twice`: it was
        on disk, but the answer was an error, and the whole group is taken again (rule 19)."""
        group: list[_Entry] = list(self._queue)
        self._queue.clear()
        if group:
            if twice:
                self._commit(group)
                self._drop_connection()
            results = self._commit(group)
            if told:
                _resolve([(future, r) for (_, future), r in zip(group, results, strict=True)])


@dataclass
class Message:
    """What the gateway wants to say, and what became of it."""

    node: int
    key: str | None
    expires: float | None
    committed: bool = False
    arrived: bool = False
    void: bool = False  # replaced by a newer one, or its node was forgotten

    def is_due(self, now: float) -> bool:
        """True where it must still reach the broker."""
        over = self.expires is not None and self.expires < now
        return self.committed and not (self.arrived or self.void or over)


class Outbox(OnDisk):
    """One gateway through its lives, its nodes, and a broker."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000.0
        clock = SimpleNamespace(time=lambda: self.now)
        self._patched = mock.patch.multiple(flow, _PAUSE=0.0, time=clock)
        self._patched.start()
        self._at_once = mock.patch.object(suspects, "_FIRST_PAUSE", 0.0)
        self._at_once.start()
        self.said: dict[int, Message] = {}
        self.queued: list[Callable[[], None]] = []
        self.reader: Connection | None = None
        self.wrong: list[str] = []

    @initialize()
    def start(self) -> None:
        """A gateway starts on what the file says."""
        self.linked = False
        self.under_way: dict[int, asyncio.Future[None]] = {}
        self.arrived: set[int] = set()
        self.queued.clear()
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        connection = open_writer(self.path, "OFF")
        self.reader = open_reader(self.path)
        self.ids = Ids.load(connection)
        self.writer = StepWriter(lambda: open_writer(self.path, "OFF"))
        self.writer.start(connection)
        self.outbox = flow.Outbox(self.writer, self.ids, self.publish, lambda _id: None)
        self.outbox.push(rows.waiting(connection))

    def die(self) -> None:
        """Power off: nothing of memory is left."""
        self.loop.run_until_complete(self.outbox.stop())
        for _ in range(3):  # its last callbacks
            self.loop.run_until_complete(asyncio.sleep(0))
        self.writer._queue.clear()
        self.writer._drop_connection()
        assert self.reader is not None
        self.reader.close()
        for number in [n for n, message in self.said.items() if not message.committed]:
            del self.said[number]

    def turns(self) -> None:
        """Whoever can go on does."""
        for _ in range(12):
            self.loop.run_until_complete(asyncio.sleep(0))
        assert not self.wrong, self.wrong

    # -- the broker --------------------------------------------------------------------------

    async def publish(self, _topic: str, payload: bytes, _qos: int, _retain: bool) -> None:
        """Takes a message, and answers when the machine says so."""
        number = json.loads(payload)["n"]
        self.wrong += self.objections(number)
        self.under_way[number] = self.loop.create_future()
        try:
            await self.under_way[number]
        finally:
            del self.under_way[number]
        self.arrived.add(number)
        self.said[number].arrived = True

    def objections(self, number: int) -> list[str]:
        """What is wrong about this message now."""
        assert self.reader is not None
        found = self.reader.execute("SELECT 1 FROM outbox WHERE id = ?", (number,)).fetchone()
        if found is None:
            return [f"{number} is not on disk"]
        message = self.said[number]
        mine = {n: m for n, m in self.said.items() if m.node == message.node}
        over = message.expires is not None and message.expires < self.now
        checks = {
            "sent while disconnected": not self.linked,
            "sent twice": number in self.arrived,
            "expired": over,
            "replaced or forgotten": message.void,
            "beside another of its node": any(n in self.under_way for n in mine),
            "before its turn": any(n < number and self.goes_before(n) for n in mine),
        }
        return [f"{number}: {what}" for what, is_so in checks.items() if is_so]

    def goes_before(self, number: int) -> bool:
        """True where later ones of its node wait for it; not behind what broke connections alone."""
        return self.said[number].is_due(self.now) and -number not in self.outbox._queues

    @rule(linked=st.booleans())
    def link(self, linked: bool) -> None:
        """It comes, or it breaks, and with it every publish that is under way."""
        self.linked = linked
        self.loop.run_until_complete(self._link())
        if not linked:
            for answer in self.under_way.values():
                answer.set_exception(BrokerError("connection lost"))
        self.turns()

    @rule()
    def it_breaks_behind_a_puback(self) -> None:
        """The broker has all that was under way, and nothing may leave behind it."""
        self.link(True)
        self.linked = False
        self.loop.run_until_complete(self._link())
        for number in self.under_way:
            self.answer_one(number)
        self.turns()

    @rule(times=st.integers(2, 5))
    def the_broker_hangs_up(self, times: int) -> None:
        """Again and again at what is sent: in the end one message waits in a queue of its own."""
        for _ in range(times):
            self.link(True)
            self.link(False)

    async def _link(self) -> None:
        self.outbox.connected(self.linked)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 5), well=st.booleans())
    def answer(self, which: int, well: bool) -> None:
        """A PUBACK, or a publish that fails alone."""
        self.answer_one(sorted(self.under_way)[which % len(self.under_way)], well)
        self.turns()

    def answer_one(self, number: int, well: bool = True) -> None:
        """Of those under way."""
        if well:
            self.under_way[number].set_result(None)
        else:
            self.under_way[number].set_exception(BrokerError("refused"))

    # -- the gateway -------------------------------------------------------------------------

    @rule(
        node=st.sampled_from(NODES),
        keys=SAID,
        seconds=st.none() | st.sampled_from([10.0, 1000.0]),
        at_once=st.booleans(),
    )
    def put(self, node: int, keys: list[str | None], seconds: float | None, at_once: bool) -> None:
        """A unit has something to say: it is on its way to the disk, or there at once."""
        parcels, expires = [], None if seconds is None else self.now + seconds
        for key in keys:
            number, topic = self.ids.outbox(), f"hydro/{node}"
            body = json.dumps({"n": number}).encode()
            key = None if key is None else f"{key}:{node}"
            parcels.append(
                Parcel(
                    number, node, topic, body, '{"qos":1,"retain":false}', key, expires, 0,
                    checksum(topic, body),
                )
            )  # fmt: skip
            self.said[number] = Message(node, key, expires)
        future = self.writer.submit(lambda connection: rows.put(connection, parcels))
        future.add_done_callback(lambda _done: self.outbox.push(parcels))
        self.queued.append(lambda: self.is_put([parcel.id for parcel in parcels]))
        if at_once:
            self.commit(twice=False)

    def is_put(self, numbers: list[int]) -> None:
        """On disk, in the model's words."""
        for number in numbers:
            message = self.said[number]
            message.committed = True
            for other, older in self.said.items():
                same = message.key is not None and older.key == message.key
                older.void |= same and other < number

    @rule(node=st.sampled_from(NODES), keys=SAID)
    def forget_and_put(self, node: int, keys: list[str | None]) -> None:
        """A node is forgotten and at once there again, perhaps before its turn has come."""
        self.forget(node)
        self.commit(twice=False)
        self.put(node, keys, None, at_once=True)

    @rule(node=st.sampled_from(NODES))
    def forget(self, node: int) -> None:
        """The operator forgets a node, and what waited for it."""
        # not their numbers: those of rows that are gone may be given out again by the next life
        before = [message for message in self.said.values() if message.node == node]
        future = self.writer.submit(lambda connection: nodes.delete(connection, node))
        future.add_done_callback(lambda _done: self.outbox.forget(node))

        def forgotten() -> None:
            for message in before:
                message.void = True

        self.queued.append(forgotten)

    @precondition(lambda self: self.queued)
    @rule(twice=st.booleans())
    def commit(self, twice: bool) -> None:
        """What is queued is on disk, and whoever waits for it hears of it."""
        self.turn_writer(twice=twice)
        self.turns()

    def turn_writer(self, *, told: bool = True, twice: bool = False) -> None:
        """One group."""
        self.writer.turn(told=told, twice=twice)
        for happened in self.queued:
            happened()
        self.queued.clear()

    @rule()
    def crash(self) -> None:
        """What was queued is lost, and nobody had heard of it."""
        self.die()
        self.start()

    @precondition(lambda self: self.queued)
    @rule()
    def crash_after_the_commit(self) -> None:
        """The rows are there, and memory never knew."""
        self.turn_writer(told=False)
        self.die()
        self.start()

    @rule(seconds=st.sampled_from([5.0, 20.0, 2000.0]))
    def time_passes(self, seconds: float) -> None:
        """What has a time limit may be over."""
        self.now += seconds

    @rule()
    def calm(self) -> None:
        """With a broker that takes everything all that is due arrives, and nothing stays behind."""
        self.link(True)
        for _ in range(len(self.said) + 3):
            self.commit(twice=False)
            while self.under_way:
                self.answer_one(next(iter(self.under_way)))
                self.turns()
        late = [n for n, message in self.said.items() if message.is_due(self.now)]
        assert not late, "lost"
        assert self.outbox.waiting == 0
        assert self.outbox._held.empty
        assert not self.outbox._queues
        assert rows.waiting(self.connection) == []

    @property
    def connection(self) -> Connection:
        """The writer's, at rest."""
        assert self.writer._connection is not None
        return self.writer._connection

    # -- always ------------------------------------------------------------------------------

    @invariant()
    def what_is_due_is_on_disk(self) -> None:
        """A power cut at this moment would lose nothing."""
        kept = {parcel.id for parcel in rows.waiting(self.connection)}
        due = {n for n, message in self.said.items() if message.is_due(self.now)}
        assert due <= kept

    def teardown(self) -> None:
        """In the end the weather is fine."""
        with ExitStack() as stack:  # whatever fails, the next test finds the clock as it was
            stack.callback(self.folder.cleanup)
            stack.callback(self._patched.stop)
            stack.callback(self._at_once.stop)
            stack.callback(self.loop.close)
            stack.callback(self.die)
            self.calm()


TestOutbox = Outbox.TestCase
TestOutbox.settings = lives(40)
