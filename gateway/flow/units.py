"""From an event whose plugins have ended, or took too long, to its unit of work (rule 1).

A plugin that succeeded gives its effects; one that failed, is late, is switched off or still has an
earlier event of this node open gets a `delivery` row. A command is answered in any case.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.api import Node
from gateway.flow.lanes import Item
from gateway.flow.work import Effect, Unit, answer_text, creates
from gateway.hooks.calls import Delivery
from gateway.store import journal, nodes

if TYPE_CHECKING:
    from gateway.flow.parts import Parts


class Units:
    """Builds units; changes nothing but the counts of open deliveries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def build(self, item: Item) -> Unit:
        """The unit of an event that is finished now."""
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
        return unit

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
