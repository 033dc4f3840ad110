"""The link's place in the flow: what is subscribed, what is said when the broker goes and comes back.

Rules of this file. Two sessions (rule 6): bulk has what is folded or measured, control the rest.
The filters of the last run are remembered, and what nobody wants any more is unsubscribed. The
broker's absence is said once, and its return once.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.errors import AuthError, GatewayError
from gateway.failpoint import failpoint
from gateway.flow.parts import Parts
from gateway.mqtt.link import Link, LinkOptions, LinkState
from gateway.protocol.topics import Topics
from gateway.service.filters import matches, reduce
from gateway.service.handlers import PREFIX, Handler
from gateway.service.rights import RightsCheck
from gateway.settings.model import Settings
from gateway.store.sqlite import Connection

log = logging.getLogger(__name__)
Filters = dict[str, list[str]]


class Uplink:
    """Owns the link, and knows why each filter is subscribed."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        parts: Parts,
        last: list[tuple[str, str]],
        story: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._parts = parts
        self._last = last
        self._story = story
        self._state: LinkState | None = None
        self.error: GatewayError | None = None
        """Why there is no connection, None while there is one."""
        self._went_at: float | None = None
        self._was_connected = False
        self._said: GatewayError | None = None
        self.rights = RightsCheck(story)
        self.quiet = False
        self.is_copy: Callable[[str], bool] = lambda _topic: False

    def build(
        self, on_messages: Callable[[list[Any]], None], on_state: Callable[[bool], None]
    ) -> Link:
        """The link, not connected yet."""
        self._on_state = on_state
        self.link = Link(self.options(), on_messages=on_messages, on_state=self._changed)
        return self.link

    async def start(self, host: str, port: int, *, embedded: bool) -> None:
        """Connect in the background, for ever."""
        self.link.options = self.options(host, port, embedded=embedded)
        await self._remember()
        await self.link.start()

    def hold(self, full: bool) -> None:
        """Stop reading while the journal cannot keep up (rule 7), and go on."""
        if full:
            log.warning("the journal cannot keep up: reading stops until it can")
            self.link.pause()
        else:
            self.link.resume()

    def wanted(self) -> Filters:
        """What to subscribe to, without overlap within a session."""
        topics = Topics(self._settings.mqtt.root)
        bulk: list[str] = []
        control: list[str] = list(self._parts.handlers.patterns())
        for kind, cls in self._parts.types.items():
            is_bulk = cls.durability == "latest" or kind == "telemetry"
            (bulk if is_bulk else control).extend(topics.filters(kind, cls.per_channel))
        filters = {"control": reduce(control), "bulk": reduce(bulk)}
        # a handler's wide filter brings what the bulk session brings too: that copy is dropped
        self.is_copy = lru_cache(4096)(
            lambda topic: any(matches(f, topic) for f in filters["bulk"])
        )
        return filters

    async def add(self, handler: Handler) -> None:
        """A handler that was subscribed while the gateway runs, or has come back."""
        before = self.wanted()
        self._parts.handlers.add(handler)
        self._parts.retries.breakers.tell()
        after = self.wanted()
        await self._remember()
        for session, filters in after.items():
            new = [f for f in filters if f not in before[session]]
            old = [f for f in before[session] if f not in filters]
            if new:
                await self.link.subscribe(session, new)
            if old:
                await self.link.unsubscribe(session, old)

    def options(self, host: str = "", port: int = 0, *, embedded: bool = False) -> LinkOptions:
        """Settings and filters in the link's terms."""
        mqtt = self._settings.mqtt
        wanted = self.wanted()
        stale = {
            session: [f for s, f in self._last if s == session and f not in wanted[session]]
            for session in wanted
        }
        return LinkOptions(
            host=host,
            port=port,
            username=mqtt.username,
            password=mqtt.password,
            tls=mqtt.tls,
            tls_ca=mqtt.tls_ca,
            tls_cert=mqtt.tls_cert,
            tls_key=mqtt.tls_key,
            tls_hostname_check=mqtt.tls_hostname_check,
            root=mqtt.root,
            version=mqtt.version,
            keepalive=mqtt.keepalive,
            client_id=mqtt.client_id or self._client_id(),
            filters=wanted,
            stale_filters=stale,
            barrier_per_filter=embedded,
        )

    def _client_id(self) -> str:
        """Made once: persistent sessions find their gateway by it."""
        path = self._folder / "client_id"
        if not path.exists():
            path.write_text(f"hellogate-{secrets.token_hex(4)}\n")
        return path.read_text().strip()

    async def _remember(self) -> None:
        rows = [(s, f) for s, filters in self.wanted().items() for f in filters]
        rows += [(handler.name, handler.pattern) for handler in self._parts.handlers.all()]

        def write(connection: Connection) -> None:
            connection.execute("DELETE FROM subscriptions")
            failpoint("filters.forgotten")
            connection.executemany("INSERT OR IGNORE INTO subscriptions VALUES (?, ?)", rows)

        await self._parts.writer.submit(write)
        failpoint("filters.remembered")

    @property
    def away(self) -> float | None:
        """Seconds since the broker was lost, None while it is there or before it ever was."""
        return None if self._went_at is None else round(time.monotonic() - self._went_at, 1)

    def _changed(self, state: LinkState) -> None:
        self.error = None if state.connected else state.error
        self._on_state(state.connected)
        if state.connected:
            self._come()
        elif not self.quiet:
            self._go(state)

    def _come(self) -> None:
        gone, self._went_at = self._went_at, None
        self._said = None
        if gone is not None:
            waiting = self._parts.outbox.waiting
            away = time.monotonic() - gone
            self._story("back", f"broker back after {away:.0f} s; {waiting} messages waited here")
        self._was_connected = True
        if self.link.options.username:  # who has no name has no rights of his own
            self.rights.ask(self.link.options)

    def _go(self, state: LinkState) -> None:
        if self._was_connected and self._went_at is None:
            self._went_at = time.monotonic()
        error, said = state.error, self._said
        if isinstance(error, AuthError) and not isinstance(said, AuthError):
            # one that is away comes back by itself; one that refuses us needs a person who hears it
            self._story("refused", f"{error.what}; next: {error.hint}")
        elif error is not None and said is None:
            self._story("lost", f"{error.what} | {error.why} | {error.hint}")
        else:
            return
        self._said = error


def known_handlers(last: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The handlers of the last run among the remembered subscriptions."""
    return [(name, pattern) for name, pattern in last if name.startswith(PREFIX)]
