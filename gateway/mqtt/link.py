"""The link: two sessions with one broker (DESIGN rule 6), and the clock that runs on what is heard.

`bulk` carries what is folded or measured, `control` everything else and all that we publish: brokers
cap the queue of a session, and telemetry must never push a hello out.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.errors import BrokerError
from gateway.mqtt import errors, tls
from gateway.mqtt.barrier import Barrier
from gateway.mqtt.client import Login
from gateway.mqtt.clock import ObservedClock
from gateway.mqtt.received import Received, Token
from gateway.mqtt.session import Ears, Session, SessionState

SESSIONS = ("control", "bulk")


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """Where, as whom, and what to subscribe to; `keepalive` in seconds."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_hostname_check: bool = True
    root: str = "hydro"
    version: str = "3.1.1"
    keepalive: float = 60.0
    client_id: str = "hellogate"
    filters: dict[str, list[str]] = field(default_factory=dict)
    stale_filters: dict[str, list[str]] = field(default_factory=dict)
    barrier_per_filter: bool = False


@dataclass(frozen=True)
class LinkState:
    """`connected` when both sessions are; `error` is the latest reason why not."""

    connected: bool
    error: BrokerError | None
    reconnects: int


def context_of(options: LinkOptions) -> ssl.SSLContext | None:
    """What TLS needs, None where there is none. Raises SettingsError for unusable files."""
    if not options.tls:
        return None
    return tls.context(
        options.tls_ca, options.tls_cert, options.tls_key, check_hostname=options.tls_hostname_check
    )


def login_of(options: LinkOptions, name: str, context: ssl.SSLContext | None) -> Login:
    """Where to and as whom, for the session of this name."""
    return Login(
        options.host,
        options.port,
        f"{options.client_id}-{name}",
        options.username,
        options.password,
        options.version,
        max(10, int(options.keepalive)),
        context,
    )


class Link:
    """Both sessions. Everything runs on the loop on which it is started."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        on_messages: Callable[[list[Received]], None],
        on_state: Callable[[LinkState], None],
    ) -> None:
        self.options = options
        self._on_messages = on_messages
        self._on_state = on_state
        self._sessions: dict[str, Session] = {}
        self._clock = ObservedClock(time.time())
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Begin to connect; returns at once. Raises SettingsError for unusable TLS files."""
        options = self.options
        context = context_of(options)
        for name in SESSIONS:
            login = login_of(options, name, context)
            barrier = Barrier(options.root, login.client_id, per_filter=options.barrier_per_filter)
            heard = self._heard if name == "bulk" else lambda _at: None
            session = self._sessions[name] = Session(
                name,
                login,
                options.filters.get(name, []),
                barrier,
                Ears(self._on_messages, self._changed, heard),
            )
            session.stale = list(options.stale_filters.get(name, []))
        for session in self._sessions.values():
            session.start()

    async def stop(self) -> None:
        """DISCONNECT both sessions; the broker goes on keeping messages for them."""
        await asyncio.gather(*(session.stop() for session in self._sessions.values()))

    async def ready(self) -> None:
        """Wait until both sessions are connected and subscribed."""
        await self._ready.wait()

    @property
    def connected(self) -> bool:
        """True while both sessions are up."""
        return bool(self._sessions) and all(s.connected for s in self._sessions.values())

    def observed(self) -> float:
        """The observed clock, seconds."""
        return self._clock.read()

    @property
    def state(self) -> dict[str, SessionState]:
        """Each session by its name."""
        return {name: session.state for name, session in self._sessions.items()}

    def ack(self, tokens: Iterable[Token | None]) -> None:
        """Acknowledge a list: one write for each session; None has nothing to acknowledge."""
        by_session: dict[str, list[Token]] = {}
        for token in tokens:
            if token is not None:
                by_session.setdefault(token.session, []).append(token)
        for name, found in by_session.items():
            self._sessions[name].ack(found)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish on the control session; returns with the PUBACK. Raises BrokerError."""
        session = self._sessions.get("control")
        if session is None:
            raise errors.not_connected()
        await session.publish(topic, payload, qos, retain)

    async def subscribe(self, name: str, filters: list[str]) -> None:
        """Add filters to a session."""
        await self._sessions[name].subscribe(filters)

    async def unsubscribe(self, name: str, filters: list[str]) -> None:
        """Take filters from a session."""
        await self._sessions[name].unsubscribe(filters)

    def pause(self) -> None:
        """Stop reading: only when the journal cannot be written, or at the end."""
        for session in self._sessions.values():
            session.pause(True)

    def resume(self) -> None:
        """Go on reading."""
        for session in self._sessions.values():
            session.pause(False)

    def _heard(self, at: float | None) -> None:
        if at is None:
            self._clock.lost()
        else:
            self._clock.heard(at)

    def _changed(self) -> None:
        connected = self.connected
        if connected:
            self._ready.set()
        else:
            self._ready.clear()
        found = [s.error for s in self._sessions.values() if s.error is not None]
        count = sum(s.reconnects for s in self._sessions.values())
        self._on_state(LinkState(connected, found[-1] if found else None, count))
