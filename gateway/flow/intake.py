"""A raw message becomes a journal row, and only then is it acknowledged.

Rules of this file. Lists come in and lists go out: what arrives while a commit is under way shares
the next one. Every message ends in a counted outcome: journaled, duplicate, refused (with its word,
kept as a dead letter), a deletion, or unwanted. PUBACK follows the commit, never before (promise 1).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.flow.group import Group, Linger, is_quiet
from gateway.flow.lanes import Item, Lanes
from gateway.flow.recent import Beats, Buckets
from gateway.protocol.codec import decode
from gateway.protocol.messages import Event, NodeHello
from gateway.protocol.topics import Topic, parse
from gateway.store import journal

if TYPE_CHECKING:
    from gateway.flow.parts import Parts
    from gateway.store.sqlite import Connection

log = logging.getLogger(__name__)
_KEPT_BYTES = 1024
_STATE_KINDS = ("status", "lwt")


class Intake:
    """Takes lists of received messages from the link."""

    def __init__(
        self,
        parts: Parts,
        lanes: Lanes,
        ack: Callable[[list[Any]], None],
        *,
        keep_refused: int,
        linger: float = 0.0,
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._ack = ack
        self._keep_refused = keep_refused
        self._next = Group()
        self._busy = False
        self._under_way = 0
        self._linger = Linger(linger, self._go_on)
        self._beats, self._buckets = Beats(), Buckets(parts.limits.flood_rate)
        self.counts: Counter[str] = Counter()
        self.is_copy: Callable[[str], bool] = lambda _topic: False
        self.on_full: Callable[[bool], None] = lambda _full: None
        self._full = False
        self._open = True

    @property
    def idle(self) -> bool:
        """True where everything that came in is on disk."""
        return not (self._busy or self._next)

    @property
    def unacknowledged(self) -> int:
        """Messages that were read and are not on disk yet: the broker has them too."""
        return len(self._next.tokens) + self._under_way

    def holds(self, lane: str) -> bool:
        """True while something of this lane waits for its commit to begin."""
        return self._next.holds(lane)

    def close(self) -> None:
        """The gateway stops: nothing is taken any more, and what was taken waits no longer."""
        self._open = False
        self._next.hurry = True
        self._go_on()

    def take(self, received: list[Any]) -> None:
        """Messages of one session, in their order of arrival."""
        if not self._open:
            return  # unacknowledged: the broker keeps them for the next start
        now, observed = time.time(), self._parts.observed()
        self.counts["received"] += len(received)
        for message in received:
            self._next.tokens.append(message.token)
            try:
                self._take_one(message, now, observed)
            except Refusal as refusal:
                self._refuse(message, refusal, now)
        self._go_on()

    def put(self, item: Item) -> None:
        """A row that the gateway made itself (a command)."""
        self._keep(item, hurry=True)
        self._go_on()

    def _take_one(self, message: Any, now: float, observed: float) -> None:
        kind, event, topic = self._understand(message)
        if kind is None:
            return
        name = self._parts.name_in(topic, event) if topic is not None else ""
        lane = self._parts.roster.lane(name) if name else f"${kind}/{message.topic}"
        klass = type(event).durability if event is not None else "journal"
        # what waited at the broker while we were away comes at once, and is nobody's flood
        counts = message.session == "bulk" and not message.backlog
        if counts and self._buckets.is_flood(lane, now):
            raise Refusal("flood", f"{lane} sends more than its share of {kind}")
        dedupe, seq = None, 0
        if event is not None and event.boot_id is not None and event.seq is not None:
            seq = event.seq
            if klass == "latest":
                if self._beats.is_old(message.topic, event):
                    self.counts["duplicate"] += 1
                    return
            else:
                dedupe = _digest(kind, topic, name, event)
        flags = message.backlog * journal.BACKLOG | message.retain * journal.RETAINED
        before = None
        if klass == "latest" and event is not None and event.boot_id is not None:
            before = self._next.adjacent(lane, message.topic, event, flags)
        if before is None:
            number, copies, first = self._parts.ids.journal(), 1, seq
        else:
            kept = before.row
            number, copies, first = kept.id, kept.copies + 1, kept.first_seq or seq
        row = journal.Row(
            number, now, observed, message.session, klass, kind, lane, message.topic,
            message.payload, journal.checksum(message.topic, message.payload), flags, copies,
            first, dedupe,
        )  # fmt: skip
        if before is None:
            is_news = not is_quiet(row, self._parts.roster.find(name))
            self._keep(Item(row, event), hurry=is_news)
        else:
            before.row, before.event = row, event
            self.counts["folded"] += 1

    def _understand(self, message: Any) -> tuple[str | None, Event | None, Topic | None]:
        """Kind, event and topic; kind None where there is nothing to journal. Raises Refusal."""
        if message.session == "control" and self.is_copy(message.topic):
            self.counts["copy"] += 1
            return None, None, None
        wanted_raw = self._parts.handlers.wants(message.topic)
        try:
            topic = parse(message.topic, self._parts.root)
            if not message.payload and (topic.kind in _STATE_KINDS or message.retain):
                self.counts["deletion"] += 1
                return ("raw", None, topic) if wanted_raw else (None, None, None)
            cls = self._parts.types.get(topic.kind)
            if cls is None:
                if wanted_raw:
                    return "raw", None, topic
                self.counts["unwanted"] += 1
                return None, None, None
            limits = self._parts.limits
            event = decode(cls, message.payload, limit=limits.payload, depth=limits.json_depth)
        except Refusal:
            if wanted_raw:
                return "raw", None, None
            raise
        else:
            return topic.kind, event, topic

    def _refuse(self, message: Any, refusal: Refusal, now: float) -> None:
        self.counts["refused"] += 1
        self.counts[f"refused:{refusal.word}"] += 1
        log.debug("refused a message on %r: %s", message.topic[:200], refusal)
        if refusal.word == "flood" and self.counts["refused:flood"] % 1000 != 1:
            return  # counted, and one in a thousand kept as a sample
        self._next.refuse(_refused(self._parts.ids.refused(), message, refusal, now))

    def _keep(self, item: Item, *, hurry: bool) -> None:
        self._next.keep(item, hurry=hurry)
        if self._next.is_full and not self._full:
            self._full = True
            self.on_full(True)

    def _go_on(self) -> None:
        group = self._next
        if self._busy or not group:
            return
        if group.items and not group.hurry and self._linger.holds(len(group.tokens)):
            return
        self._linger.reset()
        self._next = Group()
        items, refused, tokens = group.items, group.refused, group.tokens
        if not items and not refused:
            self._ack(tokens)
            return
        self._busy = True
        self._under_way = len(tokens)
        failpoint("intake.writing")
        rows = [item.row for item in items]

        def write(connection: Connection) -> set[int]:
            doubles = journal.add(connection, rows)
            if refused:
                journal.refuse(connection, refused, self._keep_refused)
            return doubles

        try:
            future = self._parts.writer.submit(write)
        except RuntimeError:
            log.debug("%d messages came too late for this life; the broker keeps them", len(tokens))
            return
        future.add_done_callback(lambda done: self._written(done.result(), items, tokens))

    def _written(self, doubles: set[int], items: list[Item], tokens: list[Any]) -> None:
        """It is on disk: acknowledge, and let the lanes have it."""
        self._busy = False
        self._under_way = 0
        failpoint("intake.written")
        self._ack(tokens)
        failpoint("intake.acknowledged")
        if doubles:
            self.counts["duplicate"] += len(doubles)
            items = [item for item in items if item.row.id not in doubles]
        self.counts["journaled"] += len(items)
        self._lanes.push(items)
        failpoint("intake.pushed")
        if self._full and self._next.has_room:
            self._full = False
            self.on_full(False)
        self._go_on()


def _refused(number: int, message: Any, refusal: Refusal, now: float) -> journal.Refused:
    detail = f"{refusal.detail} ({len(message.payload):,} bytes)"[:500]
    topic = message.topic[:1000].encode(errors="replace").decode()  # half a pair is no text
    payload = message.payload[:_KEPT_BYTES]
    return journal.Refused(number, now, topic, payload, refusal.word, detail)


def _digest(kind: str, topic: Topic | None, name: str, event: Event) -> bytes:
    channel = topic.channel if topic is not None else ""
    who = event.hardware_id if isinstance(event, NodeHello) else name
    text = f"{kind}|{channel}|{who}|{event.boot_id}|{event.seq}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
