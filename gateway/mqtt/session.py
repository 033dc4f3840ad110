"""One persistent session: connect for ever, subscribe, and tell backlog from life.

Rules of this file. Back-off has full jitter and no end. After a connect with a session that the
broker kept, what arrives before our own barrier message is backlog (rule 10). A link on which
nothing is heard for three pings is dead, whatever TCP thinks; time in which we did not run ourselves
does not count.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable

from gateway.errors import AuthError, BrokerError
from gateway.mqtt import errors
from gateway.mqtt.client import Arrived, Login, Token
from gateway.mqtt.connection import Connection

log = logging.getLogger(__name__)
PING = 5.0
DEAD_AFTER = 15.0
BARRIER_PATIENCE = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Received:
    """A message for the intake."""

    __slots__ = ("backlog", "payload", "qos", "retain", "session", "token", "topic")

    def __init__(self, session: str, arrived: Arrived, backlog: bool) -> None:
        self.session = session
        self.topic = arrived.topic
        self.payload = arrived.payload
        self.qos = arrived.qos
        self.retain = arrived.retain
        self.backlog = backlog
        self.token = (session, arrived.token)


class Session:
    """`control` or `bulk`."""

    def __init__(
        self,
        name: str,
        login: Login,
        filters: list[str],
        *,
        on_messages: Callable[[list[Received]], None],
        on_change: Callable[[], None],
        on_heard: Callable[[float | None], None],
    ) -> None:
        self.name = name
        self.filters = list(filters)
        self.stale: list[str] = []
        self.barriers: list[str] = []
        self.is_barrier: Callable[[str], bool] = self.barriers.__contains__
        self.connected = False
        self.error: BrokerError | None = None
        self.reconnects = 0
        self._login = login
        self._on_messages = on_messages
        self._on_change = on_change
        self._on_heard = on_heard
        self._connection: Connection | None = None
        self._number = 0
        self._pending: dict[str, bytes] = {}
        self._lost: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._paused = False

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect in the background, again and again."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Disconnect for good; the broker keeps our session."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        self.connected = False

    def pause(self, paused: bool) -> None:
        """Stop or go on reading."""
        self._paused = paused
        if self._connection is not None:
            self._connection.pause(paused)

    # -- use ---------------------------------------------------------------------------------

    def ack(self, tokens: list[Token | None]) -> None:
        """Acknowledge what this connection brought; older ones are stale and dropped."""
        if self._connection is not None:
            mids = [t.mid for t in tokens if t is not None and t.connection == self._number]
            self._connection.ack(mids)

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish; returns with the PUBACK. Raises BrokerError."""
        if self._connection is None or not self.connected:
            raise errors.not_connected()
        await self._connection.send(topic, payload, qos, retain)

    async def subscribe(self, filters: list[str]) -> None:
        """Add filters, now or at the next connect."""
        self.filters += [f for f in filters if f not in self.filters]
        if self._connection is not None and self.connected:
            await self._connection.subscribe(filters)

    async def unsubscribe(self, filters: list[str]) -> None:
        """Take filters away, now or at the next connect."""
        self.filters = [f for f in self.filters if f not in filters]
        self.stale += filters
        if self._connection is not None and self.connected:
            await self._connection.unsubscribe(filters)

    # -- within ------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._lost.clear()
            try:
                await self._connect()
            except BrokerError as error:
                self._say(error)
            except Exception as error:  # a session must outlive every surprise
                log.exception("session %s: unexpected; it goes on", self.name)
                self.error = BrokerError(f"{type(error).__name__}: {error}")
            else:
                pause = FIRST_PAUSE
                await self._watch()
            await self._close()
            # full jitter: a fleet of gateways does not come back in step
            limit = LONGEST_PAUSE if isinstance(self.error, AuthError) else pause
            await asyncio.sleep(random.uniform(0.05, limit))  # noqa: S311 - no secret
            pause = min(pause * 2, LONGEST_PAUSE / 2)

    async def _connect(self) -> None:
        self._number += 1
        connection = self._connection = Connection(
            self._login,
            self._number,
            on_arrived=self._arrived,
            on_lost=self._on_lost,
            on_bytes=self._on_heard,
        )
        # until we know whether the broker kept our session, what comes may be old
        self._pending = {topic: b"" for topic in self.barriers}
        kept = await connection.open()
        if self._paused:
            connection.pause(True)
        if not kept:
            self._pending = {}
        await connection.unsubscribe(f for f in self.stale if f not in self.filters)
        await connection.subscribe([*self.filters, *self._own_filters()])
        if self._lost.is_set():  # between the answer and this line
            raise self.error or errors.not_connected()
        self.stale = []
        if self._number > 1:
            self.reconnects += 1
        self.error = None
        self.connected = True
        self._on_change()
        if kept:
            self._raise_barriers(connection)

    def _own_filters(self) -> list[str]:
        """Barrier topics that no wanted filter brings anyway."""
        return [topic for topic in self.barriers if "/system/barrier/" in topic]

    def _raise_barriers(self, connection: Connection) -> None:
        """Publish them; nobody waits for the PUBACK, because a link may die right here."""
        for topic in self.barriers:
            nonce = self._pending[topic] = secrets.token_hex(8).encode()
            connection.send(topic, nonce, 1, False)

    async def _watch(self) -> None:
        """Ping, look whether anything was heard, until the connection is lost."""
        silent, last, since = 0.0, time.monotonic(), time.monotonic()
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PING):
                    await self._lost.wait()
            except TimeoutError:
                connection, now = self._connection, time.monotonic()
                assert connection is not None
                # a step longer than our own is time in which this process did not run
                silent += min(now - last, PING + 1)
                if connection.heard_at > last:
                    silent = now - max(connection.heard_at, now - PING)
                last = now
                if silent > DEAD_AFTER and not self._paused:
                    connection.drop(errors.silent(self._login.where, DEAD_AFTER))
                    continue
                connection.ping()
                if self._pending and now - since > BARRIER_PATIENCE:
                    log.warning("session %s: the barrier did not come back; going on", self.name)
                    self._pending = {}

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        was = self.connected
        self.connected = False
        self._on_heard(None)
        if connection is not None:
            await connection.close()
        if was:
            self._on_change()

    def _on_lost(self, error: BrokerError) -> None:
        was = self.connected
        self.connected = False
        self.error = error
        self._lost.set()
        if was:
            self._on_change()

    def _say(self, error: BrokerError) -> None:
        self.error = error
        self._on_change()

    def _arrived(self, batch: list[Arrived]) -> None:
        messages: list[Received] = []
        swallowed: list[Token | None] = []
        for arrived in batch:
            if self.is_barrier(arrived.topic):
                swallowed.append(arrived.token)
                if self._pending.get(arrived.topic) == arrived.payload:
                    del self._pending[arrived.topic]
                continue
            messages.append(Received(self.name, arrived, bool(self._pending)))
        self.ack(swallowed)
        if messages:
            self._on_messages(messages)
