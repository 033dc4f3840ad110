"""Many events' work in one commit, and what memory does when it is on disk.

Rules of this file. What ends within one turn of the loop shares a commit. The roster, the outbox and
the lanes follow the disk: nothing of a unit is visible before its commit has returned. A node has one
unit under way: a late call's waits for that of the node's next message, and begins with what it left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.failpoint import failpoint
from gateway.flow.lanes import Item, Lanes
from gateway.flow.work import Unit, apply_all
from gateway.store import nodes

if TYPE_CHECKING:
    from gateway.flow.parts import Parts

log = logging.getLogger(__name__)


class Commits:
    """Takes finished units; `on_done` is called after each commit."""

    def __init__(self, parts: Parts, lanes: Lanes, on_done: Callable[[], None]) -> None:
        self._parts = parts
        self._lanes = lanes
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._finished: list[Unit] = []
        self._nodes: dict[int, list[Unit]] = {}
        """Nodes with a unit under way, and the units that wait for it."""
        self._under_way = 0
        self.events = 0

    @property
    def idle(self) -> bool:
        """True where everything that ended is on disk."""
        return not (self._finished or self._under_way or self._nodes)

    def queue(self, unit: Unit) -> None:
        """Commit this unit together with whatever else ends in this turn of the loop."""
        node = unit.before.id
        if node in self._nodes:
            self._nodes[node].append(unit)
            return
        if node:
            self._nodes[node] = []
        self._finished.append(unit)
        if len(self._finished) == 1:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        units, self._finished = self._finished, []
        failpoint("units.committing")
        self._submit(units)

    def _submit(self, units: list[Unit]) -> None:
        now = time.time()
        self._under_way += len(units)
        future = self._parts.writer.submit(lambda c: apply_all(c, units, now))
        future.add_done_callback(lambda done: self._committed(units, done))

    def _committed(self, units: list[Unit], done: asyncio.Future[list[Unit]]) -> None:
        self._under_way -= len(units)
        error = done.exception() if not done.cancelled() else None
        if error is not None:
            self._apart(units, error)
            return
        failpoint("units.committed")
        for unit in units:
            self._settle(unit)
        failpoint("units.settled")
        self._on_done()

    def _apart(self, units: list[Unit], error: BaseException) -> None:
        """One of them cannot be committed: each alone, and that one as a dead letter."""
        if len(units) > 1:
            for unit in units:
                self._submit([unit])
            return
        (unit,) = units
        log.error("the work of message %d cannot be committed", unit.journal_id, exc_info=error)
        if unit.hopeless:
            self._go_on(unit.before.id)
            return
        unit.give_up(f"cannot be committed: {error!r}")
        self._submit(units)

    def _settle(self, unit: Unit) -> None:
        """The unit is on disk: now memory follows."""
        self.events += 1
        item = unit.item
        if item.reserved is not None:
            self._parts.roster.release(item.reserved)
        if unit.node is not unit.before:
            self._parts.roster.put(unit.before, unit.node)
            lane = nodes.lane_of(unit.node)
            for old in unit.left:
                self._lanes.merge(old, lane)
                self._parts.retries.move(old, lane)
        for plugin, error in unit.failed:
            log.warning("plugin %s: what it wanted done failed: %s", plugin, error)
        self._parts.outbox.push(unit.parcels)
        self._parts.retries.committed(unit)
        if unit.only is None:
            self._parts.careful.after(unit.journal_id)
            self._lanes.free(item)
        elif unit.over is not None and not unit.over.done():
            unit.over.set_result(None)
        for row in reversed(unit.changes):
            self._lanes.push_ahead(Item(row))
        self._parts.on_event(unit)
        unit.close()
        self._go_on(unit.before.id)

    def _go_on(self, node: int) -> None:
        """The units that waited for this node's turn, with the node as it is now."""
        for unit in self._nodes.pop(node, ()):
            unit.rebase(self._parts.roster.get(node) or unit.before)
            self.queue(unit)
