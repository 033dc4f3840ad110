"""Deliveries that failed, are late or were held back: each (node, plugin) goes on alone, in order.

Rules of this file. The rows of `delivery` are the truth; in memory there is a count for each (lane,
plugin) that has open rows, and one task that works on the oldest of them. While the count is not
zero, later events of that node are held back for that plugin only. Trouble with the store or the
broker is never an attempt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from gateway.api import Node
from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.flow.lanes import Item
from gateway.flow.work import Unit
from gateway.hooks.breaker import Breakers
from gateway.hooks.calls import Delivery
from gateway.host.registry import Plugin
from gateway.store import journal

if TYPE_CHECKING:
    from gateway.flow.dispatch import Dispatcher
    from gateway.flow.parts import Parts
    from gateway.settings.model import Handlers

log = logging.getLogger(__name__)


class Key:
    """A (lane, plugin) that has open deliveries; the lane may change its name."""

    __slots__ = ("count", "lane", "plugin", "task")

    def __init__(self, lane: str, plugin: str) -> None:
        self.lane = lane
        self.plugin = plugin
        self.count = 0
        self.task: asyncio.Task[None] | None = None


class Retries:
    """Open deliveries, their attempts, and a breaker for each plugin."""

    def __init__(self, parts: Parts, times: Handlers) -> None:
        self._parts = parts
        self._times = times
        self._keys: dict[tuple[str, str], Key] = {}
        self._late: dict[tuple[int, str], tuple[Delivery, asyncio.Future[None]]] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.breakers = Breakers(times.breaker_failures)
        self.dispatcher: Dispatcher | None = None

    # -- what the dispatcher asks ------------------------------------------------------------

    def may_call(self, lane: str, plugin: Plugin, now: float) -> bool:
        """False where this plugin has an earlier event of the node open, or is switched off."""
        if (lane, plugin.name) in self._keys or plugin.state == "absent":
            return False
        return self.breakers.of(plugin.name).allows(now)

    def row_for(
        self, journal_id: int, plugin: str, lane: str, attempts: int, error: BaseException
    ) -> journal.Delivery:
        """The row after a failed attempt: open with a back-off, or dead."""
        text = f"{type(error).__name__}: {error}"[:500]
        state = "open" if attempts < self._times.attempts else "dead"
        if state == "dead":
            log.error(
                "plugin %s gave up on message %d of %s after %d attempts (%s). "
                "next: gateway dead show %d",
                plugin,
                journal_id,
                lane,
                attempts,
                text,
                journal_id,
            )
        pause = min(self._times.backoff * 2 ** (attempts - 1), self._times.backoff_max)
        pause *= 0.5 + random.random() / 2  # noqa: S311 - jitter, not a secret
        return journal.Delivery(
            journal_id, plugin, lane, state, attempts, time.time() + pause, text
        )

    def opened(self, lane: str, plugin: str, count: int = 1) -> None:
        """Open rows of this (lane, plugin) are committed or about to be."""
        key = self._keys.get((lane, plugin))
        if key is None:
            key = self._keys[lane, plugin] = Key(lane, plugin)
        key.count += count
        if key.task is None:
            key.task = asyncio.ensure_future(self._work(key))

    def is_late(self, delivery: Delivery) -> None:
        """A call that goes on although its event is committed for the others."""
        future = asyncio.get_running_loop().create_future()
        if delivery.ended:
            future.set_result(None)
        self._late[delivery.item.row.id, delivery.plugin.name] = (delivery, future)

    def came_late(self, delivery: Delivery) -> None:
        """Such a call has ended (it may end before its event's commit returned)."""
        found = self._late.get((delivery.item.row.id, delivery.plugin.name))
        if found is not None and not found[1].done():
            found[1].set_result(None)
        waiting = self._waiting.pop(id(delivery), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def move(self, old: str, new: str) -> None:
        """The lane got another name."""
        for lane, plugin in [pair for pair in self._keys if pair[0] == old]:
            key = self._keys.pop((lane, plugin))
            key.lane = new
            other = self._keys.get((new, plugin))
            if other is not None:
                other.count += key.count
                if key.task is not None:
                    key.task.cancel()
            else:
                self._keys[new, plugin] = key

    def settled(self, unit: Unit) -> None:
        """A retried delivery's unit is committed."""
        waiting = self._waiting.pop(id(unit), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    @property
    def open(self) -> int:
        """Deliveries that wait for another attempt."""
        return sum(key.count for key in self._keys.values())

    @property
    def under_way(self) -> bool:
        """True while a late or retried call is running."""
        return bool(self._late or self._waiting)

    async def stop(self) -> None:
        """Stop working; the rows stay."""
        tasks = [key.task for key in self._keys.values() if key.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the work ----------------------------------------------------------------------------

    async def _work(self, key: Key) -> None:
        try:
            while key.count > 0:
                row = journal.head_delivery(self._parts.reader.connection(), key.lane, key.plugin)
                if row is None:
                    await asyncio.sleep(0.02)  # its commit is under way
                elif await self._attempt(key, row):
                    key.count -= 1
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("retrying %s for %s stopped; it goes on after a restart", *_names(key))
        finally:
            if self._keys.get((key.lane, key.plugin)) is key:
                del self._keys[key.lane, key.plugin]

    async def _attempt(self, key: Key, row: journal.Delivery) -> bool:
        """One attempt at the oldest open row; True where it is not open any more."""
        late = self._late.get((row.journal_id, key.plugin))
        if late is not None:
            await late[1]
            del self._late[row.journal_id, key.plugin]
            return await self._conclude(key, row, late[0])
        plugin = self._parts.plugin(key.plugin)
        if plugin is None or plugin.state == "absent":
            await self.breakers.wait(1.0)
            return False
        await asyncio.sleep(max(0.0, row.next_at - time.time()))
        if not self.breakers.of(key.plugin).allows(time.monotonic()):
            await self.breakers.wait(1.0)
            return False
        delivery = self._delivery(row, plugin)
        if delivery is None:
            dead = row._replace(state="dead", error="the journal row cannot be read any more")
            await self._commit(self._unit(row, Item(_ghost(row)), dead))
            return True
        if row.attempts >= self._times.attempts:
            dead = row._replace(state="dead", error=row.error or "it ended the gateway")
            await self._commit(self._unit(row, delivery.item, dead))
            return True
        # written first: an event that ends the process must not be tried for ever
        begun = row._replace(attempts=row.attempts + 1)
        failpoint("retry.writing")
        await self._parts.writer.submit(lambda c: journal.put_delivery(c, begun))
        failpoint("retry.written")
        future = self._waiting[id(delivery)] = asyncio.get_running_loop().create_future()
        self._parts.runners.post({plugin.group: [delivery]})
        await future
        return await self._conclude(key, row, delivery)

    def _delivery(self, row: journal.Delivery, plugin: Plugin) -> Delivery | None:
        found = journal.get(self._parts.reader.connection(), row.journal_id)
        if found is None:
            return None
        item = Item(found._replace(lane=row.lane))
        assert self.dispatcher is not None
        try:
            self.dispatcher.prepare(item)
        except Refusal:
            return None
        for target, bound in self.dispatcher.targets(item):
            if target.name == plugin.name:
                delivery = self.dispatcher.delivery(item, target, bound)
                delivery.late = True
                delivery.attempts = row.attempts
                return delivery
        return None

    async def _conclude(self, key: Key, row: journal.Delivery, delivery: Delivery) -> bool:
        failpoint("retry.ended")
        if delivery.error is None:
            unit = self._unit(row, delivery.item, None)
            unit.lane = key.lane
            assert self.dispatcher is not None
            self.dispatcher.units.fill(unit, [delivery])
            unit.fail_row = lambda plugin, error: self.row_for(
                row.journal_id, plugin, key.lane, row.attempts + 1, error
            )
            await self._commit(unit)
            return not any(kept.state == "open" for kept in unit.kept)
        failed = self.row_for(
            row.journal_id, key.plugin, key.lane, row.attempts + 1, delivery.error
        )
        await self._commit(self._unit(row, delivery.item, failed))
        return failed.state == "dead"

    def _unit(self, row: journal.Delivery, item: Item, kept: journal.Delivery | None) -> Unit:
        node = item.node if isinstance(item.node, Node) else Node(id=0, known=False)
        current = self._parts.roster.get(node.id) or node
        unit = Unit(item, row.journal_id, row.lane, current)
        unit.only = row.plugin
        if kept is not None:
            unit.deliveries.append(kept)
        return unit

    async def _commit(self, unit: Unit) -> None:
        future = self._waiting[id(unit)] = asyncio.get_running_loop().create_future()
        assert self.dispatcher is not None
        self.dispatcher.commits.queue(unit)
        await future


def _names(key: Key) -> tuple[str, str]:
    return key.plugin, key.lane


def _ghost(row: journal.Delivery) -> journal.Row:
    return journal.Row(row.journal_id, 0.0, 0.0, "host", "journal", "", row.lane, "", b"", 0)
