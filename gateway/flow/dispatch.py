"""An event's turn: who is called, what comes of it, one commit for many (rule 1).

Rules of this file. All of it runs on the gateway's loop. An event whose plugins succeed within
`gather` is finished in one commit; a plugin that failed, is late, is switched off or still has an
earlier event of this node open gets a `delivery` row in that commit and goes on alone (`retries`).
Events of names that nobody knows pass one at a time (the identity lane, rule 3).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.api import Node
from gateway.errors import Refusal
from gateway.flow.calls import Delivery, Runners
from gateway.flow.lanes import Item, Lanes, source_of
from gateway.flow.work import Effect, Gathered, Unit, answer_text, creates
from gateway.host.registry import Bound, Plugin
from gateway.store import journal, nodes

if TYPE_CHECKING:
    from gateway.flow.parts import Parts

log = logging.getLogger(__name__)
_BATCH = 256
_HOOKS = {
    "node_hello": "node_hello",
    "heartbeat": "node_heartbeat",
    "config_report": "config_reported",
    "change": "node_changed",
}
Target = tuple[Plugin, Bound]


class Dispatcher:
    """Takes ready events from the lanes, calls their plugins, commits what they gathered."""

    def __init__(self, parts: Parts, lanes: Lanes, runners: Runners, gather: float) -> None:
        self._parts = parts
        self._lanes = lanes
        self._runners = runners
        self._gather = gather
        self._loop = asyncio.get_running_loop()
        self._turning = False
        self._identity: Item | None = None
        self._identity_queue: deque[Item] = deque()
        self._running: dict[Item, None] = {}
        self._finished: list[Unit] = []
        self.committing = 0
        self.events = 0
        self.accepting = True

    @property
    def idle(self) -> bool:
        """True where no event is under way."""
        return not (self._running or self.committing or self._identity_queue or self._finished)

    def kick(self) -> None:
        """There may be something to take."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if not self.accepting:
            return
        batches: dict[str, list[Delivery]] = {}
        count = 0
        for item in self._lanes.take(_BATCH):
            count += 1
            self._begin(item, batches)
        self._runners.post(batches)
        if count == _BATCH:
            self.kick()

    # -- begin -------------------------------------------------------------------------------

    def _begin(self, item: Item, batches: dict[str, list[Delivery]]) -> None:
        try:
            self.prepare(item)
        except Refusal as refusal:
            self._give_up_row(item, f"refused: {refusal}")
            return
        node = item.node
        assert isinstance(node, Node)
        item.identity = not node.known and item.klass in ("journal", "latest") and bool(node.uid)
        if item.identity:
            if self._identity is not None:
                self._identity_queue.append(item)
                return
            self._identity = item
        self._call(item, batches)

    def prepare(self, item: Item) -> None:
        """Decode the event where it came from disk, and look its node up. Raises Refusal."""
        row = item.row
        if not row.intact():
            raise Refusal("hash", "the journal row is damaged")
        topic = self._parts.topic_of(row)
        if item.event is None:
            item.event = self._parts.decode(row)
        item.event.source = source_of(row, topic)
        name = self._parts.name_of(row, topic, item.event)
        node = self._parts.roster.find(name) if name else Node(id=0, known=False)
        item.node = node if node is not None else self._parts.roster.stranger(name)

    def targets(self, item: Item) -> Iterable[Target]:
        """Who is called for this event."""
        if item.only is not None:
            return self._parts.wake_targets(item.only)
        found = self._parts.registry.targets(_HOOKS.get(item.kind, "node_message"), item.kind)
        return (*found, *self._parts.handlers.targets(item.row))

    def _call(self, item: Item, batches: dict[str, list[Delivery]]) -> None:
        item.started = time.monotonic()
        key = item.row.lane
        for plugin, bound in self.targets(item):
            if not self._parts.retries.may_call(key, plugin, item.started):
                item.held.append(plugin.name)
                continue
            delivery = self.delivery(item, plugin, bound)
            item.deliveries.append(delivery)
            batches.setdefault(plugin.group, []).append(delivery)
        item.left = len(item.deliveries)
        self._running[item] = None
        if item.left == 0:
            self._finish(item)

    def delivery(self, item: Item, plugin: Plugin, bound: Bound) -> Delivery:
        """One plugin's call for this event."""
        tx = Gathered(self._parts.reader, self._parts.roster)
        return Delivery(item, plugin, bound, item.node, tx)

    # -- end ---------------------------------------------------------------------------------

    def report(self, deliveries: list[Delivery]) -> None:
        """Calls that have ended, in a list from their thread."""
        for delivery in deliveries:
            if delivery.ended:
                continue
            delivery.ended = True
            self._parts.retries.judge(delivery)
            if delivery.late:
                self._parts.retries.came_late(delivery)
                continue
            item = delivery.item
            item.left -= 1
            if item.left == 0:
                self._finish(item)

    def sweep(self, now: float) -> None:
        """Called a few times a second: events that waited long enough for a slow plugin."""
        self.report(self._runners.watch(now))
        for item in [i for i in self._running if now - i.started > self._gather]:
            self._finish(item)

    def _finish(self, item: Item) -> None:
        """Build the event's unit of work from what is there."""
        del self._running[item]
        item.closed = True
        unit = Unit(item, item.row.id, item.row.lane, self._node_before(item))
        good: list[Delivery] = []
        for delivery in item.deliveries:
            assert isinstance(delivery, Delivery)
            if not delivery.ended:
                delivery.late = True
                unit.late.append(delivery)
                self._keep_open(unit, delivery.plugin.name, 0, "")
            elif delivery.error is None:
                good.append(delivery)
            else:
                self._keep_failed(unit, delivery)
        for name in item.held:
            self._keep_open(unit, name, 0, "")
        self.fill(unit, good)
        if item.klass == "command" and unit.answer is None:
            unit.answer = self._parts.command_answer(item)
        if item.identity:
            self._end_identity(item, unit)
        self.queue(unit)

    def _node_before(self, item: Item) -> Node:
        node = item.node
        assert isinstance(node, Node)
        if node.known:
            return self._parts.roster.get(node.id) or node
        for delivery in item.deliveries:
            assert isinstance(delivery, Delivery)
            uid = delivery.tx.node_changes.get("uid")
            held = self._parts.roster.find(uid) if isinstance(uid, str) else None
            if held is not None and held.known and held.hardware_id is None:
                return held  # known by its uid so far; this event tells whose it is
        return node

    def fill(self, unit: Unit, good: Iterable[Delivery]) -> None:
        """Put the effects of these deliveries into the unit, the one that names a node first."""
        now = time.time()
        if unit.journal_id and self._parts.wants_changes():
            unit.change_row = lambda *change: self._change_row(unit, *change)
        unit.fail_row = lambda plugin, error: self._parts.retries.row_for(
            unit.journal_id, plugin, unit.lane, 1, error
        )
        for delivery in sorted(good, key=lambda d: not creates(d.tx.node_changes)):
            unit.effects.append(
                Effect(delivery.plugin.name, delivery.tx, unit.before.id, self._parts.ids, now)
            )
            if delivery.tx.result is not None:
                unit.answer = answer_text(*delivery.tx.result)

    def _change_row(
        self, unit: Unit, number: int, field: str, before: str | None, after: str, cause: str
    ) -> journal.Row:
        payload = msgspec.json.encode(
            {"field": field, "before": before, "after": after, "cause": cause}
        )
        row = unit.item.row
        lane = nodes.lane_of(unit.node)
        topic = f"$change/{unit.node.id}"
        crc = journal.checksum(topic, payload)
        return journal.Row(
            number, row.at, row.observed, "host", "change", "change", lane, topic, payload, crc
        )

    def _keep_open(self, unit: Unit, plugin: str, attempts: int, error: str) -> None:
        if not unit.journal_id:
            return
        unit.deliveries.append(
            journal.Delivery(unit.journal_id, plugin, unit.lane, "open", attempts, 0.0, error)
        )
        self._parts.retries.opened(unit.lane, plugin)

    def _keep_failed(self, unit: Unit, delivery: Delivery) -> None:
        error = delivery.error
        assert error is not None
        if unit.item.klass == "command":
            text = f"plugin {delivery.plugin.name} failed: {type(error).__name__}: {error}"
            unit.answer = answer_text(False, {"error": text})
        elif unit.journal_id:
            row = self._parts.retries.row_for(
                unit.journal_id, delivery.plugin.name, unit.lane, 1, error
            )
            unit.deliveries.append(row)
            if row.state == "open":
                self._parts.retries.opened(unit.lane, row.plugin)

    def _end_identity(self, item: Item, unit: Unit) -> None:
        """Hold the names that this event takes, and let the next one of the identity lane go."""
        for effect in unit.effects:
            if creates(effect.tx.node_changes):
                unit.node = nodes.patched(unit.before, effect.tx.node_changes, time.time())
                self._parts.roster.reserve(unit.node)
                item.node = unit.node
                break
        self._identity = None
        if self._identity_queue:
            self._loop.call_soon(self._next_identity)

    def _next_identity(self) -> None:
        if self._identity is None and self._identity_queue:
            batches: dict[str, list[Delivery]] = {}
            self._begin(self._identity_queue.popleft(), batches)
            self._runners.post(batches)
            if self._identity is None and self._identity_queue:
                self._loop.call_soon(self._next_identity)

    # -- commit ------------------------------------------------------------------------------

    def queue(self, unit: Unit) -> None:
        """Commit this unit together with whatever else ends in this turn of the loop."""
        self._finished.append(unit)
        if len(self._finished) == 1:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        units, self._finished = self._finished, []
        now = time.time()
        self.committing += len(units)
        future = self._parts.writer.submit(lambda c: [unit.apply(c, now) for unit in units])
        future.add_done_callback(lambda done: self._committed(units, done))

    def _committed(self, units: list[Unit], done: asyncio.Future[list[Unit]]) -> None:
        self.committing -= len(units)
        error = done.exception() if not done.cancelled() else None
        if error is not None:
            log.error("a commit of %d events failed for good", len(units), exc_info=error)
            return
        for unit in units:
            self._settle(unit)
        self.kick()

    def _settle(self, unit: Unit) -> None:
        """The unit is on disk: now memory follows."""
        self.events += 1
        item = unit.item
        if isinstance(item.node, Node) and item.identity:
            self._parts.roster.release(item.node)
        if unit.node is not unit.before:
            self._parts.roster.put(unit.node)
            lane = nodes.lane_of(unit.node)
            if lane != unit.lane:
                self._lanes.merge(unit.lane, lane)
                self._parts.retries.move(unit.lane, lane)
        for plugin, error in unit.failed:
            log.warning("plugin %s: what it wanted done failed: %s", plugin, error)
            self._parts.retries.opened(unit.lane, plugin)
        self._parts.outbox.push(unit.parcels, unit.replaced)
        for delivery in unit.late:
            self._parts.retries.is_late(delivery)
        if unit.only is None:
            self._lanes.free(item)
        else:
            self._parts.retries.settled(unit)
        for row in reversed(unit.changes):
            self._lanes.push_ahead(Item(row))
        self._parts.on_event(unit)

    def _give_up_row(self, item: Item, why: str) -> None:
        """A row that cannot be an event any more: a dead letter, and its lane goes on."""
        item.node = Node(id=0, known=False)
        unit = Unit(item, item.row.id, item.row.lane, item.node)
        unit.deliveries.append(
            journal.Delivery(item.row.id, "-", item.row.lane, "dead", 1, 0.0, why)
        )
        self.queue(unit)
