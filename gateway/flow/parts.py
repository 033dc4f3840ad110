"""What the stations of a message's way share: built once by `app`, handed to each of them.

Only look-ups live here, no behaviour of a station: which plugin, which node, which type, which name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.api import NodeChange
from gateway.errors import Refusal
from gateway.flow.lanes import Item
from gateway.flow.work import Ids, Unit
from gateway.hooks.tx import answer_text
from gateway.host.registry import Plugin, Registry
from gateway.protocol.codec import decode
from gateway.protocol.messages import Event, NodeHello, RawEvent, Wake
from gateway.protocol.topics import Topic, parse
from gateway.store import journal
from gateway.store.nodes import Roster
from gateway.store.reader import Reader
from gateway.store.writer import Writer

if TYPE_CHECKING:
    from gateway.api import Host
    from gateway.flow.outbox import Outbox
    from gateway.flow.retries import Retries
    from gateway.hooks.runners import Runners
    from gateway.service.careful import Careful
    from gateway.service.handlers import Handlers
    from gateway.settings.model import Settings

_CHANGE = "$change"
_COMMAND = "$command"


class Parts:
    """The shared objects of one gateway."""

    retries: Retries
    runners: Runners
    handlers: Handlers
    outbox: Outbox
    careful: Careful

    def __init__(
        self,
        registry: Registry,
        roster: Roster,
        reader: Reader,
        writer: Writer,
        ids: Ids,
        settings: Settings,
    ) -> None:
        self.registry = registry
        self.roster = roster
        self.reader = reader
        self.writer = writer
        self.ids = ids
        self.root = settings.mqtt.root
        self.limits = settings.limits
        self.types = registry.message_types()
        self.commands = registry.command_types()
        self.observed: Callable[[], float] = lambda: 0.0
        self.host: Host | None = None
        self.on_event: Callable[[Unit], None] = lambda _unit: None
        self._changes = bool(registry.targets("node_changed", "change"))

    def wants_changes(self) -> bool:
        """True where some plugin has a `node_changed`."""
        return self._changes

    def plugin(self, name: str) -> Any:
        """A plugin, or a handler that looks like one, by its name."""
        return self.registry.plugins.get(name) or self.handlers.get(name)

    def wake_targets(self, name: str) -> Iterable[tuple[Plugin, Any]]:
        """The one plugin that a wake-up is for."""
        plugin = self.registry.plugins.get(name)
        bound = plugin.hooks.get("node_message") if plugin is not None else None
        return [(plugin, bound)] if plugin is not None and bound is not None else []

    def topic_of(self, row: journal.Row) -> Topic | None:
        """The parsed topic of a row; None for the gateway's own rows and foreign shapes."""
        if row.topic.startswith("$"):
            return None
        try:
            return parse(row.topic, self.root)
        except Refusal:
            return None

    def decode(self, row: journal.Row) -> Event:
        """A row's event. Raises Refusal where nobody knows the kind any more, or not this form."""
        if row.klass == "change":
            return msgspec.json.decode(row.payload, type=NodeChange)
        if row.klass == "command":
            return self._command(row)
        if row.kind == "raw":
            return RawEvent()
        if row.kind == "wake":
            return Wake()
        cls = self.types.get(row.kind)
        if cls is None:
            raise Refusal("schema", f"no plugin takes the kind {row.kind!r} any more")
        return decode(cls, row.payload, limit=self.limits.payload, depth=self.limits.json_depth)

    def _command(self, row: journal.Row) -> Event:
        cls = self.commands.get(row.kind)
        if cls is None:
            raise Refusal("schema", f"no plugin knows the command {row.kind!r}")
        try:
            return msgspec.json.decode(row.payload, type=cls)
        except msgspec.DecodeError as error:
            raise Refusal("schema", f"{row.kind}: {error}") from error

    def name_in(self, topic: Topic, event: Event | None) -> str:
        """The name under which a message speaks of its node; "" where it names none."""
        if isinstance(event, NodeHello):
            return event.hardware_id.lower()
        return topic.name.lower()

    def name_of(self, row: journal.Row, topic: Topic | None, event: Event) -> str:
        """The same for a row, the gateway's own included."""
        if topic is not None:
            return self.name_in(topic, event)
        if row.topic.startswith((_COMMAND, "$wake/", _CHANGE)) and not row.lane.startswith("$"):
            return row.lane
        return ""

    def command_answer(self, item: Item, off: set[str]) -> str:
        """The answer to a command that no plugin answered; `off` are those that cannot."""
        if not item.deliveries and not item.held:
            return answer_text(False, {"error": f"no plugin knows the command {item.kind!r}"})
        if off:
            return answer_text(False, {"error": f"plugin {min(off)} is switched off"})
        return answer_text(True, {})
