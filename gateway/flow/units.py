"""From calls that have ended, or took too long, to the unit of work that is committed (rule 1).

A plugin that succeeded gives its effects; one that failed, is late, is switched off or still has an
earlier event of this node open gets a `delivery` row: open with a back-off, or dead. A command is
answered in any case.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.api import Node
from gateway.flow.lanes import Item
from gateway.flow.work import Effect, Unit, creates
from gateway.hooks.calls import Delivery
from gateway.hooks.failure import Failure
from gateway.hooks.tx import answer_text
from gateway.store import journal, nodes

if TYPE_CHECKING:
    from gateway.flow.parts import Parts
    from gateway.settings.model import Handlers

log = logging.getLogger(__name__)


class Units:
    """Builds units; changes nothing but who is held back (`retries`)."""

    def __init__(self, parts: Parts, times: Handlers) -> None:
        self._parts = parts
        self._times = times

    # -- of an event -------------------------------------------------------------------------

    def build(self, item: Item) -> Unit:
        """The unit of an event that is finished now."""
        unit = Unit(item, item.row.id, item.row.lane, self._node_before(item))
        good: list[Delivery] = []
        for delivery in item.deliveries:
            assert isinstance(delivery, Delivery)
            if not delivery.ended:
                self._keep_open(unit, delivery.plugin.name, delivery)
            elif delivery.error is None:
                good.append(delivery)
            else:
                self._keep_failed(unit, delivery)
        off = self._off(item)
        for name in item.held:
            if name not in off:
                self._keep_open(unit, name)
        self._fill(unit, good, 1)
        goes_on = any(row.state == "open" for row in unit.deliveries)
        if item.klass == "command" and unit.answer is None and not goes_on:
            unit.answer = self._parts.command_answer(item, off)
        return unit

    def _off(self, item: Item) -> set[str]:
        """Plugins that cannot do this command now: it is refused, not done when nobody expects it."""
        if item.klass != "command":
            return set()
        return {name for name in item.held if not self._parts.retries.may_wait(item.row.lane, name)}

    def give_up(self, item: Item, why: str) -> Unit:
        """A row that cannot be an event any more: a dead letter, and its lane goes on."""
        item.node = Node(id=0, known=False)
        unit = Unit(item, item.row.id, item.row.lane, item.node)
        unit.deliveries.append(
            journal.Delivery(item.row.id, "-", item.row.lane, "dead", 1, 0.0, why)
        )
        if item.klass == "command":
            unit.answer = answer_text(False, {"error": why})
        return unit

    # -- of a call that goes on alone --------------------------------------------------------

    def alone(self, delivery: Delivery, lane: str) -> Unit:
        """The unit of a late or retried call: its effects, or its next row."""
        item, plugin = delivery.item, delivery.plugin.name
        node = item.node if isinstance(item.node, Node) else Node(id=0, known=False)
        unit = Unit(item, item.row.id, lane, self._parts.roster.get(node.id) or node)
        unit.only = plugin
        if delivery.error is None:
            self._fill(unit, [delivery], delivery.attempts + 1)
            if item.klass == "command":
                unit.answer = unit.answer or answer_text(True, {})
        elif item.klass == "command":
            self._keep_failed(unit, delivery)
        else:
            unit.deliveries.append(
                self.row_for(unit, plugin, delivery.attempts + 1, delivery.error)
            )
        return unit

    def grave(self, row: journal.Delivery, why: str) -> Unit:
        """The unit that parks a row whose call cannot be made any more."""
        ghost = journal.Row(row.journal_id, 0.0, 0.0, "host", "journal", "", row.lane, "", b"", 0)
        unit = Unit(Item(ghost), row.journal_id, row.lane, Node(id=0, known=False))
        unit.only = row.plugin
        unit.deliveries.append(row._replace(state="dead", error=why))
        return unit

    def row_for(self, unit: Unit, plugin: str, attempts: int, failure: Failure) -> journal.Delivery:
        """The row after a failed attempt. A disk that does not answer is nobody's attempt."""
        attempts -= failure.is_store
        times, state, text = self._times, "open", failure.reason
        if attempts >= times.attempts:
            state = "dead"
            log.error(
                "plugin %s gave up on message %d of %s after %d attempts (%s). "
                "next: gateway dead show %d",
                plugin,
                unit.journal_id,
                unit.lane,
                attempts,
                text,
                unit.journal_id,
            )
            text = f"{failure.reason}\n{failure.trace}".strip()
        pause = min(times.backoff * 2 ** max(attempts - 1, 0), times.backoff_max)
        pause *= 0.5 + random.random() / 2  # noqa: S311 - jitter, not a secret
        return journal.Delivery(
            unit.journal_id, plugin, unit.lane, state, attempts, time.time() + pause, text
        )

    # -- what is in them ---------------------------------------------------------------------

    def _node_before(self, item: Item) -> Node:
        node = item.node
        assert isinstance(node, Node)
        if node.known:
            return self._parts.roster.get(node.id) or node
        for delivery in item.deliveries:
            assert isinstance(delivery, Delivery)
            uid = delivery.tx.node_changes.get("uid")
            held = self._parts.roster.find(uid) if isinstance(uid, str) else None
            if held is not None and held is not item.reserved and held.hardware_id is None:
                return held  # known by its uid so far; this event tells whose it is
        return node

    def _fill(self, unit: Unit, good: Iterable[Delivery], attempts: int) -> None:
        """Put the effects of these deliveries into the unit, the one that names a node first."""
        now = time.time()
        if unit.journal_id and self._parts.wants_changes():
            unit.change_row = lambda *change: self._change_row(unit, *change)
        unit.fail_row = lambda plugin, error: self.row_for(
            unit, plugin, attempts, Failure.of(error)
        )
        for delivery in sorted(good, key=lambda d: not creates(d.tx.node_changes)):
            unit.effects.append(
                Effect(delivery.plugin.name, delivery.tx, unit.before.id, self._parts.ids, now)
            )
            unit.answer = delivery.tx.answered or unit.answer

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

    def _keep_open(self, unit: Unit, plugin: str, late: Delivery | None = None) -> None:
        if not unit.journal_id:
            return
        row = journal.Delivery(unit.journal_id, plugin, unit.lane, "open", 0, 0.0, "")
        unit.deliveries.append(row)
        self._parts.retries.hold(unit, plugin, late)

    def _keep_failed(self, unit: Unit, delivery: Delivery) -> None:
        failure = delivery.error
        assert failure is not None
        if unit.item.klass == "command":
            text = f"plugin {delivery.plugin.name} failed: {failure.reason}"
            unit.answer = answer_text(False, {"error": text})
        elif unit.journal_id:
            row = self.row_for(unit, delivery.plugin.name, 1, failure)
            unit.deliveries.append(row)
            if row.state == "open":
                self._parts.retries.hold(unit, row.plugin)
