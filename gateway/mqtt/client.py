"""One connection to the broker: the only file that knows paho.

Rules of this file. paho is driven from the gateway's loop; only DNS, connect and the TLS handshake
run in a helper thread. Callbacks note what happened and return; they never wait and never raise.
Each connection is a new paho client, so nothing of an old one (packet ids, queued messages,
acknowledgements) can leak into the next.

paho reads a packet with three or more system calls of a few bytes each. The subclass below feeds it
from one buffer instead, which it fills with large reads; nothing else of paho is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import AuthError, BrokerError
from gateway.mqtt import tls

log = logging.getLogger(__name__)
PUBACK = 0x40
_CHUNK = 1 << 18
_BURST = 2000
_CONNECT_TIMEOUT = 5.0
_REFUSED_LOGIN = {"Bad user name or password", "Not authorized"}
_VERSIONS = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


class Token(NamedTuple):
    """What acknowledges a message; only good on the connection that brought it."""

    connection: int
    mid: int


class Arrived(NamedTuple):
    """A message as it came in; `token` is None for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    token: Token | None


class Login(NamedTuple):
    """Where to and as whom."""

    host: str
    port: int
    client_id: str
    username: str
    password: str
    version: str
    keepalive: int
    context: ssl.SSLContext | None


class _Paho(paho.Client):
    """paho, reading from a buffer."""

    buffered = b""
    at = 0
    heard: Callable[[], None] = staticmethod(lambda: None)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.at >= len(self.buffered):
            self.buffered = super()._sock_recv(_CHUNK)
            self.at = 0
            if self.buffered:
                self.heard()
        part = self.buffered[self.at : self.at + bufsize]
        self.at += len(part)
        return part

    @property
    def has_more(self) -> bool:
        """True where something is left to parse without waiting for the socket."""
        pending = getattr(self.socket(), "pending", None)
        return self.at < len(self.buffered) or bool(pending and pending() > 0)

    def queue_bytes(self, command: int, packet: bytes) -> None:
        """Send bytes through paho's own queue, behind whatever it has half-written."""
        self._packet_queue(command, packet, 0, 0)

    def ping(self) -> None:
        """A PINGREQ of our own, whatever the keepalive says."""
        self._send_pingreq()


class Connection:
    """From CONNECT to its end. Made by a session for each attempt; runs on its loop."""

    def __init__(
        self,
        login: Login,
        number: int,
        *,
        on_arrived: Callable[[list[Arrived]], None],
        on_lost: Callable[[BrokerError], None],
    ) -> None:
        self._login = login
        self._number = number
        self._on_arrived = on_arrived
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._batch: list[Arrived] = []
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._subacks: dict[int, asyncio.Future[list[Any]]] = {}
        self._connack: asyncio.Future[bool] = self._loop.create_future()
        # the number, not the socket: paho closes the socket before it tells, and a reader that is
        # not removed would hide the next connection that gets the same number
        self._fd = -1
        self._ended = False
        self._paused = False
        self._writing = False
        self.heard_at = time.monotonic()
        self._client = self._make()

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> bool:
        """Connect; True where the broker kept our session. Raises BrokerError, AuthError."""
        try:
            await asyncio.to_thread(self._client.reconnect)
        except ssl.SSLError as error:
            self._end()
            raise tls.explain(error, self._login.host) from error
        except (OSError, ValueError) as error:
            self._end()
            raise self._unreachable(error) from error
        sock = self._client.socket()
        if sock is None:
            raise self._unreachable(ConnectionError("closed at once"))
        # a PUBACK followed by a PUBLISH would wait 40 ms for the broker's delayed ACK (Nagle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._read)
        self._write()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT * 2):
                return await self._connack
        except TimeoutError as error:
            self.drop(BrokerError("no answer to CONNECT"))
            raise self._unreachable(
                error, "it accepts connections and then says nothing"
            ) from error

    async def close(self) -> None:
        """DISCONNECT, and the end of the socket."""
        if self._ended:
            return
        self._client.disconnect()
        self._write()
        deadline = time.monotonic() + 1.0
        while not self._ended and self._client.want_write() and time.monotonic() < deadline:  # noqa: ASYNC110 - paho has no event for it
            await asyncio.sleep(0.005)
        self._end()

    def drop(self, error: BrokerError) -> None:
        """Give the connection up."""
        if not self._ended:
            self._end()
            self._on_lost(error)

    # -- use ---------------------------------------------------------------------------------

    async def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. Raises BrokerError naming the filter that the broker refuses."""
        wanted = [(f, 1) for f in filters]
        if not wanted:
            return
        _, mid = self._client.subscribe(wanted)
        codes = await self._expect(self._subacks, mid)
        for (name, _), code in zip(wanted, codes, strict=False):
            if code.is_failure:
                raise BrokerError(
                    f"the broker refuses the subscription to {name}",
                    why=str(code),
                    hint="let the gateway's user read this topic in the broker's ACL",
                )

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe."""
        if names := list(filters):
            _, mid = self._client.unsubscribe(names)
            await self._expect(self._subacks, mid or 0)

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish; returns when the broker has it. Raises BrokerError where the connection ends."""
        if self._ended:
            raise BrokerError("not connected to the broker")
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerError(f"not published: {paho.error_string(info.rc)}")
        if qos:
            future: asyncio.Future[None] = self._loop.create_future()
            self._acks[info.mid] = future
            await future

    def ack(self, mids: list[int]) -> None:
        """One write for all of these PUBACKs."""
        if self._ended or not mids:
            return
        self._client.queue_bytes(PUBACK, b"".join(b"\x40\x02" + m.to_bytes(2, "big") for m in mids))

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self._ended:
            self._client.ping()
            self._client.loop_misc()

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

    # -- within ------------------------------------------------------------------------------

    def _make(self) -> _Paho:
        login = self._login
        version = _VERSIONS[login.version]
        clean = {} if login.version == "5" else {"clean_session": False}
        client = _Paho(
            paho.CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            protocol=version,
            manual_ack=True,
            **clean,
        )
        client.suppress_exceptions = False
        client.connect_timeout = _CONNECT_TIMEOUT
        client.max_inflight_messages_set(1000)
        client.heard = self._heard
        if login.username:
            client.username_pw_set(login.username, login.password or None)
        if login.context is not None:
            client.tls_set_context(login.context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = client.on_unsubscribe = self._on_suback
        client.on_socket_register_write = lambda *_: self._loop.call_soon_threadsafe(self._write)
        options: dict[str, Any] = {}
        if login.version == "5":
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0xFFFFFFFF
            properties.ReceiveMaximum = 1000
            options = {"clean_start": False, "properties": properties}
        client.connect_async(login.host, login.port, login.keepalive, **options)
        return client

    def _heard(self) -> None:
        self.heard_at = time.monotonic()

    def _read(self) -> None:
        """Everything that is there, up to a burst; one list for it."""
        client = self._client
        for _ in range(_BURST):
            if self._ended or self._paused:
                break
            code = client.loop_read()
            if code != paho.MQTT_ERR_SUCCESS:
                self._deliver()
                self.drop(self._gone(code))
                return
            if not client.has_more:
                break
        else:
            self._loop.call_soon(self._read)  # others come first, then the rest of the buffer
        self._deliver()

    def _deliver(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._on_arrived(batch)

    def _write(self) -> None:
        if self._ended or self._fd < 0:
            return
        if self._client.want_write() and self._client.loop_write() != paho.MQTT_ERR_SUCCESS:
            self.drop(BrokerError("the connection to the broker broke while writing"))
            return
        wants = self._client.want_write()
        if wants and not self._writing:
            self._loop.add_writer(self._fd, self._write)
        elif not wants and self._writing:
            self._loop.remove_writer(self._fd)
        self._writing = wants

    def _end(self) -> None:
        self._ended = True
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._client.on_disconnect = None
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        error = BrokerError("the connection to the broker is gone")
        waiting: list[asyncio.Future[Any]] = [*self._acks.values(), *self._subacks.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited hears of it; nobody need
        if not self._connack.done():
            self._connack.set_exception(error)
            self._connack.exception()

    async def _expect(self, waiting: dict[int, asyncio.Future[Any]], mid: int | None) -> Any:
        if self._ended or not mid:
            raise BrokerError("not connected to the broker")
        future = waiting[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(10.0):
                return await future
        except TimeoutError as error:
            raise BrokerError("the broker does not answer a subscription") from error
        finally:
            waiting.pop(mid, None)

    def _on_connect(self, _c: Any, _u: Any, flags: Any, reason: Any, _p: Any = None) -> None:
        if self._connack.done():
            return
        if not reason.is_failure:
            self._connack.set_result(bool(flags.session_present))
        elif str(reason) in _REFUSED_LOGIN:
            self._connack.set_exception(
                AuthError(
                    f"the broker at {self._login.host}:{self._login.port} refuses our login",
                    why=f"{reason} (user {self._login.username or 'none'!r})",
                    hint="set [mqtt] username and password in gateway.toml",
                )
            )
        else:
            self._connack.set_exception(BrokerError(f"the broker refuses us: {reason}"))

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, reason: Any, _p: Any = None) -> None:
        if str(reason) == "Session taken over":
            self._loop.call_soon(self.drop, self._taken_over())

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(message._topic)  # the bytes, so that the refusal can be read
        token = Token(self._number, message.mid) if message.qos else None
        self._batch.append(Arrived(topic, message.payload, message.qos, message.retain, token))

    def _on_publish(self, _c: Any, _u: Any, mid: int, _r: Any = None, _p: Any = None) -> None:
        future = self._acks.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _on_suback(self, _c: Any, _u: Any, mid: int, codes: Any, _p: Any = None) -> None:
        future = self._subacks.get(mid)
        if future is not None and not future.done():
            future.set_result(list(codes) if codes else [])

    def _gone(self, code: int) -> BrokerError:
        return BrokerError(
            f"the connection to the broker at {self._login.host}:{self._login.port} is lost",
            why=paho.error_string(code),  # type: ignore[arg-type] # an int enum
            hint="it is tried again by itself",
        )

    def _taken_over(self) -> BrokerError:
        return BrokerError(
            f"another client uses the id {self._login.client_id}",
            why="the broker gave our session to it",
            hint="stop the other gateway, or give this one another [mqtt] client_id",
        )

    def _unreachable(self, error: Exception, why: str = "") -> BrokerError:
        reason = why or getattr(error, "strerror", None) or str(error)
        return BrokerError(
            f"cannot reach the broker at {self._login.host}:{self._login.port} ({reason})",
            why="[mqtt] host and port say so",
            hint="start it (sudo systemctl start mosquitto), "
            "or use the embedded one: gateway run --broker embedded",
        )
