"""One ordered lane for each node: in order within, fair between, and a small window in memory.

Rules of this file. A lane runs one event at a time. What does not fit into the window stays in the
journal and its lane is *spilled*: nothing of it enters memory from intake any more until the rows
on disk have been read up to the end, so the order of the journal is kept. Lanes take turns, and
spilled lanes are refilled in turns, so a node that floods waits behind itself only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from gateway.api import Node
from gateway.failpoint import failpoint
from gateway.protocol.messages import Event, Source
from gateway.protocol.topics import Topic
from gateway.store import journal


class Item:
    """One event in memory, from its journal row to its commit."""

    __slots__ = (
        "closed",
        "deliveries",
        "event",
        "held",
        "identity",
        "kind",
        "klass",
        "lane",
        "left",
        "node",
        "only",
        "reserved",
        "row",
        "started",
        "then",
    )  # fmt: skip

    def __init__(self, row: journal.Row, event: Event | None = None) -> None:
        self.row = row
        self.kind = row.kind
        self.klass = row.klass
        self.lane: Lane | None = None
        self.event = event
        self.only: str | None = None
        self.then: Callable[[str], None] | None = None
        """For a turn that is no event: called with the lane's name between two of them."""
        self.identity = False
        self.reset()

    def reset(self) -> None:
        """As before it was begun."""
        self.deliveries: list[object] = []
        self.held: list[str] = []
        self.left = 0
        self.closed = False
        self.started = 0.0
        self.node: object = None
        self.reserved: Node | None = None


class Lane:
    """A node's queue. `last` is the highest journal id that has entered memory."""

    __slots__ = ("ahead", "busy", "key", "last", "offered", "queue", "spilled")

    def __init__(self, key: str) -> None:
        self.key = key
        self.queue: deque[Item] = deque()
        self.busy: list[Item] = []
        """What is under way: one item, two for the moment in which two names become one."""
        self.last = 0
        self.spilled = False
        self.offered = False
        """It stands in the line of those that can be taken, where nobody stands twice."""
        self.ahead: set[int] = set()


Read = Callable[[str, int, int], list[journal.Row] | None]
"""Waiting rows of a lane behind an id, at most so many; None where the store does not answer."""


class Lanes:
    """All lanes; `on_ready` is called when there may be something to take."""

    def __init__(
        self, read: Read, on_ready: Callable[[], None], *, window: int = 5000, lane_window: int = 32
    ) -> None:
        self._read = read
        self._on_ready = on_ready
        self._window = window
        self._lane_window = lane_window
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._spilled: deque[Lane] = deque()
        self.held = 0
        self.running = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def restore(self, waiting: Iterable[tuple[str, int, int]], *, heads: bool = False) -> None:
        """Start-up: everything that waits is on disk. `heads`: the first of each lane come first."""
        for key, first, _count in waiting:
            lane = self._lane(key)
            lane.last = max(lane.last, first - 1)
            self._spill(lane)
        self._refill(1 if heads else self._lane_window)

    def push(self, items: Iterable[Item]) -> None:
        """Items whose rows are committed, in the order of their ids."""
        for item in items:
            lane = self._lane(item.row.lane)
            if 0 < item.row.id <= lane.last:
                continue  # a refill has brought it already
            if not item.row.id:
                self._enter(lane, item)  # a wake-up: not on disk, and asked for again if lost
                continue
            if lane.spilled or self.held >= self._room or len(lane.queue) >= self._lane_window:
                self._spill(lane)
                continue
            lane.last = max(lane.last, item.row.id)
            self._enter(lane, item)
        self._on_ready()

    def push_ahead(self, item: Item) -> None:
        """The second round of an event that just ended: the next thing in its lane."""
        lane = self._lane(item.row.lane)
        item.lane = lane
        lane.ahead.add(item.row.id)
        lane.queue.appendleft(item)
        self.held += 1
        self._offer(lane)

    def turn(self, key: str, then: Callable[[str], None]) -> None:
        """Call `then` with the lane's name when nothing of this lane is under way."""
        item = Item(journal.Row(0, 0.0, 0.0, "host", "turn", "turn", key, "$turn", b"", 0))
        item.then = then
        self.push([item])

    def take(self, most: int) -> Iterator[Item]:
        """The heads of ready lanes, in turns; each lane is busy until `free`."""
        while most > 0 and self._ready:
            lane = self._ready.popleft()
            lane.offered = False
            if lane.busy or not lane.queue:
                continue
            item = lane.queue.popleft()
            lane.busy.append(item)
            item.lane = lane
            self.held -= 1
            self.running += 1
            most -= 1
            yield item
        if self._spilled and self.held < self._room:
            self._refill(self._lane_window)

    def free(self, item: Item) -> None:
        """The item's work is committed; its lane goes on."""
        lane = item.lane
        assert lane is not None
        lane.busy.remove(item)
        self.running -= 1
        lane.ahead.discard(item.row.id)
        if not lane.queue and lane.spilled and self.held < self._room:
            self._fill(lane, self._lane_window)
        if lane.queue:
            self._offer(lane)
        elif not lane.spilled and not lane.busy:
            self._lanes.pop(lane.key, None)

    def merge(self, old: str, new: str) -> None:
        """What queues under `old` belongs to `new` from now on; the order of ids is kept."""
        failpoint("lane.merging")
        source = self._lanes.pop(old, None)
        if source is None or old == new:
            return
        target = self._lanes.get(new)
        if target is None:
            source.key = new
            self._lanes[new] = source
            return
        merged = sorted([*source.queue, *target.queue], key=lambda item: item.row.id)
        for item in (*merged, *source.busy):
            item.lane = target
        target.busy += source.busy
        source.busy = []
        target.queue = deque(merged)
        source.queue = deque()
        target.ahead |= source.ahead
        if source.spilled or target.spilled:
            # what is on disk of both is read anew from the lower mark; what is in memory is skipped
            target.ahead |= {item.row.id for item in merged}
            target.last = min(source.last, target.last)
            self._spill(target)
            source.spilled = False
        else:
            target.last = max(source.last, target.last)
        self._offer(target)

    @property
    def _room(self) -> int:
        """How many events may be in memory before a lane spills. Half as many while others wait on disk:
        what arrives would else keep memory full, and they would wait for ever."""
        return self._window // 2 if self._spilled else self._window

    def waits(self, key: str) -> bool:
        """True while this lane has something to do."""
        return key in self._lanes

    def is_behind(self, key: str) -> bool:
        """True while a part of this lane is on disk only: what enters memory now would overtake it."""
        lane = self._lanes.get(key)
        return lane is not None and lane.spilled

    def _lane(self, key: str) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        return lane

    def _enter(self, lane: Lane, item: Item) -> None:
        item.lane = lane
        lane.queue.append(item)
        self.held += 1
        self._line_up(lane)

    def _offer(self, lane: Lane) -> None:
        if self._line_up(lane):
            self._on_ready()

    def _line_up(self, lane: Lane) -> bool:
        if lane.busy or lane.offered or not lane.queue:
            return False
        lane.offered = True
        self._ready.append(lane)
        return True

    def _spill(self, lane: Lane) -> None:
        if not lane.spilled:
            lane.spilled = True
            self._spilled.append(lane)

    def _refill(self, most: int) -> None:
        for _ in range(len(self._spilled)):
            if self.held >= self._window:
                return
            lane = self._spilled.popleft()
            answered = self._fill(lane, most) if lane.spilled and not lane.queue else True
            if lane.spilled:
                self._spilled.append(lane)
            if not answered:
                return

    def _fill(self, lane: Lane, most: int) -> bool:
        """Read on where memory ends; the lane is no longer spilled once the rows run out. False where
        the store does not answer: the lane stays spilled, and its turn comes again."""
        rows = self._read(lane.key, lane.last, most)
        if rows is None:
            return False
        for row in rows:
            lane.last = row.id
            if row.id not in lane.ahead:
                self._enter(lane, Item(row))
        if len(rows) < most:
            lane.spilled = False
        if lane.queue:
            self._offer(lane)
        elif not lane.spilled and not lane.busy:
            self._lanes.pop(lane.key, None)
        return True


def source_of(row: journal.Row, topic: Topic | None) -> Source:
    """The source of an event, from its journal row and its topic (None where it names no node)."""
    flags = row.flags
    return Source(
        journal_id=row.id,
        topic=row.topic,
        gh=topic.gh if topic else "",
        zone=topic.zone if topic else "",
        name=topic.name if topic else "",
        channel=topic.channel if topic else "",
        payload=row.payload,
        received_at=row.at,
        observed_at=row.observed,
        live=not flags & (journal.BACKLOG | journal.RETAINED),
        retained=bool(flags & journal.RETAINED),
        replayed=bool(flags & journal.REPLAYED),
        count=row.copies,
        first_seq=row.first_seq,
    )
