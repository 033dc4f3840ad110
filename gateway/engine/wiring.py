"""Every station of a message's way, built once and told of its neighbours.

`mqtt` and `store` never meet: the link hands its lists to the intake, and acknowledges what the
intake says is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import StoreError
from gateway.flow.dispatch import Dispatcher
from gateway.flow.intake import Intake
from gateway.flow.lanes import Lanes
from gateway.flow.outbox import Outbox
from gateway.flow.parts import Parts
from gateway.flow.retries import Retries
from gateway.hooks.calls import Delivery
from gateway.hooks.runners import Runners
from gateway.service.careful import Careful
from gateway.service.handlers import Handlers
from gateway.service.jobs import Jobs
from gateway.service.operator import Operator
from gateway.service.uplink import Uplink, known_handlers
from gateway.service.view import HostView
from gateway.store import journal
from gateway.store.sqlite import Error

if TYPE_CHECKING:
    from gateway.engine.opening import Opened
    from gateway.flow.work import Unit
    from gateway.settings.model import Settings

log = logging.getLogger(__name__)
Story = Callable[[str, str], None]


class Wiring:
    """The stations of one gateway; nothing moves before they are started."""

    def __init__(self, settings: Settings, folder: Path, opened: Opened, story: Story) -> None:
        loop, times, limits = asyncio.get_running_loop(), settings.handlers, settings.limits
        self._reader = opened.reader
        self._unreadable = False
        self.parts = parts = Parts(
            opened.registry, opened.roster, opened.reader, opened.writer, opened.ids, settings
        )
        parts.careful = Careful(folder)
        self.runners = parts.runners = Runners(loop, self._report, times.budget)
        self.handlers = parts.handlers = Handlers(self.runners, loop, self._report)
        self.handlers.restore(known_handlers(opened.filters))
        self.outbox = parts.outbox = Outbox(
            opened.writer, opened.ids, self._publish, opened.roster.get
        )
        self.retries = parts.retries = Retries(parts, times)
        self.lanes = Lanes(
            self._read_lane, self._kick, window=limits.window, lane_window=limits.lane_window
        )
        self.dispatcher = Dispatcher(parts, self.lanes, self.runners, times)
        self.retries.dispatcher = self.dispatcher
        self.intake = Intake(
            parts,
            self.lanes,
            self._ack,
            keep_refused=settings.store.refused_keep,
            linger=settings.store.linger,
        )
        self.operator = Operator(parts, self.lanes, self.intake)
        self.uplink = Uplink(settings, folder, parts, opened.filters, story)
        self.link = self.uplink.build(self.intake.take, self.outbox.connected)
        self.intake.is_copy = lambda topic: self.uplink.is_copy(topic)
        self.intake.on_full = self.uplink.hold
        parts.observed = self.link.observed
        self.view = parts.host = HostView(settings, parts, self.link)
        self.jobs = Jobs(parts, self.lanes, self.view, times.budget)
        self.jobs.is_unheard = self.intake.holds
        parts.on_event = self._on_event

    # neighbours that are built after the one who needs them

    def _report(self, done: list[Delivery]) -> None:
        self.dispatcher.report(done)

    def _kick(self) -> None:
        self.dispatcher.kick()

    def _ack(self, tokens: list[Any]) -> None:
        self.link.ack(tokens)

    async def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        await self.link.publish(topic, payload, qos=qos, retain=retain)

    def _on_event(self, unit: Unit) -> None:
        self.jobs.turned(unit.item)

    def _read_lane(self, lane: str, after: int, limit: int) -> list[journal.Row] | None:
        try:
            found = journal.next_of_lane(self._reader.connection(), lane, after, limit)
        except (StoreError, Error) as error:
            if not self._unreadable:
                log.error("the journal cannot be read (%s); what waits in it waits", error)  # noqa: TRY400 - no trace helps
            self._unreadable = True
            return None
        self._unreadable = False
        return found
