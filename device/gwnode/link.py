"""The only file that knows umqtt: an MQTT client in which nothing waits.

- open(), subscribe_all() and send() begin something, poll() goes on with it. Each step has a deadline
  of its own and no call removes it. umqtt's wait_msg() makes the socket block, its connect() and
  publish() wait for ever: nothing here calls them. Only the look-up of a name can block.
- One packet is one write, and what the socket does not take waits for poll().
- What goes wrong ends as LinkError with the socket closed; open() starts afresh.

Inherited from umqtt.simple: the constructor, the will (set_last_will) and the callback
(set_callback; called for each message before poll() returns it). 1.3.4 and 1.8.0 take the same
arguments; `ssl` is an SSLContext here with either. IPv4 only, as umqtt is.
"""

from umqtt.simple import MQTTClient

from . import const, packets
from .flight import Flight
from .wire import LinkError, Wire

_OPEN_MS = const(10000)  # TCP, TLS and CONNACK together
_ANSWER_MS = const(10000)
_PONG_MS = const(10000)
_SLICE_MS = const(500)  # how long a wait may put off pings and resends
_READS = const(
    16
)  # buffers that one poll() takes in at most: a flood must not keep the caller away


class BusyError(LinkError):
    """The window is full: poll() until can_send. To reconnect would empty it too."""


class Link(MQTTClient):
    """`more`: clock (milliseconds that never go back or wrap) and, for TLS, ssl."""

    window = 8
    max_payload = 4096 + 512

    def __init__(self, client_id, host, port, user=None, password=None, keepalive=60, **more):
        self.clock = more.pop("clock")
        super().__init__(client_id, host, port, user, password, keepalive, **more)
        self.flight = Flight(self.window)
        self._reader = packets.Reader(self.max_payload)
        self._wire = Wire(self.server, self.port, self.ssl, self.clock)
        self._forget()

    def _forget(self):
        self._reader.clear()
        self.flight.clear()
        self._greeted = self._taken = False
        self._until = 0
        self._asked = []  # [id, topics, until] of a SUBSCRIBE without its SUBACK
        self._pinged = None

    # -- what a node calls -----------------------------------------------------------------------

    def open(self, will_topic, will_payload, timeout_ms=_OPEN_MS):
        """Begin a clean session with a retained will; poll() until is_open."""
        self._wire.close()
        self._forget()
        self.set_last_will(will_topic, will_payload, True, 1)
        self._wire.dial()
        self._until = self.clock() + timeout_ms

    def subscribe_all(self, topics, timeout_ms=_ANSWER_MS):
        """One SUBSCRIBE with QoS 1 for all; poll() raises unless each of them is granted."""
        self._wire.check()
        pid = self.flight.next_id()
        self._asked = [pid, topics, self.clock() + timeout_ms]
        self._wire.write(packets.subscribe(pid, topics))

    def send(self, topic, payload, retain=False, qos=1):
        """Write it and return its packet id (0 for QoS 0); poll() minds the PUBACK."""
        self._wire.check()
        if qos and not self.can_send:
            raise BusyError("%d in flight" % len(self.flight))
        pid = self.flight.next_id() if qos else 0
        packet = packets.publish(pid, topic, payload, retain)
        if qos:
            self.flight.add(pid, packet, self.clock())
        self._wire.write(packet)
        return pid

    def poll(self, wait_ms=0):
        """The messages that came; returns as soon as anything did, a PUBACK included."""
        reader = self._reader
        try:
            self._listen(wait_ms)
            owed, reader.owed = reader.owed, bytearray()
            if owed:
                self._wire.write(owed)
        except LinkError:
            # a clean session never brings again what has come: the next call tells what broke
            if not reader.inbox:
                raise
        inbox, reader.inbox = reader.inbox, []
        for topic, payload in inbox if self.cb else ():
            self.cb(topic, payload)
        return inbox

    def oversized(self):
        """(topic, size) of a message that was skipped since the last call, None for none."""
        found, self._reader.oversized = self._reader.oversized, None
        return found

    def acked(self, pid):
        """Whether its PUBACK came on this connection; what we cannot prove is not acked."""
        return self.flight.acked(pid)

    @property
    def in_flight(self):
        """Packets without a PUBACK."""
        return len(self.flight)

    @property
    def is_open(self):
        """The broker has taken us."""
        return self._taken and self._wire.is_open

    @property
    def can_send(self):
        """Whether one more with QoS 1 may go now: not ahead of a SUBACK, nor behind a full socket."""
        free = not self._asked and not self._wire.is_full
        return free and self.is_open and len(self.flight) < self.flight.window

    def close(self):
        """Say goodbye, so that the broker keeps the will to itself."""
        try:
            if self.is_open:
                self._wire.write(packets.DISCONNECT)
        except LinkError:
            return
        self._wire.close()

    # -- what comes, and what is due -------------------------------------------------------------

    def _advance(self):
        # one step towards the CONNACK; False where there is nothing to do yet
        if self._greeted:
            return self._take_in()
        moved = self._wire.step()
        if moved and not self._wire.missing:
            self._greeted = True
            login = None if self.user is None else (self.user, self.pswd or "")
            will = (self.lw_topic, self.lw_msg, self.lw_qos, self.lw_retain)
            packet = packets.connect(self.client_id, self.keepalive, will, login)
            self._wire.write(packet)
        return moved

    def _listen(self, wait_ms):
        until = self.clock() + wait_ms
        while True:
            self._wire.check()
            moved = self._advance()
            self._tend()
            left = until - self.clock()
            if left <= 0 or self._reader.inbox or (moved and self._taken):
                break
            self._wire.wait(min(left, _SLICE_MS))

    def _take_in(self):
        # what is there, so far as one round goes; False if nothing was
        self._wire.flush()
        reader, reads = self._reader, 0
        while reads < _READS and not reader.inbox:
            size = self._wire.read(reader.room())
            if not size:
                break
            reads += 1
            try:
                reader.took(size)
            except packets.BrokenError as error:
                self._wire.drop(str(error))
            self._note()
        return reads > 0

    def _note(self):
        reader = self._reader
        for pid in reader.pubacks:
            self.flight.acknowledge(pid)
        for kind, body in reader.answers:
            if kind == packets.SUBACK and self._asked:
                self._granted(body)
            elif kind == packets.CONNACK and body[1]:
                self._wire.drop("refused %d" % body[1])
            elif kind == packets.CONNACK:
                self._taken = True
        if reader.ponged:
            self._pinged = None
        reader.pubacks, reader.answers, reader.ponged = [], [], False

    def _granted(self, answer):
        pid, topics, _ = self._asked
        if answer[0] << 8 | answer[1] != pid or len(answer) != 2 + len(topics):
            self._wire.drop("bad SUBACK")
        for i, topic in enumerate(topics):
            if answer[2 + i] & 0x80:
                self._wire.drop("may not subscribe to %s" % packets.to_bytes(topic).decode())
        self._asked = []

    def _tend(self):
        now = self.clock()
        if not self._taken:
            if now > self._until:
                self._wire.drop("no %s in time" % (self._wire.missing or "answer"))
            return
        if self._asked and now > self._asked[2]:
            self._wire.drop("no answer in time")
        # A message on its way in is a sign of life: the answer to our ping waits behind it.
        # Not for ever, for our own direction may be the dead one.
        heard, keep = self._wire.heard, self.keepalive * 1000
        if self._pinged is not None:
            mute = now - max(self._pinged, heard) > _PONG_MS
            if mute or (not self._reader.rest and now - self._pinged > max(keep, _PONG_MS)):
                self._wire.drop("no PINGRESP")
        elif keep and now - min(heard, self._wire.sent) >= keep // 2:
            self._wire.write(packets.PINGREQ)
            self._pinged = self.clock()
        late = None if self._wire.is_full else self.flight.overdue(now)
        if late:
            self._wire.write(late)
