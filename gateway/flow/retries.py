"""Deliveries that failed, are late or were held back: each (node, plugin) goes on alone, in order.

Rules of this file. The rows of `delivery` are the truth: memory has a key for each (lane, plugin) with
open rows, and one task that works on the oldest of them until there is none. While the key is there,
later events of that node are held back for that plugin only. Trouble with the store or the broker is
never an attempt, and never an end.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.flow.lanes import Item
from gateway.flow.work import Unit
from gateway.hooks.breaker import Breakers
from gateway.hooks.calls import Delivery
from gateway.host.registry import Plugin
from gateway.store import journal, nodes

if TYPE_CHECKING:
    from gateway.flow.dispatch import Dispatcher
    from gateway.flow.parts import Parts
    from gateway.settings.model import Handlers

log = logging.getLogger(__name__)
# more of one plugin at once would only stand in front of the live events of all other nodes
_AT_ONCE = 32
_STORE_PAUSE = 1.0
_SPACING = 0.005
_DEATHS = 3
"""Rule 2: however few attempts a plugin has, one that was under way in a power cut has another."""
_ABSENT_PAUSE = 60.0


class Key:
    """A (lane, plugin) that has open deliveries; the lane may change its name."""

    __slots__ = ("before", "calling", "lane", "late", "moved", "news", "pending", "plugin", "task")

    def __init__(self, lane: str, plugin: str) -> None:
        self.lane = lane
        self.plugin = plugin
        self.pending = 0
        """Units with a row for us whose commit is under way."""
        self.late: deque[Delivery] = deque()
        """Calls that go on although their event is committed for the others."""
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.calling = False
        self.moved = False
        """True where another key goes on for us, as soon as our present step is over."""
        self.before: list[asyncio.Task[None]] = []


class Retries:
    """Open deliveries and their attempts."""

    dispatcher: Dispatcher

    def __init__(self, parts: Parts, times: Handlers) -> None:
        self._parts = parts
        self._times = times
        self._keys: dict[tuple[str, str], Key] = {}
        self._room: dict[str, asyncio.Semaphore] = {}
        self.breakers = Breakers(times.breaker_failures)

    # -- what the dispatcher asks ------------------------------------------------------------

    def may_call(self, lane: str, plugin: Plugin, now: float) -> bool:
        """False where this plugin has an earlier event of the node open, or is switched off."""
        if (lane, plugin.name) in self._keys or plugin.state == "absent":
            return False
        return self.breakers.of(plugin.name).allows(now)

    def may_wait(self, lane: str, plugin: str) -> bool:
        """True where what is held back is done as soon as the earlier event of this node is."""
        return (lane, plugin) in self._keys and not self.breakers.of(plugin).is_open

    # -- what opens and what wakes -----------------------------------------------------------

    def hold(self, unit: Unit, plugin: str, late: Delivery | None = None) -> None:
        """An open row goes into this unit: from now on later events of the node wait for it."""
        key = self._key(unit.lane, plugin)
        key.pending += 1
        unit.keys.append(key)
        if late is not None:
            late.over = asyncio.get_running_loop().create_future()
            key.late.append(late)

    def committed(self, unit: Unit) -> None:
        """The unit is on disk: its open rows are worked on from here on."""
        for key in unit.keys:
            key.pending -= 1
        unit.keys.clear()
        for row in unit.kept:
            if row.state == "open":
                node = self._parts.roster.find(row.lane)
                self.open(row.lane if node is None else nodes.lane_of(node), row.plugin)

    def open(self, lane: str, plugin: str) -> None:
        """There are open rows on disk."""
        key = self._key(lane, plugin)
        key.news.set()
        if key.task is None:
            key.task = asyncio.ensure_future(self._work(key))

    def move(self, old: str, new: str) -> None:
        """The lane got another name."""
        for lane, plugin in [pair for pair in self._keys if pair[0] == old]:
            key = self._keys.pop((lane, plugin))
            other = self._keys.get((new, plugin))
            if other is None:
                key.lane = new
                self._keys[new, plugin] = key
            elif key.task is not None:
                key.moved = True
                key.news.set()
                other.before.append(key.task)

    def _key(self, lane: str, plugin: str) -> Key:
        key = self._keys.get((lane, plugin))
        if key is None:
            key = self._keys[lane, plugin] = Key(lane, plugin)
        return key

    @property
    def open_keys(self) -> int:
        """How many (node, plugin) wait for another attempt."""
        return len(self._keys)

    @property
    def under_way(self) -> bool:
        """True while a late or retried call is running."""
        return any(key.calling or key.late for key in self._keys.values())

    async def stop(self) -> None:
        """Stop working; the rows stay."""
        tasks = [key.task for key in self._keys.values() if key.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the work ----------------------------------------------------------------------------

    async def _work(self, key: Key) -> None:
        await self._parts.careful.over.wait()
        troubled = False
        while True:
            try:
                if not await self._step(key):
                    break
                troubled = False
            except Exception:  # the store cannot be read: that is nobody's attempt
                if not troubled:
                    log.exception("plugin %s waits for the store (%s)", key.plugin, key.lane)
                troubled = True
                await asyncio.sleep(_STORE_PAUSE)
        if self._keys.get((key.lane, key.plugin)) is key:
            del self._keys[key.lane, key.plugin]

    async def _step(self, key: Key) -> bool:
        """Bring the oldest open row one step on; False where there is none left."""
        while key.before:
            await asyncio.wait([key.before.pop()])
        if key.late:
            late = key.late[0]
            assert late.over is not None
            await late.over
            await self._conclude(key, late)
            key.late.popleft()
            return True
        if key.moved:
            return False
        key.news.clear()
        row = journal.head_delivery(self._parts.reader.connection(), key.lane, key.plugin)
        if row is not None:
            await self._attempt(key, row)
            return True
        if key.pending:
            await key.news.wait()
            return True
        return False

    async def _attempt(self, key: Key, row: journal.Delivery) -> None:
        """One attempt at the oldest open row, if it is time and the plugin is there."""
        plugin = self._parts.plugin(key.plugin)
        if plugin is None or plugin.state != "ready":
            await self.breakers.wait(_ABSENT_PAUSE)
            return
        # a clock that was put back must not keep it for hours
        await asyncio.sleep(min(max(0.0, row.next_at - time.time()), self._times.backoff_max))
        breaker = self.breakers.of(key.plugin)
        if not breaker.allows(time.monotonic()):
            # thousands may wait for one plugin: not all of them look at the same moment
            spread = random.uniform(0.0, len(self._keys) * _SPACING)  # noqa: S311 - no secret
            await self.breakers.wait(breaker.wait(time.monotonic()) + spread)
            return
        try:
            delivery = self._delivery(row, plugin)
        except Refusal as refusal:
            await self._commit(self.dispatcher.units.grave(row, refusal.detail))
            return
        async with self._room.setdefault(key.plugin, asyncio.Semaphore(_AT_ONCE)):
            await self._call(key, row, plugin, delivery)

    async def _call(
        self, key: Key, row: journal.Delivery, plugin: Plugin, delivery: Delivery
    ) -> None:
        key.calling = True
        try:
            # written first: an event that ends the process must not be tried for ever
            failpoint("retry.writing")
            await self._parts.writer.submit(
                lambda c: journal.begin_attempt(c, row.journal_id, key.plugin, row.attempts + 1)
            )
            failpoint("retry.written")
            delivery.over = asyncio.get_running_loop().create_future()
            self._parts.runners.post({plugin.group: [delivery]})
            await delivery.over
            await self._conclude(key, delivery)
        finally:
            key.calling = False

    def _delivery(self, row: journal.Delivery, plugin: Plugin) -> Delivery:
        """The call that the row stands for. Raises Refusal where it cannot be made any more."""
        if row.attempts >= max(self._times.attempts, _DEATHS):
            raise Refusal("schema", f"{row.error or 'no error'}; then it ended the gateway")
        found = journal.get(self._parts.reader.connection(), row.journal_id)
        if found is None:
            raise Refusal("schema", "its message is gone from the journal")
        item = Item(found._replace(lane=row.lane))
        self.dispatcher.prepare(item)
        for target, bound in self.dispatcher.targets(item):
            if target.name == plugin.name:
                delivery = self.dispatcher.delivery(item, target, bound)
                delivery.attempts = row.attempts
                return delivery
        raise Refusal("schema", f"plugin {plugin.name} does not take {item.kind!r} any more")

    async def _conclude(self, key: Key, delivery: Delivery) -> None:
        """A late or retried call has ended: its effects, or its next row, are committed alone."""
        failpoint("retry.ended")
        await self._commit(self.dispatcher.units.alone(delivery, key.lane))

    async def _commit(self, unit: Unit) -> None:
        unit.over = asyncio.get_running_loop().create_future()
        self.dispatcher.commits.queue(unit)
        await unit.over
