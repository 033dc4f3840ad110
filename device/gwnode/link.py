"""The only file that knows umqtt and sockets: an MQTT client in which nothing waits for ever.

- Every wait has a deadline and no call removes it. umqtt's wait_msg() does (it makes the socket
  block) and its publish() waits for ever for a PUBACK: nothing here calls them.
- One packet is one write, and text becomes bytes before anybody counts it.
- What goes wrong ends as LinkError with the socket closed; open() starts afresh.
- Memory is bounded: one receive buffer, `window` packets in flight, big messages are skipped.

Inherited from umqtt.simple: the constructor, the will (set_last_will) and the callback
(set_callback; called for each message before poll() returns it). 1.3.4 and 1.8.0 take the same
arguments; `ssl` is an SSLContext here with either. IPv4 only, as umqtt is.
"""

import errno
import os
import select
import socket
import struct
import sys

_CPYTHON = sys.implementation.name != "micropython"
if _CPYTHON:
    import binascii

    sys.modules.update({"usocket": socket, "ustruct": struct, "ubinascii": binascii})
if hasattr(os, "getenv") and os.getenv("UMQTT_DIR"):
    sys.path.append(os.getenv("UMQTT_DIR"))

from umqtt.simple import MQTTClient  # noqa: E402 - needs the names above

_CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x82, 0x90, 0xD0
_DUP, _QOS1, _RETAIN = 8, 2, 1
_WRITE_MS = 5000
_RESEND_MS = 10000
_PONG_MS = 10000
_SLICE_MS = 500  # how long a wait may put off pings and resends
_READS = 16  # buffers that one poll() takes in at most: a flood must not keep the caller away
_QUEUED = 32  # messages that may come ahead of a SUBACK
_REMEMBERED = 64  # ids that acked() knows
_AGAIN = (errno.EAGAIN, errno.EINPROGRESS, 2, 3)  # 2, 3: CPython's SSLWantRead, SSLWantWrite


class LinkError(Exception):
    """There is no connection (any more): open() it."""


class BusyError(LinkError):
    """The window is full: poll() until can_send. To reconnect would empty it too."""


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def _field(text):
    data = _bytes(text)
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


class Link(MQTTClient):
    """`more`: clock (milliseconds that never go back or wrap) and, for TLS, ssl."""

    window = 8
    max_payload = 4096 + 512

    def __init__(self, client_id, host, port, user=None, password=None, keepalive=60, **more):
        self.clock = more.pop("clock")
        super().__init__(client_id, host, port, user, password, keepalive, **more)
        self.oversized = None  # (topic, size) of the last message that was skipped
        self._buffer = memoryview(bytearray(self.max_payload + 265))  # a topic of 256, its header
        self._inbox = []
        self._address = None
        self._reached = False
        self._why = "not open"
        self._forget()

    def _forget(self):
        self._fill = self._skip = self._skipped_pid = 0
        self._flying = []  # [id, packet, when sent], oldest first
        self._acked = []
        self._acks = bytearray()
        self._answer = self._pinged = None
        self._heard = self._sent = self.clock()

    # -- what a node calls -----------------------------------------------------------------------

    def open(self, will_topic, will_payload, timeout_ms=5000):
        """Connect with a clean session and a retained will; all of it within the time."""
        self._close()
        self._forget()
        self.set_last_will(will_topic, will_payload, True, 1)
        address = self._resolve()
        until = self.clock() + timeout_ms
        self._dial(address, until)
        if self.ssl:
            self._secure(until)
        flags = 0x26 | self.lw_qos << 3 | (0 if self.user is None else 0xC0)
        texts = [self.client_id, self.lw_topic, self.lw_msg]
        if self.user is not None:
            texts += [self.user, self.pswd or ""]
        head = struct.pack("!H4sBBH", 4, b"MQTT", 4, flags, self.keepalive)
        self._write(_packet(0x10, [head] + [_field(text) for text in texts]), until)
        code = self._expect(_CONNACK, until)[1]
        if code:
            self._drop("refused %d" % code)

    def subscribe_all(self, topics, timeout_ms=5000):
        """One SUBSCRIBE with QoS 1 for all; raises unless each of them is granted."""
        self._check()
        pid = self._next_id()
        parts = [struct.pack("!H", pid)] + [_field(topic) + b"\x01" for topic in topics]
        self._write(_packet(_SUBSCRIBE, parts))
        answer = self._expect(_SUBACK, self.clock() + timeout_ms)
        if answer[0] << 8 | answer[1] != pid or len(answer) != 2 + len(topics):
            self._drop("bad SUBACK")
        for i, topic in enumerate(topics):
            if answer[2 + i] & 0x80:
                self._drop("may not subscribe to %s" % _bytes(topic).decode())

    def send(self, topic, payload, retain=False, qos=1):
        """Write it and return its packet id (0 for QoS 0); poll() minds the PUBACK."""
        self._check()
        if qos and not self.can_send:
            raise BusyError("%d in flight" % len(self._flying))
        pid = self._next_id() if qos else 0
        number = struct.pack("!H", pid) if qos else b""
        first = _PUBLISH | (_QOS1 if qos else 0) | (_RETAIN if retain else 0)
        packet = _packet(first, (_field(topic), number, _bytes(payload)))
        self._write(packet)
        if qos:
            self._flying.append([pid, packet, self.clock()])
        return pid

    def poll(self, wait_ms=0):
        """The messages that came; returns as soon as anything did, a PUBACK included."""
        try:
            self._listen(wait_ms)
            acks, self._acks = self._acks, bytearray()
            if acks:
                self._write(acks)
        except LinkError:
            # a clean session never brings again what has come: the next call tells what broke
            if not self._inbox:
                raise
        inbox, self._inbox = self._inbox, []
        for topic, payload in inbox if self.cb else ():
            self.cb(topic, payload)
        return inbox

    def acked(self, pid):
        """Whether its PUBACK came on this connection; what we cannot prove is not acked."""
        return pid in self._acked

    @property
    def in_flight(self):
        """Packets without a PUBACK."""
        return len(self._flying)

    @property
    def can_send(self):
        """Whether the window has room for one more with QoS 1."""
        return self.sock is not None and len(self._flying) < self.window

    def close(self):
        """Say goodbye, so that the broker keeps the will to itself."""
        try:
            if self.sock is not None:
                self._write(b"\xe0\0")
        except LinkError:
            return
        self._close()

    # -- connecting ------------------------------------------------------------------------------

    def _resolve(self):
        # a look-up has no deadline anywhere: none while the last address still answers
        if not self._reached:
            try:
                found = socket.getaddrinfo(self.server, self.port, socket.AF_INET)
                self._address = found[0][-1]
            except OSError as error:
                if self._address is None:
                    self._drop("cannot resolve %s: %s" % (self.server, error))
        return self._address

    def _dial(self, address, until):
        self._reached = False
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._use(sock)
        sock.setblocking(False)
        try:
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY, or small packets wait for one another
        except OSError:
            pass
        self._try("connect", sock.connect, address)
        seen = 0
        while not seen:
            seen = self._ready(select.POLLOUT, self._left(until, "no TCP connection in time"))
        if seen & (select.POLLERR | select.POLLHUP):
            self._drop("cannot connect")
        self._reached = True

    def _secure(self, until):
        try:
            sock = self.ssl.wrap_socket(
                self.sock, server_hostname=self.server, do_handshake_on_connect=False
            )
            if _CPYTHON:  # MicroPython shakes hands within the first write; its poll() knows how
                self.sock = sock
                sock.settimeout(self._left(until, "no TLS in time") / 1000)
                sock.do_handshake()
                sock.setblocking(False)
            self._use(sock)
        except (OSError, ValueError) as error:
            self._drop("no TLS: %s" % error)

    def _use(self, sock):
        self.sock = sock
        # an unbuffered file speaks like MicroPython's sockets: None when it would block
        self._stream = sock.makefile("rwb", 0) if _CPYTHON else sock
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)

    def _check(self):
        if self.sock is None:
            raise LinkError(self._why)

    def _drop(self, why):
        self._why = why
        self._close()
        raise LinkError(why)

    def _close(self):
        if self.sock is not None:
            for one in (self._stream, self.sock):
                try:
                    one.close()
                except OSError:
                    pass
            self.sock = self._stream = self._poller = None

    # -- bytes -----------------------------------------------------------------------------------

    def _left(self, until, why):
        left = until - self.clock()
        if left <= 0:
            self._drop(why)
        return left

    def _ready(self, mask, wait_ms):
        self._poller.modify(self.sock, mask)
        seen = self._poller.poll(wait_ms)
        return seen[0][1] if seen else 0

    def _try(self, what, call, argument):
        try:
            return call(argument)
        except OSError as error:
            if error.errno not in _AGAIN:
                self._drop("cannot %s: %s" % (what, error))
        return None

    def _write(self, data, until=None):
        until = until or self.clock() + _WRITE_MS
        rest = memoryview(data)
        while True:
            rest = rest[self._try("write", self._stream.write, rest) or 0 :]
            if not rest:
                break
            self._ready(select.POLLOUT, self._left(until, "no write in time"))
        self._sent = self.clock()

    def _read(self):
        # what is there, one buffer at most; False if nothing was
        room = self._buffer[: self._skip] if self._skip else self._buffer[self._fill :]
        size = self._try("read", self._stream.readinto, room)
        if size is None:
            return False
        if size == 0:
            self._drop("closed by the broker")
        self._heard = self.clock()
        if self._skip:
            self._skip -= size
            if not self._skip:
                self._owe(self._skipped_pid)
        else:
            self._fill += size
            self._parse()
        return True

    def _listen(self, wait_ms):
        until = self.clock() + wait_ms
        while True:
            self._check()
            reads = 0
            while reads < _READS and not self._inbox and self._read():
                reads += 1
            self._tend()
            left = until - self.clock()
            if reads or self._inbox or left <= 0:
                return
            self._ready(select.POLLIN, min(left, _SLICE_MS))

    def _expect(self, kind, until):
        self._answer = None
        while self._answer is None or self._answer[0] != kind:
            left = self._left(until, "no answer in time")
            if not self._read():
                self._ready(select.POLLIN, left)
            elif len(self._inbox) > _QUEUED:
                self._drop("too much before an answer")
        return self._answer[1]

    # -- packets ---------------------------------------------------------------------------------

    def _next_id(self):
        taken = [flying[0] for flying in self._flying]
        while True:
            self.pid = self.pid % 65535 + 1
            if self.pid not in taken:
                return self.pid

    def _body(self, start):
        # where the body of the packet at `start` begins and ends; None if not known yet
        size = shift = 0
        for index in range(start + 1, min(start + 5, self._fill)):
            size |= (self._buffer[index] & 127) << shift
            if self._buffer[index] < 128:
                return index + 1, index + 1 + size
            shift += 7
        if self._fill - start >= 5:
            self._drop("bad length")
        return None

    def _parse(self):
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
            self._skip = body[1] - self._fill
            self._fill = 0

    def _take(self, first, start, end):
        kind = first & 0xF0
        if kind == _PUBLISH:
            self._message(first, start, end)
        elif end > self._fill or (kind != _PINGRESP and end < start + 2):
            self._drop("bad packet 0x%02x" % first)
        elif kind == _PUBACK:
            pid = self._buffer[start] << 8 | self._buffer[start + 1]
            flying = [one for one in self._flying if one[0] != pid]
            if len(flying) < len(self._flying):
                self._flying = flying
                self._acked = self._acked[1 - _REMEMBERED :] + [pid]
        elif kind == _PINGRESP:
            self._pinged = None
        else:
            self._answer = (kind, bytes(self._buffer[start:end]))

    def _message(self, first, start, end):
        at = start + 2 + (self._buffer[start] << 8 | self._buffer[start + 1])
        body = at + 2 if first & _QOS1 else at
        if body > min(end, self._fill):
            self._drop("bad message")
        topic = bytes(self._buffer[start + 2 : at])
        pid = self._buffer[at] << 8 | self._buffer[at + 1] if body > at else 0
        if end - body > self.max_payload or end > self._fill:
            self.oversized = (topic, end - body)
        else:
            self._inbox.append((topic, bytes(self._buffer[body:end])))
        if end > self._fill:
            self._skipped_pid = pid  # acknowledged when it is through
        else:
            self._owe(pid)

    def _owe(self, pid):
        if pid:
            self._acks += struct.pack("!BBH", _PUBACK, 2, pid)

    def _tend(self):
        # A message on its way in is a sign of life: the answer to our ping waits behind it.
        # Not for ever, for our own direction may be the dead one.
        now = self.clock()
        keep = self.keepalive * 1000
        if self._pinged is not None:
            mute = now - max(self._pinged, self._heard) > _PONG_MS
            if mute or (not self._skip and now - self._pinged > max(keep, _PONG_MS)):
                self._drop("no PINGRESP")
        elif keep and now - min(self._heard, self._sent) >= keep // 2:
            self._write(b"\xc0\0")
            self._pinged = self.clock()
        for flying in self._flying:
            if now - flying[2] >= _RESEND_MS:
                flying[1][0] |= _DUP
                self._write(flying[1])
                flying[2] = now
