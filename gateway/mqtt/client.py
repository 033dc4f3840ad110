"""The only file that knows paho: a client for one connection, driven by somebody else's loop.

paho reads a packet with three or more system calls of a few bytes each. The subclass below feeds it
from one buffer instead, which it fills with large reads, and takes whole PUBLISH packets out of that
buffer itself (`reader.py`: a third of the time for each message); nothing else of paho is replaced.
What leaves this file is bytes, numbers and words, never a type of paho.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.mqtt.reader import Arrived, take

log = logging.getLogger(__name__)
CONNECT_TIMEOUT = 5.0
_PUBACK = 0x40
_CHUNK = 1 << 18
_WINDOW = 1000
_VERSIONS = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


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
    lasting: bool = True
    """Whether the broker keeps the session when we are gone."""

    @property
    def where(self) -> str:
        """The broker's address, for messages."""
        return f"{self.host}:{self.port}"


class Listener(Protocol):
    """Who is told what paho hears; each method notes it and returns."""

    def on_heard(self) -> None:
        """Bytes have arrived."""

    def on_disconnect(self, reason: str) -> None:
        """The broker's DISCONNECT (MQTT 5)."""

    def on_writable(self) -> None:
        """Something waits to be written; from any thread."""


class Waiting(Protocol):
    """Who is told the broker's answers."""

    def on_connack(self, kept: bool, refusal: str) -> None:
        """The answer to CONNECT; `refusal` is empty where it is a yes."""

    def on_puback(self, mid: int, refusal: str) -> None:
        """The broker has what we published, or refuses it."""

    def on_suback(self, mid: int, refusals: list[str]) -> None:
        """An answer for each filter, empty where it is a yes."""


class Client(paho.Client):
    """paho, reading from a buffer."""

    buffered = b""
    at = 0
    batch: list[Arrived]
    hung_up = False
    heard: Callable[[], None] = staticmethod(lambda: None)
    refused: Callable[[str], None] = staticmethod(lambda _reason: None)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.at >= len(self.buffered):
            self.buffered = super()._sock_recv(_CHUNK)
            self.at = 0
            if self.buffered:
                self.heard()
        part = self.buffered[self.at : self.at + bufsize]
        self.at += len(part)
        return part

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """The handshake within the time-out of the connect; paho would wait for a whole keepalive."""
        assert self._ssl_context is not None
        return self._ssl_context.wrap_socket(tcp_sock, server_hostname=self._host)

    def _handle_connack(self) -> Any:
        """Tell of a refused protocol version; paho would say nothing and come with an older one."""
        if self._protocol == paho.MQTTv311 and self._in_packet["packet"][1:2] == b"\x01":
            self.refused("Unsupported protocol version")
            return paho.MQTT_ERR_PROTOCOL
        return super()._handle_connack()

    @property
    def has_more(self) -> bool:
        """True where something is left to parse without waiting for the socket."""
        pending = getattr(self.socket(), "pending", None)
        return self.at < len(self.buffered) or bool(pending and pending() > 0)

    def dial(self) -> int:
        """Connect, in a helper thread; the socket's number. Raises OSError, ValueError.

        Whoever hung up meanwhile finds the socket closed.
        """
        self.reconnect()
        sock: Any = self.socket()
        if sock is None or self.hung_up:
            self.hang_up()
            raise ConnectionError("closed at once")
        # a PUBACK followed by a PUBLISH would wait 40 ms for the broker's delayed ACK (Nagle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return int(sock.fileno())

    def hang_up(self) -> None:
        """Close the socket, and tell nobody."""
        self.hung_up = True
        self.on_disconnect = None
        sock = self.socket()
        if sock is not None:
            sock.close()

    def ask(self, filters: list[str], *, wanted: bool = True) -> int:
        """SUBSCRIBE with QoS 1, or UNSUBSCRIBE: the packet id, 0 where there is no connection."""
        if self.hung_up:
            return 0
        if wanted:
            return self.subscribe([(name, 1) for name in filters])[1] or 0
        return self.unsubscribe(filters)[1] or 0

    def read(self, most: int) -> tuple[list[Arrived], bool, str]:
        """Messages, whether more can be had without waiting, and what went wrong or nothing."""
        self.batch, trouble = [], ""
        try:
            while not trouble and self._at_hand():
                self._take(most)
                if self.at < len(self.buffered) or not self.buffered:
                    # a packet that is not a plain PUBLISH, or not all there; or the end
                    trouble = self._word(self.loop_read())
                if not self.has_more or len(self.batch) >= most:
                    break
        except Exception:  # what a broken broker sends must not stop the reader for ever
            log.exception("a packet of the broker cannot be read")
            trouble = "it sends what is not MQTT"
        return self.batch, self.has_more, trouble

    def _at_hand(self) -> bool:
        """True where there is something to parse: what is left in the buffer, or what is read now."""
        if self._sock is None:
            return False
        if self.at >= len(self.buffered):
            try:
                self._sock_recv(0)
            except BlockingIOError:
                return False
            except OSError:
                self.buffered = b""  # the end of the connection is paho's to find, in its own way
        return True

    def _take(self, most: int) -> None:
        """Whole messages, where no packet is half read and the broker has taken us."""
        if self._in_packet["command"] == 0 and self.is_connected():
            version_5 = self._protocol == paho.MQTTv5
            found, self.at = take(self.buffered, self.at, most, properties=version_5)
            self.batch += found

    def write_packets(self) -> str:
        """Write what the socket takes; what went wrong, or nothing."""
        return self._word(self.loop_write()) if self.want_write() else ""

    def send(self, topic: str, payload: bytes, qos: int, retain: bool) -> tuple[int, str]:
        """PUBLISH: its packet id, and what went wrong."""
        info = self.publish(topic, payload, qos, retain)
        return info.mid, self._word(info.rc)

    def acknowledge(self, mids: list[int]) -> None:
        """One write for all of these PUBACKs, behind whatever paho has half-written."""
        packets = b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)
        self._packet_queue(_PUBACK, packets, 0, 0)

    def ping(self) -> None:
        """A PINGREQ of our own, whatever the keepalive says."""
        self._send_pingreq()

    @staticmethod
    def _word(code: Any) -> str:
        return "" if code == paho.MQTT_ERR_SUCCESS else paho.error_string(code)


def make(login: Login, listener: Listener, answers: Waiting) -> Client:
    """A client that has not connected yet. It never comes back by itself: each connection is anew."""
    clean: dict[str, Any] = {} if login.version == "5" else {"clean_session": not login.lasting}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=login.client_id,
        protocol=_VERSIONS[login.version],
        manual_ack=True,
        # or paho connects again, and blocks our loop, with an older protocol
        reconnect_on_failure=False,
        **clean,
    )
    client.suppress_exceptions = False
    client.connect_timeout = CONNECT_TIMEOUT
    client.max_inflight_messages_set(_WINDOW)
    if login.username:
        client.username_pw_set(login.username, login.password or None)
    if login.context is not None:
        client.tls_set_context(login.context)
    _wire(client, listener, answers)
    options: dict[str, Any] = {}
    if login.version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's lack
        properties.SessionExpiryInterval = 0xFFFFFFFF if login.lasting else 0
        properties.ReceiveMaximum = _WINDOW
        options = {"clean_start": not login.lasting, "properties": properties}
    client.connect_async(login.host, login.port, login.keepalive, **options)
    return client


def _wire(client: Client, listener: Listener, answers: Waiting) -> None:
    """paho's callbacks in our words."""

    def on_connect(_c: Any, _u: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        # MQTT 5: who publishes more than this at once is thrown out, and paho does not look
        window = getattr(properties, "ReceiveMaximum", _WINDOW)
        client._max_inflight_messages = min(_WINDOW, window)
        answers.on_connack(bool(flags.session_present), str(reason) if reason.is_failure else "")

    def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(message._topic)  # the bytes, so that the refusal can be read
        mid = message.mid if message.qos else 0
        payload = bytes(message.payload)
        client.batch.append(Arrived(topic, payload, message.qos, message.retain, message.dup, mid))

    def on_publish(_c: Any, _u: Any, mid: int, reason: Any, _p: Any = None) -> None:
        answers.on_puback(mid, str(reason) if reason.is_failure else "")

    def on_suback(_c: Any, _u: Any, mid: int, codes: Any, _p: Any = None) -> None:
        refusals = [str(code) if code.is_failure else "" for code in codes or ()]
        answers.on_suback(mid, refusals)

    def on_disconnect(_c: Any, _u: Any, flags: Any, reason: Any, _p: Any = None) -> None:
        if flags.is_disconnect_packet_from_server:
            listener.on_disconnect(str(reason))

    client.heard = listener.on_heard
    client.refused = lambda reason: answers.on_connack(False, reason)
    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_message = on_message
    client.on_publish = on_publish
    client.on_subscribe = client.on_unsubscribe = on_suback
    client.on_socket_register_write = lambda *_: listener.on_writable()
