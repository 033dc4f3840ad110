"""An event's turn: who is called, what comes of it, one commit for many (rule 1).

Rules of this file. All of it runs on the gateway's loop. An event whose plugins succeed within
`gather` is finished in one commit; a plugin that failed, is late, is switched off or still has an
earlier event of this node open gets a `delivery` row in that commit and goes on alone (`retries`).
Names that an event is about to take are held at once (the identity lane, rule 3).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.api import Node
from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.flow.commit import Commits
from gateway.flow.lanes import Item, Lanes, source_of
from gateway.flow.units import Units
from gateway.flow.work import creates
from gateway.hooks.calls import Delivery
from gateway.hooks.runners import Runners
from gateway.hooks.tx import Gathered
from gateway.host.registry import Bound, Plugin
from gateway.store import nodes

if TYPE_CHECKING:
    from gateway.flow.parts import Parts
    from gateway.settings.model import Handlers

log = logging.getLogger(__name__)
_BATCH = 256
# more under way would only wait in a plugin's queue, and look late without having begun
_UNDER_WAY = 512
# a call that could not even begin: its plugin's thread is taken by another one for that long
_BLOCKED = 1.0
_HOOKS = {
    "node_hello": "node_hello",
    "heartbeat": "node_heartbeat",
    "config_report": "config_reported",
    "change": "node_changed",
}
Target = tuple[Plugin, Bound]


class Dispatcher:
    """Takes ready events from the lanes, calls their plugins, commits what they gathered."""

    def __init__(self, parts: Parts, lanes: Lanes, runners: Runners, times: Handlers) -> None:
        self.careful = parts.careful
        self._parts = parts
        self._lanes = lanes
        self._runners = runners
        self._gather = times.gather
        self._loop = asyncio.get_running_loop()
        runners.took = self.hold_names
        self._turning = False
        self._running: dict[Item, None] = {}
        self.units = Units(parts, times)
        self.commits = Commits(parts, lanes, self.kick)
        self.accepting = True

    @property
    def idle(self) -> bool:
        """True where no event is under way."""
        return not self._running and self.commits.idle

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
        most = min(_BATCH, _UNDER_WAY - len(self._running))
        if self.careful.alone:
            most = 0 if self._lanes.running else 1
        for item in self._lanes.take(most):
            count += 1
            self._begin(item, batches)
        self._runners.post(batches)
        if count == _BATCH:
            self.kick()

    # -- begin -------------------------------------------------------------------------------

    def _begin(self, item: Item, batches: dict[str, list[Delivery]]) -> None:
        if item.then is not None:
            assert item.lane is not None
            item.then(item.lane.key)
            self._lanes.free(item)
            return
        try:
            self.prepare(item)
        except Refusal as refusal:
            self.commits.queue(self.units.give_up(item, f"refused: {refusal}"))
            return
        except Exception as error:  # one row must not stop the others of this turn
            log.exception("message %d of %s cannot be worked on", item.row.id, item.row.lane)
            self.commits.queue(self.units.give_up(item, f"cannot be worked on: {error!r}"))
            return
        if self.careful and not self.careful.before(item.row.id):
            why = self.careful.verdict
            log.error("message %d of %s is given up: %s", item.row.id, item.row.lane, why)
            self.commits.queue(self.units.give_up(item, why))
            return
        failpoint("event.begun")
        node = item.node
        assert isinstance(node, Node)
        item.identity = not node.known and item.klass in ("journal", "latest") and bool(node.uid)
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
        tx = Gathered(self._parts.reader, self._parts.roster, self._parts.host)
        return Delivery(item, plugin, bound, item.node, tx)

    # -- end ---------------------------------------------------------------------------------

    def report(self, deliveries: list[Delivery]) -> None:
        """Calls that have ended, in a list from their thread."""
        now = time.monotonic()
        for delivery in deliveries:
            if delivery.ended:
                continue
            delivery.ended = True
            self._parts.retries.breakers.judge(delivery, self._runners.stopped_by(delivery, now))
            if delivery.over is not None:
                if not delivery.over.done():
                    delivery.over.set_result(None)
                continue
            item = delivery.item
            if item.closed:
                continue  # a wake-up that took too long: its job asks again
            item.left -= 1
            if item.left == 0:
                self._finish(item)

    def sweep(self, now: float) -> None:
        """Called a few times a second: events that waited long enough for a slow plugin."""
        self.report(self._runners.watch(now))
        for item in [i for i in self._running if now - i.started > self._gather]:
            if self._has_waited(item, now):
                self._finish(item)
        self.kick()

    def _has_waited(self, item: Item, now: float) -> bool:
        """True where every call that is still out has had its time: from its own beginning."""
        for delivery in item.deliveries:
            assert isinstance(delivery, Delivery)
            if delivery.ended:
                continue
            if delivery.tx.closed:
                return False  # it has ended, and its report is on the way
            since = delivery.started or item.started
            if now - since <= (self._gather if delivery.started else _BLOCKED):
                return False
        return True

    def _finish(self, item: Item) -> None:
        """Build the event's unit of work from what is there."""
        del self._running[item]
        item.closed = True
        failpoint("event.finished")
        try:
            unit = self.units.build(item)
        except Exception as error:  # a lane that stands still for ever would be worse
            log.exception("message %d of %s cannot be finished", item.row.id, item.row.lane)
            unit = self.units.give_up(item, f"cannot be finished: {error!r}")
        self.commits.queue(unit)

    def hold_names(self, delivery: Delivery) -> None:
        """On the plugin's thread: the names that this event takes are taken from now on (rule 3).

        Events that create nodes run one after the other on the thread of the plugin that creates
        them, so the next one sees what this one has taken although nothing is committed yet.
        """
        item, changes = delivery.item, delivery.tx.node_changes
        if item.identity and creates(changes):
            item.reserved = nodes.patched(delivery.node, changes, time.time())
            self._parts.roster.reserve(item.reserved)
            failpoint("identity.held")
