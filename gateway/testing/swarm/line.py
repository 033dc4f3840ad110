"""One node's MQTT 3.1.1 connection, on asyncio: just what a node says and hears.

Rules of this file. Nothing is kept: what is not acknowledged when the line breaks is the node's
business. Every ending is told once, with its reason.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, cast

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
_PUBLISH_QOS1, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 0x32, 0x82, b"\xc0\x00", b"\xe0\x00"
_PATIENCE = 20.0


class Login(NamedTuple):
    """What CONNECT says."""

    client_id: str
    username: str
    password: str
    keepalive: int
    will_topic: str
    will: bytes


class Hears(NamedTuple):
    """Who hears what: an open line, a message, an acknowledgement (its number), and the end."""

    opened: Callable[[], None]
    message: Callable[[str, bytes], None]
    acked: Callable[[int], None]
    ended: Callable[[str], None]


class Line(asyncio.Protocol):
    """An MQTT connection of one node."""

    def __init__(self, login: Login, hears: Hears) -> None:
        self._login = login
        self._hears = hears
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._ids = 0
        self._over = self._is_open = False
        self.said_at = 0.0

    # -- what the node says ----------------------------------------------------------------------

    def subscribe(self, topics: list[str]) -> None:
        """All of them at QoS 1."""
        body = struct.pack("!H", self._next_id())
        body += b"".join(_text(topic) + b"\x01" for topic in topics)
        self._say(_packet(_SUBSCRIBE, body))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """At QoS 1; returns the number by which it is acknowledged."""
        number = self._next_id()
        body = _text(topic) + struct.pack("!H", number) + payload
        self._say(_packet(_PUBLISH_QOS1 | retain, body))
        return number

    def ping(self) -> None:
        """Stay alive."""
        self._say(_PINGREQ)

    def close(self) -> None:
        """An orderly end: the broker publishes no will. Nothing is heard any more."""
        self._over = True
        if self._transport is not None:
            self._transport.write(_DISCONNECT)
            self._transport.close()

    def tear(self) -> None:
        """The end without a word, as a power cut makes it."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _next_id(self) -> int:
        self._ids = self._ids % 65_535 + 1
        return self._ids

    def _say(self, packet: bytes) -> None:
        if self._transport is not None and not self._over:
            self.said_at = asyncio.get_running_loop().time()
            self._transport.write(packet)

    # -- what the broker says --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open: CONNECT."""
        self._transport = cast(asyncio.Transport, transport)
        if self._over:
            self._transport.abort()
            return
        self._say(_connect(self._login))
        asyncio.get_running_loop().call_later(_PATIENCE, self._still_waiting)

    def _still_waiting(self) -> None:
        if not self._is_open:
            self._finish("no CONNACK")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._finish(str(exc or "the broker has closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Whole packets are taken; the rest waits for more."""
        self._buffer += data
        while not self._over:
            found = _first(self._buffer)
            if found is None:
                return
            kind, body, size = found
            self._buffer = self._buffer[size:]
            self._take(kind, body)

    def _take(self, kind: int, body: bytes) -> None:
        if kind & 0xF0 == PUBLISH:
            self._publish_came(kind, body)
        elif kind == PUBACK:
            self._hears.acked(int.from_bytes(body[:2], "big"))
        elif kind == CONNACK and body[1:2] == b"\x00":
            self._is_open = True
            self._hears.opened()
        elif kind == CONNACK:
            self._finish(f"refused by the broker ({body[1]})")
        elif kind == SUBACK and 0x80 in body[2:]:
            self._finish("a subscription is refused")

    def _publish_came(self, kind: int, body: bytes) -> None:
        size = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + size].decode("utf-8", "replace"), body[2 + size :]
        if kind & 0x06:
            self._say(_packet(PUBACK, rest[:2]))
            rest = rest[2:]
        self._hears.message(topic, rest)

    def _finish(self, why: str) -> None:
        if self._over:
            return
        self.tear()
        self._hears.ended(why)


def _connect(login: Login) -> bytes:
    flags = 0x02 | 0x04 | 0x08 | 0x20  # clean session; a will, at QoS 1, retained
    body = _text(login.client_id) + _text(login.will_topic)
    body += struct.pack("!H", len(login.will)) + login.will
    if login.username:
        flags |= 0xC0
        body += _text(login.username) + _text(login.password)
    head = _text("MQTT") + bytes((4, flags)) + struct.pack("!H", login.keepalive)
    return _packet(0x10, head + body)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes((digit | 0x80 if size else digit,))
        if not size:
            return bytes((kind,)) + length + body


def _first(data: bytes) -> tuple[int, bytes, int] | None:
    """(kind, body, size) of the first packet, None where it is not whole yet."""
    size = shift = 0
    for at in range(1, min(len(data), 5)):
        size |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            end = at + 1 + size
            return (data[0], data[at + 1 : end], end) if len(data) >= end else None
    return None


async def open_line(host: str, port: int, line: Line) -> None:
    """Connect. Raises OSError."""
    loop: Any = asyncio.get_running_loop()
    async with asyncio.timeout(_PATIENCE):
        await loop.create_connection(lambda: line, host, port)
