"""The journal on a real file against dictionaries: groups that commit, fail half-way, or end nobody knows how.

The operations are those of the gateway, taken in groups by the real writer, without its thread. Hypothesis
decides what is in a group and how it ends; after every end the file must say what the model says.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from gateway.flow.work import Ids
from gateway.store import journal
from gateway.store.journal import DONE, GATHERED, WAITING
from gateway.store.sqlite import Connection, is_trouble, open_writer
from gateway.store.writer import Operation, Writer
from tests.machines import OnDisk, lives

LANES, PLUGINS = ("a", "b", "c"), ("one", "two")
NOBODY = "-"
"""The plugin of a message that never got to one."""
LEAST = 1
PAYLOAD = b"x" * 3000
"""A few of them fill a page each, so that a full disk is soon noticed."""


@dataclass
class Kept:
    """A message that was taken."""

    lane: str
    at: float
    key: bytes | None
    command: bool
    state: int = WAITING
    deliveries: dict[str, str] = field(default_factory=dict)


@dataclass
class Store:
    """What the file must say."""

    rows: dict[int, Kept] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    calls: Counter[int] = field(default_factory=Counter)

    def kept_keys(self) -> set[bytes | None]:
        """Keys of which a second message is a duplicate."""
        return {row.key for row in self.rows.values() if row.key is not None}

    def of_lane(self, lane: str, state: int = WAITING) -> list[int]:
        """Numbers, in order."""
        return sorted(n for n, row in self.rows.items() if (row.lane, row.state) == (lane, state))

    def with_delivery(self, state: str) -> list[tuple[int, str]]:
        """(number, plugin), in order."""
        return sorted(
            (n, plugin)
            for n, row in self.rows.items()
            for plugin, said in row.deliveries.items()
            if said == state
        )

    def settle(self, number: int) -> None:
        """Done when nothing is open."""
        row = self.rows[number]
        if row.state == GATHERED and "open" not in row.deliveries.values():
            row.state = DONE


class Journal(OnDisk):
    """The journal of one gateway, through any number of its lives."""

    def __init__(self) -> None:
        super().__init__()
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE effects (journal_id INTEGER)")
        self.full = False
        self.now = 1000.0
        self.disk, self.next = Store(), Store()
        self.group: list[tuple[Operation, Any]] = []
        self.acknowledged: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._least, journal.LEAST = journal.LEAST, LEAST

    @initialize()
    def start(self) -> None:
        """A gateway starts on what the file says."""
        self.writer = Writer(self.opened)
        self.writer._connection = self.opened()
        self.ids = Ids.load(self.connection)
        self.group, self.next = [], deepcopy(self.disk)

    def teardown(self) -> None:
        """Leave nothing behind."""
        journal.LEAST = self._least
        self.writer._drop_connection()
        self._loop.close()
        self.folder.cleanup()

    def opened(self) -> Connection:
        """A new connection; on a full disk it gets no page more than there are."""
        connection = open_writer(self.path, "OFF")
        if self.full:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        return connection

    @property
    def connection(self) -> Connection:
        """The writer's."""
        if self.writer._connection is None:
            self.writer._connection = self.writer._reopen()
        return self.writer._connection

    def submit(self, operation: Operation, expected: Any = None) -> None:
        """Into the group; the model is ahead of the file by the whole group."""
        self.group.append((operation, expected))

    # -- what the gateway does ---------------------------------------------------------------

    @rule(
        lane=st.sampled_from(LANES), keys=st.lists(st.integers(0, 5) | st.none(), min_size=1, max_size=4),
        command=st.booleans(), age=st.sampled_from([0.0, 500.0]),
    )  # fmt: skip
    def publish(self, lane: str, keys: list[int | None], command: bool, age: float) -> None:
        """Messages arrive, some of them for the second time; a wall clock may have jumped."""
        topic, doubles = f"hydro/g/z/{lane}/status", set()
        rows = []
        for key in keys:
            number, dedupe = self.ids.journal(), None if key is None else b"%d" % key
            assert number not in self.acknowledged, "a number is given out once"
            rows.append(
                journal.Row(
                    number, self.now - age, self.now, "control",
                    "command" if command else "journal", "status", lane, topic, PAYLOAD,
                    journal.checksum(topic, PAYLOAD), dedupe=dedupe,
                )
            )  # fmt: skip
            if dedupe in self.next.kept_keys():
                doubles.add(number)
            else:
                self.next.rows[number] = Kept(lane, self.now - age, dedupe, command)
        self.submit(lambda connection: journal.add(connection, rows), doubles)

    @rule()
    def refuse(self) -> None:
        """A message that cannot be read; the newest few are kept."""
        keep = 3
        row = journal.Refused(self.ids.refused(), self.now, "t", b"x", "not_json", "why")
        self.submit(lambda connection: journal.refuse(connection, [row], keep))
        self.next.refused.add(row.id)
        self.next.refused = {n for n in self.next.refused if n > row.id - keep}

    def waits(self, which: int) -> int:
        """The oldest message of one of the lanes in which one waits."""
        heads = [numbers[0] for lane in LANES if (numbers := self.next.of_lane(lane))]
        return heads[which % len(heads)]

    @precondition(lambda self: any(map(self.next.of_lane, LANES)))
    @rule(
        which=st.integers(0, 2),
        ends=st.tuples(*[st.sampled_from(["done"] * 3 + ["open", "dead"])] * 2),
    )
    def call(self, which: int, ends: tuple[str, str]) -> None:
        """The oldest message of a lane goes through the plugins; some of them raise."""
        number = self.waits(which)
        row = self.next.rows[number]
        failed = {p: end for p, end in zip(PLUGINS, ends, strict=True) if end != "done"}
        kept = [journal.Delivery(number, p, row.lane, e, 1, 0.0, "why") for p, e in failed.items()]
        row.deliveries.update(failed)
        row.state = state = GATHERED if "open" in failed.values() else DONE
        self.next.calls[number] += 1

        def operation(connection: Connection) -> None:
            if journal.state_of(connection, number) != WAITING:
                return  # taken again: it is there already
            connection.execute("INSERT INTO effects VALUES (?)", (number,))
            for delivery in kept:
                journal.put_delivery(connection, delivery)
            journal.mark(connection, number, state)

        self.submit(operation)

    @precondition(lambda self: any(map(self.next.of_lane, LANES)))
    @rule(which=st.integers(0, 2))
    def give_up(self, which: int) -> None:
        """The oldest message of a lane cannot be an event: the whole of it is a dead letter."""
        number = self.waits(which)
        row = self.next.rows[number]
        letter = journal.Delivery(number, NOBODY, row.lane, "dead", 1, 0.0, "damaged")
        row.deliveries[NOBODY], row.state = "dead", DONE

        def operation(connection: Connection) -> None:
            if journal.state_of(connection, number) == WAITING:
                journal.put_delivery(connection, letter)
                journal.mark(connection, number, DONE)

        self.submit(operation)

    @precondition(lambda self: self.next.with_delivery("open"))
    @rule(which=st.integers(0, 20), end=st.sampled_from(["done", "open", "dead"]))
    def retry(self, which: int, end: str) -> None:
        """An open delivery is tried again, at the head of its (lane, plugin)."""
        opened = self.next.with_delivery("open")
        _number, plugin = opened[which % len(opened)]
        lane = self.next.rows[_number].lane
        number = min(n for n, p in opened if p == plugin and self.next.rows[n].lane == lane)
        row = self.next.rows[number]
        if end == "done":
            del row.deliveries[plugin]
            self.submit(lambda connection: journal.end_delivery(connection, number, plugin))
        else:
            row.deliveries[plugin] = end
            delivery = journal.Delivery(number, plugin, lane, end, 2, 0.0, "why")

            def operation(connection: Connection) -> None:
                journal.begin_attempt(connection, number, plugin, 2)
                # taken again behind its node's new name; a gateway has that name in `node_names`
                sql = "SELECT lane FROM delivery WHERE journal_id = ? AND plugin = ?"
                (now,) = connection.execute(sql, (number, plugin)).fetchone() or (lane,)
                journal.put_delivery(connection, delivery._replace(lane=now))
                journal.settle(connection, number)

            self.submit(operation)
        self.next.settle(number)

    @precondition(lambda self: self.next.with_delivery("dead"))
    @rule(which=st.integers(0, 20), drop=st.booleans())
    def the_operator_sees_to_a_dead_letter(self, which: int, drop: bool) -> None:
        """It is replayed, or dropped; a message that never got to a plugin waits again as a whole."""
        dead = self.next.with_delivery("dead")
        number, plugin = dead[which % len(dead)]
        row = self.next.rows[number]
        if drop:
            del row.deliveries[plugin]
            self.submit(lambda connection: journal.end_delivery(connection, number, plugin))
            return
        if plugin == NOBODY:
            del row.deliveries[plugin]
            row.state = WAITING
        else:
            row.deliveries[plugin], row.state = "open", GATHERED
        where, values = "journal_id = ? AND plugin = ?", (number, plugin)
        self.submit(lambda connection: journal.replay(connection, where, values))

    @rule(old=st.sampled_from(LANES), new=st.sampled_from(LANES))
    def a_node_gets_its_name(self, old: str, new: str) -> None:
        """Its oldest message tells it: what waits goes on under the new name, with its deliveries."""
        waiting = self.next.of_lane(old)
        if not waiting:
            return
        number = waiting[0]
        self.next.rows[number].state = DONE
        self.next.calls[number] += 1
        for row in self.next.rows.values():
            if row.lane == old and (row.state != DONE or row.deliveries):
                row.lane = new

        def operation(connection: Connection) -> None:
            if journal.state_of(connection, number) == WAITING:
                connection.execute("INSERT INTO effects VALUES (?)", (number,))
                journal.mark(connection, number, DONE)
                journal.move_lane(connection, old, new)

        self.submit(operation)

    # -- how a group ends --------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        """Only now somebody hears of it. On a full disk nothing has happened, and it is taken again."""
        if self.end_group(self.next):
            self.acknowledged |= set(self.disk.rows)

    def end_group(self, then: Store) -> bool:
        """The writer's commit; False where the disk was full."""
        operations = [(operation, self._loop.create_future()) for operation, _ in self.group]
        try:
            results = self.writer._commit(operations)
        except sqlite3.Error as error:
            if not (self.full and is_trouble(error)):
                raise
            self.writer._drop_connection()
            return False
        for result, (_, expected) in zip(results, self.group, strict=True):
            assert not isinstance(result, Exception), result
            assert expected is None or result == expected, "duplicates"
        self.disk, self.group = then, []
        self.next = deepcopy(then)
        return True

    @precondition(lambda self: self.group)
    @rule()
    def commit_with_unknown_outcome(self) -> None:
        """It was on disk, but the answer was an error: the whole group is taken again (rule 19)."""
        with contextlib.suppress(sqlite3.Error):
            self.writer._commit([(o, self._loop.create_future()) for o, _ in self.group])
        self.writer._drop_connection()
        self.commit()

    @precondition(lambda self: self.group)
    @rule(part=st.integers(0, 10))
    def crash(self, part: int) -> None:
        """In the middle of a group: nothing of it is there, and the next life begins with the file."""
        operations: list[Callable[[Connection], Any]] = [o for o, _ in self.group]
        with contextlib.suppress(sqlite3.Error):
            self.writer._apply(self.connection, operations[: part + 1])
        self.writer._drop_connection()
        self.start()

    @rule()
    def crash_after_the_commit(self) -> None:
        """The file has it, and nobody was told."""
        if self.end_group(self.next):
            self.writer._drop_connection()
            self.start()

    @rule()
    def restart(self) -> None:
        """A graceful stop commits what is queued."""
        if self.end_group(self.next):
            self.writer._drop_connection()
            self.start()

    @rule(full=st.booleans())
    def the_disk(self, full: bool) -> None:
        """It is full, or has space again; the writer opens it anew."""
        self.full = full
        self.writer._drop_connection()

    @rule(seconds=st.sampled_from([1.0, 400.0, -300.0]))
    def time_passes(self, seconds: float) -> None:
        """Also backwards."""
        self.now += seconds

    @precondition(lambda self: not self.group)
    @rule(
        age=st.sampled_from([-1000.0, 100.0, 1e9]), keep=st.integers(0, 4), step=st.integers(1, 9)
    )
    def prune(self, age: float, keep: int, step: int) -> None:
        """What goes may go, and what is old and first goes."""
        before, newest = self.now - age, max(self.disk.rows, default=0)
        allowed = [
            n
            for n, row in sorted(self.disk.rows.items())
            if row.state == DONE
            and not row.deliveries
            and n <= newest - LEAST
            and (row.at < before or (n <= newest - keep and not row.command))
        ]
        operation = (lambda c: journal.prune(c, before, keep, step), self._loop.create_future())
        try:
            self.writer._commit([operation])
        except sqlite3.Error:
            assert self.full
            self.writer._drop_connection()
            return
        left = {row[0] for row in self.connection.execute("SELECT id FROM journal")}
        removed = sorted(set(self.disk.rows) - left)
        assert removed in ([], allowed[:step])
        if allowed and allowed[0] == min(self.disk.rows):
            assert removed, "what may go and stands first goes"
        for number in removed:
            del self.disk.rows[number]
        self.next = deepcopy(self.disk)

    # -- always ------------------------------------------------------------------------------

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        """Every message with its bytes, its state and its deliveries, and no other."""
        db, disk = self.connection, self.disk
        found = {
            number: Kept(lane, at, dedupe, klass == "command", state)
            for number, lane, at, dedupe, klass, state in db.execute(
                "SELECT id, lane, at, dedupe, class, state FROM journal"
            )
        }
        for number, plugin, lane, state in db.execute(
            "SELECT journal_id, plugin, lane, state FROM delivery"
        ):
            found[number].deliveries[plugin] = state
            assert lane == disk.rows[number].lane
        for number, row in found.items():
            if row.state != WAITING:  # its deliveries alone move
                row.lane = disk.rows[number].lane
        assert found == disk.rows
        assert {n for (n,) in db.execute("SELECT id FROM refused")} == disk.refused
        for number in found:
            row = journal.get(db, number)
            assert row is not None
            assert row.intact()

    @invariant()
    def lanes_are_read_in_order(self) -> None:
        """Waiting rows behind any mark, and the oldest open delivery of each (lane, plugin)."""
        db, disk = self.connection, self.disk
        waiting = {lane: disk.of_lane(lane) for lane in LANES}
        assert [
            (lane, numbers[0], len(numbers))
            for lane, numbers in sorted(waiting.items(), key=lambda pair: pair[1][:1])
            if numbers
        ] == journal.waiting_lanes(db)
        for lane, numbers in waiting.items():
            after = numbers[0] if numbers else 0
            assert [row.id for row in journal.next_of_lane(db, lane, 0, 100)] == numbers
            assert [row.id for row in journal.next_of_lane(db, lane, after, 2)] == numbers[1:3]
            for plugin in PLUGINS:
                mine = [
                    n
                    for n, p in disk.with_delivery("open")
                    if (disk.rows[n].lane, p) == (lane, plugin)
                ]
                head = journal.head_delivery(db, lane, plugin)
                assert (head.journal_id if head else None) == (mine[0] if mine else None)

    @invariant()
    def nothing_is_called_twice(self) -> None:
        """A message's effects are there once, whatever happened around them."""
        effects = Counter(n for (n,) in self.connection.execute("SELECT * FROM effects"))
        assert effects == self.disk.calls
        assert all(count == 1 for count in effects.values())


TestJournal = Journal.TestCase
TestJournal.settings = lives(60)
