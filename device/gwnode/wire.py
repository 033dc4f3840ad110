"""The only file that knows sockets: TCP or TLS, and nothing in it waits.

What cannot be done at once is done by a later call; what goes wrong ends as LinkError with the socket
closed. Only wait() waits, and only as long as it is told to.
"""

import errno
import select
import socket

from . import const, pc

_WRITE_MS = const(10000)
_AGAIN = (errno.EAGAIN, errno.EINPROGRESS, 2, 3)  # 2, 3: CPython's SSLWantRead, SSLWantWrite
_BROKEN = select.POLLERR | select.POLLHUP


class LinkError(Exception):
    """There is no connection (any more): open() it."""


class Wire:
    """A TCP or TLS connection: what cannot be done at once is done later, or ends as LinkError."""

    def __init__(self, host, port, ssl, clock):
        self.host = host
        self.port = port
        self.ssl = ssl  # an SSLContext, or nothing
        self.clock = clock
        self._address = None
        self._reached = False
        self._sock = None
        self._out = []  # what the socket has not taken yet
        self.why = "not open"
        self.missing = None  # what has to come before anything can be written
        self.heard = self.sent = self._began = 0

    @property
    def is_open(self):
        return self._sock is not None

    @property
    def is_full(self):
        return bool(self._out)

    def dial(self):
        """Begin: step() until nothing is missing."""
        # nobody's look-up has a deadline: none while the last address still answers
        if not self._reached:
            try:
                found = socket.getaddrinfo(self.host, self.port, socket.AF_INET)
                self._address = found[0][-1]
            except OSError as error:
                if self._address is None:
                    self.drop("cannot resolve %s: %s" % (self.host, error))
        self._reached = False
        self._out = []
        self.heard = self.sent = self._began = self.clock()
        self.missing = "TCP connection"
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._use(sock)
        sock.setblocking(False)
        try:
            sock.setsockopt(6, 1, 1)  # TCP_NODELAY, or small packets wait for one another
        except OSError:
            pass
        self._try("connect", sock.connect, self._address)

    def step(self):
        """One step towards the connection; False where there is nothing to do yet."""
        if pc and self.missing == "TLS":  # MicroPython shakes hands within the first write
            if self._try("do TLS", lambda sock: sock.do_handshake() or True, self._sock) is None:
                return False
            self.missing = None
            return True
        seen = self._ready(select.POLLOUT, 0)
        if seen & _BROKEN:
            self.drop("cannot connect")
        if not seen:
            return False
        self._reached = True
        self.missing = None
        if self.ssl:
            try:
                sock = self.ssl.wrap_socket(
                    self._sock, server_hostname=self.host, do_handshake_on_connect=False
                )
            except (OSError, ValueError) as error:
                self.drop("no TLS: %s" % error)
            self._use(sock)
            if pc:
                self.missing = "TLS"
        return True

    def _use(self, sock):
        self._sock = sock
        self._stream = pc.stream_of(sock) if pc else sock  # it gives None when it would block
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)

    def write(self, packet):
        """All of it at once where the socket takes it."""
        if not self._out:
            self.sent = self.clock()
        self._out.append(packet)
        self.flush()

    def flush(self):
        """As much as the socket takes."""
        while self._out:
            rest = memoryview(self._out[0])
            size = self._try("write", self._stream.write, rest)
            if not size:
                if self.clock() - self.sent > _WRITE_MS:
                    self.drop("no write in time")
                return
            self.sent = self.clock()
            if size < len(rest):
                self._out[0] = rest[size:]
            else:
                self._out.pop(0)

    def read(self, room):
        """How many bytes came, 0 for none."""
        size = self._try("read", self._stream.readinto, room)
        if size == 0:
            self.drop("closed by the broker")
        if size:
            self.heard = self.clock()
        return size or 0

    def wait(self, wait_ms):
        """Until there is something to do, at most so long."""
        out = self._out or self.missing == "TCP connection"
        self._ready(select.POLLIN | (select.POLLOUT if out else 0), wait_ms)

    def _ready(self, mask, wait_ms):
        self._poller.modify(self._sock, mask)
        seen = self._poller.poll(wait_ms)
        return seen[0][1] if seen else 0

    def _try(self, what, call, argument):
        try:
            return call(argument)
        except (OSError, ValueError) as error:  # ValueError: MicroPython's word on a certificate
            code = error.errno if isinstance(error, OSError) else 0
            if code not in _AGAIN:
                silent = self.ssl and self.heard == self._began and what != "connect"
                what = "no TLS" if silent else "cannot " + what
                self.drop("%s: %s" % (what, str(error).strip()))
        return None

    def check(self):
        if self._sock is None:
            raise LinkError(self.why)

    def drop(self, why):
        self.why = why
        self.close()
        raise LinkError(why)

    def close(self):
        if self._sock is not None:
            for one in (self._stream, self._sock):
                try:
                    one.close()
                except OSError:
                    pass
            self._sock = self._stream = self._poller = None
