"""One connection to the broker, from CONNECT to its end.

Rules of this file. The client is driven from the gateway's loop; only DNS, connect and the TLS
handshake run in a helper thread. Callbacks note what happened and return; they never wait and never
raise. Each connection has a new client, so nothing of an old one (packet ids, queued messages,
acknowledgements) can leak into the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable

from gateway.errors import BrokerError
from gateway.failpoint import failpoint
from gateway.mqtt import errors, tls
from gateway.mqtt.answers import Answers, Overdue
from gateway.mqtt.client import CONNECT_TIMEOUT, Login, make
from gateway.mqtt.reader import Arrived

log = logging.getLogger(__name__)
_BURST = 2000
_GOODBYE = 1.0


class Connection:
    """Made by a session for each attempt; runs on its loop."""

    def __init__(
        self,
        login: Login,
        *,
        on_arrived: Callable[[list[Arrived]], None],
        on_lost: Callable[[BrokerError], None],
        on_bytes: Callable[[float], None],
    ) -> None:
        self._login = login
        self._on_arrived = on_arrived
        self._on_lost = on_lost
        self._on_bytes = on_bytes
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(login)
        self._overdue = Overdue()
        # the number, not the socket: paho closes the socket before it tells, and a reader that is
        # not removed would hide the next connection that gets the same number
        self._fd = -1
        self._ended = False
        self._paused = False
        self._writing = False
        self.heard_at = time.monotonic()
        self._client = make(login, self, self._answers)

    async def open(self) -> bool:
        """Connect; True where the broker kept our session. Raises BrokerError, AuthError."""
        try:
            self._fd = await in_thread(self._client.dial)
        except (ssl.SSLError, ConnectionResetError) as error:  # nobody resets a mere connect
            self._end(errors.not_connected())
            raise tls.explain(error, self._login.host) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._unreachable(reason, error) from error
        self._loop.add_reader(self._fd, self._read)
        self._write()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT * 2):
                return await self._answers.connected
        except TimeoutError as error:
            raise self._unreachable("it accepts connections and then says nothing") from error

    async def close(self) -> None:
        """DISCONNECT, and the end of the socket."""
        if self._ended:
            return
        try:
            self._client.disconnect()
            failpoint("session.closing")
            self._write()
            deadline = time.monotonic() + _GOODBYE
            while self._writing and time.monotonic() < deadline:  # noqa: ASYNC110 - paho has no event for it
                await asyncio.sleep(0.005)
        finally:
            self._end(errors.not_connected())

    def drop(self, error: BrokerError) -> None:
        """Give the connection up."""
        if not self._ended:
            self._end(error)
            self._on_lost(error)

    # -- use ---------------------------------------------------------------------------------

    async def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. Raises BrokerError naming the filter that the broker refuses."""
        if not (wanted := list(filters)):
            return
        refusals = await self._answers.subscribed(self._client.ask(wanted))
        for name, reason in zip(wanted, refusals, strict=False):
            if reason:
                raise errors.refused_filter(name, reason)

    async def subscribe_all(self, wanted: Callable[[], list[str]]) -> None:
        """The same for a list that may grow while we wait for the broker's answer."""
        asked: list[str] = []
        while new := [name for name in wanted() if name not in asked]:
            asked += new
            await self.subscribe(new)

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe."""
        if names := list(filters):
            await self._answers.subscribed(self._client.ask(names, wanted=False))

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish, and wait for the PUBACK. Raises BrokerError."""
        await self._overdue.wait(self.send(topic, payload, qos, retain))

    def send(self, topic: str, payload: bytes, qos: int, retain: bool) -> asyncio.Future[None]:
        """Publish; the future is done when the broker has it, or fails where the connection ends."""
        if self._ended:
            raise errors.not_connected()
        try:
            mid, trouble = self._client.send(topic, payload, qos, retain)
        except ValueError as error:  # a topic or a size that MQTT does not know
            raise BrokerError(f"not published to {topic[:200]!r}", why=str(error)) from error
        if trouble:
            raise BrokerError(f"not published: {trouble}")
        future = self._answers.published(mid, topic)
        if not qos:
            self._answers.on_puback(mid, "")  # there will be none
        return future

    def ack(self, mids: list[int]) -> None:
        """One write for all of these PUBACKs."""
        if mids and not self._ended:
            failpoint("puback.before")
            self._client.acknowledge(mids)
            failpoint("puback.after")

    def has_forgotten(self) -> bool:
        """True where a publish will have no answer any more; to be asked once for each ping."""
        return self._overdue.look(is_writing=self._writing)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self._ended:
            self._client.ping()  # and no look of paho's at its keepalive: the session has its own

    def pause(self, paused: bool) -> None:
        """Stop or go on reading."""
        if self._paused == paused or self._ended or self._fd < 0:
            return
        self._paused = paused
        if paused:
            self._loop.remove_reader(self._fd)
        else:
            self._loop.add_reader(self._fd, self._read)
            self._loop.call_soon(self._read)

    # -- what the client tells (`client.Listener`) ----------------------------------

    def on_heard(self) -> None:
        """Bytes are a sign of life, whatever they say."""
        self.heard_at = time.monotonic()
        self._on_bytes(self.heard_at)

    def on_disconnect(self, reason: str) -> None:
        """The broker says goodbye: paho has closed the socket, and nothing will tell us of it."""
        mine = reason == "Session taken over"
        error = errors.taken_over(self._login.client_id) if mine else self._gone(reason)
        self._loop.call_soon(self.drop, error)

    def on_writable(self) -> None:
        """From any thread; the loop may be closed while a helper thread still connects."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._write)

    # -- within ------------------------------------------------------------------------------

    def _read(self) -> None:
        """What is there, up to a burst, as one list; then others have their turn."""
        if self._ended or self._paused:
            return
        batch, more, trouble = self._client.read(_BURST)
        if batch:
            try:
                self._on_arrived(batch)
            except Exception:  # unacknowledged: the broker sends them again
                log.exception("%d messages were not taken", len(batch))
        if trouble:
            self.drop(self._gone(trouble))
        elif more:
            self._loop.call_soon(self._read)

    def _write(self) -> None:
        if self._ended or self._fd < 0:
            return
        if trouble := self._client.write_packets():
            self.drop(self._gone(trouble))
            return
        wants = self._client.want_write()
        if wants and not self._writing:
            self._loop.add_writer(self._fd, self._write)
        elif not wants and self._writing:
            self._loop.remove_writer(self._fd)
        self._writing = wants

    def _end(self, error: BrokerError) -> None:
        """Let go of the socket, and tell everybody who waits."""
        self._ended = True
        self._writing = False
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._client.hang_up()
        self._answers.fail(error)

    def _gone(self, reason: str) -> BrokerError:
        before = not self._answers.connected.done()
        return (errors.hung_up if before else errors.lost)(self._login.where, reason)

    def _unreachable(self, reason: str, cause: Exception | None = None) -> BrokerError:
        error = errors.unreachable(self._login.where, reason, cause)
        self._end(error)
        return error


def in_thread(function: Callable[[], int]) -> asyncio.Future[int]:
    """Run it in a thread of its own that keeps nobody: name servers can take half a minute."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()

    def finish(result: int, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, found = -1, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            found = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(finish, result, found)

    threading.Thread(target=run, name="gateway-dial", daemon=True).start()
    return future
