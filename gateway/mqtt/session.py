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
import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import AuthError, BrokerError
from gateway.failpoint import failpoint
from gateway.mqtt import errors
from gateway.mqtt.barrier import Barrier
from gateway.mqtt.client import Login
from gateway.mqtt.clock import Silence
from gateway.mqtt.connection import Connection
from gateway.mqtt.reader import Arrived
from gateway.mqtt.received import Received, Token, sort

log = logging.getLogger(__name__)
PING = 5.0
DEAD_AFTER = 15.0
BARRIER_PATIENCE = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_HOST_IS_UP = 3.0
_STABLE_AFTER = 10.0
_SHORT_LIVES = 3


class SessionState(NamedTuple):
    """What is known of one session; `since` is the wall clock of its last coming or going."""

    connected: bool
    since: float
    error: BrokerError | None
    reconnects: int
    session_present: bool
    in_backlog: bool


class Ears(NamedTuple):
    """Who is told what: lists of messages, that the state changed, and when bytes were heard."""

    on_messages: Callable[[list[Received]], None]
    on_change: Callable[[], None]
    on_heard: Callable[[float | None], None]


class Session:
    """`control` or `bulk`."""

    def __init__(
        self, name: str, login: Login, filters: list[str], barrier: Barrier, ears: Ears
    ) -> None:
        self.name = name
        self.filters = list(filters)
        self.stale: list[str] = []
        self.connected = False
        self.error: BrokerError | None = None
        self.reconnects = 0
        self._login = login
        self._barrier = barrier
        self._ears = ears
        self._connection: Connection | None = None
        self._number = 0
        self._since, self._turned_at = time.time(), time.monotonic()
        self._kept = False
        self._came_up = False
        self._short_lives = 0
        self._lost: asyncio.Event = asyncio.Event()
        self._reading: asyncio.Event = asyncio.Event()
        self._reading.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, again and again."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Disconnect for good; the broker keeps our session."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    def pause(self, paused: bool) -> None:
        """Stop or go on reading; a connection that is made meanwhile stands, and is not read either."""
        if paused:
            self._reading.clear()
        else:
            self._reading.set()
        # while connecting it goes on: who does not read hears no answer to a subscription
        if self._connection is not None and self.connected:
            self._connection.pause(paused)

    @property
    def state(self) -> SessionState:
        """For the operator."""
        backlog = self.connected and self._barrier.up
        return SessionState(
            self.connected, self._since, self.error, self.reconnects, self._kept, backlog
        )

    def ack(self, tokens: list[Token]) -> None:
        """Acknowledge what this connection brought; older ones are stale and dropped."""
        if self._connection is not None:
            self._connection.ack([t.mid for t in tokens if t.connection == self._number])

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish; returns with the PUBACK. Raises BrokerError."""
        if self._connection is None or not self.connected:
            raise errors.not_connected()
        await self._connection.publish(topic, payload, qos, retain)

    async def subscribe(self, filters: list[str]) -> None:
        """Add filters, now or at the next connect. Raises BrokerError where the broker refuses one,
        which then is not asked for again."""
        new = [f for f in filters if f not in self.filters]
        self.filters += new
        if self._connection is not None and self.connected:
            try:
                await self._connection.subscribe(filters)
            except errors.RefusedFilterError:
                self.filters = [f for f in self.filters if f not in new]
                raise

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
            began = time.monotonic()
            try:
                await self._connect()
                await self._watch()
            except BrokerError as error:
                self._say(error)
            except Exception as error:  # a session must outlive every surprise
                log.exception("session %s: unexpected; it goes on", self.name)
                self._say(BrokerError(f"{type(error).__name__}: {error}"))
            await self._close()
            pause = next_pause(pause, self.error, time.monotonic() - began)
            # full jitter: a fleet of gateways does not come back in step
            await asyncio.sleep(random.uniform(0.05, pause))  # noqa: S311 - no secret

    async def _connect(self) -> None:
        self._number += 1
        connection = self._connection = Connection(
            self._login,
            on_arrived=self._arrived,
            on_lost=self._on_lost,
            on_bytes=self._ears.on_heard,
        )
        self._barrier.build(self.filters)
        self._kept = await connection.open()
        failpoint("session.opened")
        if not self._kept:
            self._barrier.lift()
        await connection.unsubscribe(f for f in self.stale if f not in self.filters)
        await connection.subscribe_all(lambda: [*self.filters, *self._barrier.own])
        failpoint("session.subscribed")
        if self._lost.is_set():  # between the answer and this line
            raise self.error or errors.not_connected()
        self.stale = []
        self.reconnects += self._came_up
        self._came_up = True
        self.error = None
        self._turn(True)
        self._raise_barrier(connection)
        if not self._reading.is_set():
            connection.pause(True)

    def _raise_barrier(self, connection: Connection) -> None:
        """Publish it; nobody waits for the PUBACK, because a link may die right here."""
        for topic, nonce in self._barrier.letters():
            connection.send(topic, nonce, 1, False)

    async def _watch(self) -> None:
        """Ping, look whether anything was heard, until the connection is lost."""
        began = time.monotonic()
        silence = Silence(began, PING + 1)
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PING):
                    await self._lost.wait()
            except TimeoutError:
                self._look(silence, began)

    def _look(self, silence: Silence, began: float) -> None:
        connection, now = self._connection, time.monotonic()
        if connection is None or self._lost.is_set():
            return
        silent = silence.look(now, connection.heard_at if self._reading.is_set() else now)
        if silent > DEAD_AFTER:
            connection.drop(errors.silent(self._login.where, DEAD_AFTER))
        elif connection.has_forgotten():
            connection.drop(errors.forgetful(self._login.where))
        if self._lost.is_set():
            return
        connection.ping()
        if self._barrier.up and self._reading.is_set():
            if now - began > BARRIER_PATIENCE:
                log.warning("session %s: the barrier did not come back; going on", self.name)
                self._barrier.lift()
            else:
                self._raise_barrier(connection)

    async def _close(self) -> None:
        self._turn(False)
        self._ears.on_heard(None)
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _on_lost(self, error: BrokerError) -> None:
        lived = time.monotonic() - self._turned_at
        self._short_lives = self._short_lives + 1 if self.connected and lived < PING else 0
        if self._short_lives >= _SHORT_LIVES:
            error = errors.perhaps_taken_over(error, self._login.client_id)
        self.error = error
        self._lost.set()
        self._turn(False)

    def _turn(self, connected: bool) -> None:
        if self.connected != connected:
            self.connected = connected
            self._since, self._turned_at = time.time(), time.monotonic()
            self._ears.on_change()

    def _say(self, error: BrokerError) -> None:
        self.error = error
        self.connected = False
        self._ears.on_change()

    def _arrived(self, batch: list[Arrived]) -> None:
        messages, swallowed = sort(batch, self.name, self._number, self._barrier)
        self.ack(swallowed)
        if messages:
            self._ears.on_messages(messages)


def next_pause(pause: float, error: BrokerError | None, lived: float) -> float:
    """The longest time to wait before the next attempt."""
    if isinstance(error, AuthError):
        return LONGEST_PAUSE  # that needs a person, and brokers lock out who tries too often
    if lived > _STABLE_AFTER:
        return FIRST_PAUSE
    longer = min(pause * 2, LONGEST_PAUSE)
    # the machine is there and its broker is not: it restarts, and we are back soon after it
    return min(longer, _HOST_IS_UP) if isinstance(error, errors.NobodyListensError) else longer
