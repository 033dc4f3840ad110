"""MQTT 3.1.1 as bytes: packets are made here, and taken apart. Pure; no clock, no socket."""
# Rules of this file. Text becomes bytes before anybody counts it. Memory is bounded: there is one small
# receive buffer; a long message comes into a buffer of its own, which whoever gets it may change, and one
# that is too long is reported and skipped.

import struct

from . import const

CONNACK, SUBACK = 0x20, 0x90
DUP = 8
PINGREQ, DISCONNECT = b"\xc0\0", b"\xe0\0"
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBSCRIBE = const(0x82)
_PINGRESP = const(0xD0)
_QOS1 = const(2)
_CLEAN = const(2)
_WILL = const(4)
_LOGIN = const(0xC0)
_ROOM = const(512)  # more than a header and a topic of 256


class BrokenError(Exception):
    """What came is not MQTT."""


def to_bytes(text):
    return text.encode() if isinstance(text, str) else text


def _field(text):
    data = to_bytes(text)
    if len(data) > 65535:
        raise ValueError("longer than 65535 bytes")
    return struct.pack("!H", len(data)) + data


def _packet(kind, parts):
    size = sum([len(part) for part in parts])
    packet = bytearray((kind,))
    while size > 127:
        packet.append(size & 127 | 128)
        size >>= 7
    packet.append(size)
    for part in parts:
        packet += part
    return packet


def connect(client_id, keepalive, will, login):
    """A clean session; will = (topic, payload, qos, retain), login = (user, password) or None."""
    topic, payload, qos, retain = will
    flags = _CLEAN | _WILL | qos << 3 | (0x20 if retain else 0) | (_LOGIN if login else 0)
    head = struct.pack("!H4sBBH", 4, b"MQTT", 4, flags, keepalive)
    texts = (client_id, topic, payload) + (login or ())
    return _packet(0x10, [head] + [_field(text) for text in texts])


def subscribe(pid, topics):
    """All of them in one packet, each with QoS 1."""
    return _packet(_SUBSCRIBE, [struct.pack("!H", pid)] + [_field(t) + b"\x01" for t in topics])


def publish(pid, topic, payload, retain):
    """With QoS 1, or without an id with QoS 0."""
    first = _PUBLISH | (_QOS1 if pid else 0) | (1 if retain else 0)
    number = struct.pack("!H", pid) if pid else b""
    return _packet(first, (_field(topic), number, to_bytes(payload)))


class Reader:
    """Bytes go in, what they mean is in the lists: read into room(), then say how many with took()."""

    def __init__(self, max_payload):
        self.max_payload = max_payload
        self._buffer = memoryview(bytearray(_ROOM))
        self.clear()

    def clear(self):
        """A new connection."""
        self._fill = 0
        self._coming = None  # (topic, payload) of the message on its way in
        self._pid = self._behind = 0  # its id, 0 for none; how much there is of it from there on
        self.rest = 0  # so much of a long message is still to come, or to be skipped
        self.inbox = []  # (topic, payload)
        self.oversized = None  # (topic, size) of the last message that was skipped
        self.owed = bytearray()  # the PUBACKs that the broker waits for
        self.pubacks = []
        self.answers = []  # (kind, body) of CONNACK and SUBACK
        self.ponged = False

    def room(self):
        """Where to read to; never empty."""
        if self._coming:
            return memoryview(self._coming[1])[-self.rest :]
        return self._buffer[: self.rest] if self.rest else self._buffer[self._fill :]

    def took(self, size):
        """So many bytes came. Raises BrokenError."""
        if self.rest:
            begin = self.rest - self._behind
            self._read_pid(begin, min(begin + 2, size))
            self.rest -= size
            if not self.rest:
                self._arrived()
            return
        self._fill += size
        start = 0
        body = self._body(start)
        while body and body[1] <= self._fill:
            self._take(self._buffer[start], body[0], body[1])
            start = body[1]
            body = self._body(start)
        self._fill -= start
        self._buffer[: self._fill] = self._buffer[start : start + self._fill]
        if self._fill == len(self._buffer):  # and not the whole packet: it never will be
            self._take(self._buffer[0], body[0], body[1])
            self.rest = body[1] - self._fill
            self._fill = 0

    def _body(self, start):
        # where the body of the packet at `start` begins and ends; None if not known yet
        size = shift = 0
        for index in range(start + 1, min(start + 5, self._fill)):
            size |= (self._buffer[index] & 127) << shift
            if self._buffer[index] < 128:
                return index + 1, index + 1 + size
            shift += 7
        if self._fill - start >= 5:
            raise BrokenError("bad length")
        return None

    def _take(self, first, start, end):
        kind = first & 0xF0
        if kind == _PUBLISH:
            self._message(first, start, end)
        elif end > self._fill or (kind != _PINGRESP and end < start + 2):
            raise BrokenError("bad packet 0x%02x" % first)
        elif kind == _PUBACK:
            self.pubacks.append(self._buffer[start] << 8 | self._buffer[start + 1])
        elif kind == _PINGRESP:
            self.ponged = True
        else:
            self.answers.append((kind, bytes(self._buffer[start:end])))

    def _message(self, first, start, end):
        at = start + 2 + (self._buffer[start] << 8 | self._buffer[start + 1])
        body = at + 2 if first & _QOS1 else at
        if body > end:
            raise BrokenError("bad message")
        # where there is no id, nothing that comes is taken for a part of it
        self._pid, self._behind = 0, end - at if body > at else -2
        self._read_pid(at, min(body, self._fill))
        topic = bytes(self._buffer[start + 2 : min(at, self._fill)])
        payload = None
        if end - body <= self.max_payload and body <= self._fill:
            try:
                payload = bytearray(end - body)
            except MemoryError:
                pass  # with a new connection a retained one would only come again
        if payload is None:
            self.oversized = topic, end - body
        else:
            here = self._buffer[body : min(end, self._fill)]
            payload[: len(here)] = here
            self._coming = topic, payload
        if end <= self._fill:
            self._arrived()

    def _read_pid(self, begin, end):
        # behind a topic that is longer than the buffer it comes later, perhaps in two parts
        for at in range(max(begin, 0), end):
            self._pid = self._pid << 8 | self._buffer[at]

    def _arrived(self):
        # all of it, so that the broker may forget it
        if self._coming:
            self.inbox.append(self._coming)
            self._coming = None
        if self._pid:
            self.owed += struct.pack("!BBH", _PUBACK, 2, self._pid)
