"""Who waits for which answer of the broker, on one connection.

Rules of this file. Whoever waits hears of the answer or of the connection's end, never of neither.
An error that nobody waits for any more is nobody's business.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.errors import BrokerError
from gateway.failpoint import failpoint
from gateway.mqtt import errors
from gateway.mqtt.client import Login

TIMEOUT = 10.0
_OVERTAKEN, _DEAF = 3, 12
"""Looks, one for each ping, that a publish waits when a later one was answered, and when none was."""


class Answers:
    """CONNACK, PUBACK and SUBACK as futures."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._loop = asyncio.get_running_loop()
        self._published: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._subscribed: dict[int, asyncio.Future[list[str]]] = {}
        self.connected: asyncio.Future[bool] = self._loop.create_future()
        """True where the broker kept our session."""

    # -- what the client tells ---------------------------------------------------------------

    def on_connack(self, kept: bool, refusal: str) -> None:
        """The answer to CONNECT."""
        if self.connected.done():
            return
        if refusal:
            self._fail(
                self.connected, errors.refused(self._login.where, self._login.username, refusal)
            )
        else:
            self.connected.set_result(kept)

    def on_puback(self, mid: int, refusal: str) -> None:
        """The broker has what we published, or refuses it."""
        topic, future = self._published.pop(mid, ("", None))
        if future is None or future.done():
            return
        if refusal:
            self._fail(future, errors.refused_publish(topic, refusal))
        else:
            failpoint("publish.acknowledged")
            future.set_result(None)

    def on_suback(self, mid: int, refusals: list[str]) -> None:
        """The answer to a subscription, or to the end of one."""
        future = self._subscribed.get(mid)
        if future is not None and not future.done():
            future.set_result(refusals)

    # -- who waits ---------------------------------------------------------------------------

    def published(self, mid: int, topic: str) -> asyncio.Future[None]:
        """Done with the PUBACK."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._published[mid] = topic, future
        return future

    async def subscribed(self, mid: int) -> list[str]:
        """A refusal for each filter, empty where there is none. Raises BrokerError."""
        if not mid:
            raise errors.not_connected()
        future: asyncio.Future[list[str]]
        future = self._subscribed[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await future
        except TimeoutError as error:
            raise errors.silent(self._login.where, TIMEOUT) from error
        finally:
            self._subscribed.pop(mid, None)

    def fail(self, error: BrokerError) -> None:
        """The connection has ended: there will be no more answers."""
        waiting: list[asyncio.Future[Any]] = [self.connected]
        waiting += [future for _, future in self._published.values()]
        waiting += self._subscribed.values()
        for future in waiting:
            self._fail(future, error)

    @staticmethod
    def _fail(future: asyncio.Future[Any], error: BrokerError) -> None:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever waits hears of it; nobody need


class Overdue:
    """Publishes without their PUBACK. A broker that restarts can forget one and stay connected: nothing
    would ever be heard of it. Looks are counted, not seconds: what we slept through does not count."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._oldest: asyncio.Future[None] | None = None
        self._looks = 0
        self._overtaken = False

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Until it is answered."""
        self._waiting[future] = None
        try:
            await future
        finally:
            self._overtaken = self._overtaken or next(iter(self._waiting)) is not future
            del self._waiting[future]

    def look(self, *, is_writing: bool) -> bool:
        """True where the oldest will not be answered any more. `is_writing`: some have not left yet."""
        oldest = next(iter(self._waiting), None)
        if oldest is not self._oldest or is_writing:
            self._oldest, self._looks, self._overtaken = oldest, 0, False
        elif oldest is not None:
            self._looks += 1
        return self._looks >= (_OVERTAKEN if self._overtaken else _DEAF)
