"""A broker in memory, and connections that are slow, cut, reset, or lead to a broker that was restarted.

Rules of this file. What is said of MQTT 3.1.1 holds: QoS 1, persistent and clean sessions, retained
messages, wills, at most 20 messages under way in a session, one connection for each client id. A
connection keeps its order; a broker of the kind `nats` keeps it for each filter alone, and sends again
on a live connection. A PUBACK is a promise of the broker, and a broker that forgets breaks it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gateway.service.filters import matches
from tests.sim.clock import VirtualLoop

_matches = lru_cache(200_000)(matches)
WINDOW = 20
QUEUE = 1000
REDELIVERY = 30.0
HALF_OPEN = (30.0, 100.0)


class Letter:
    """A message on its way to one session."""

    __slots__ = ("dup", "mid", "payload", "place", "retain", "topic")

    def __init__(self, topic: str, payload: bytes, retain: bool, place: str) -> None:
        self.topic, self.payload, self.retain, self.place = topic, payload, retain, place
        self.mid = 0
        self.dup = False


class Session:
    """What the broker knows of a client."""

    def __init__(self, client_id: str, *, clean: bool) -> None:
        self.client_id, self.clean = client_id, clean
        self.filters: list[str] = []
        self.waiting: deque[Letter] = deque()
        self.under_way: dict[int, Letter] = {}
        self.owed: deque[tuple[float, Wire, Letter]] = deque()
        """What is sent again if it is not acknowledged by then; the first is due first."""
        self.wire: Wire | None = None
        self.mid = 0

    def put_back(self) -> None:
        """What was under way when the connection ended comes again, first and in its order."""
        for letter in reversed(self.under_way.values()):
            letter.dup = True
            self.waiting.appendleft(letter)
        self.under_way = {}


class Wire:
    """One connection. `on_letter` and `on_lost` are the client's ears."""

    def __init__(
        self, broker: Broker, session: Session, on_letter: Callable[[Letter], None],
        on_lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.broker, self.session = broker, session
        self.on_letter, self.on_lost = on_letter, on_lost
        self.will: tuple[str, bytes] | None = None
        self.open = True
        """The client's side."""
        self.cut = False
        """Nothing passes, and nobody knows it yet."""
        self._up_at = 0.0
        """When what was said last is there, and what was heard last, for each filter or for all."""
        self._due: dict[str, float] = {}
        self._taken_at = 0.0
        """When its CONNACK is there; nothing else comes before it."""

    def up(self, function: Callable[..., None], *args: Any) -> None:
        """Something reaches the broker, later and in order, if the connection is whole then."""
        if self.open and not self.cut:
            self._up_at = due = self.broker.arrival(self._up_at)
            self.broker.later(due, self._pass_up, function, args)

    def down(self, place: str, function: Callable[..., None], *args: Any) -> None:
        """Something reaches the client in the same way."""
        broker = self.broker
        place = place if broker.by_filter else ""
        before = self._due.get(place, self._taken_at)
        self._due[place] = due = broker.arrival(before)
        broker.later(due, self._pass_down, function, args)

    def _pass_up(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.session.wire is self and not self.cut:
            function(*args)

    def _pass_down(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.open and not self.cut:
            function(*args)

    def shake_hands(self, done: Callable[[], None]) -> None:
        """CONNECT, CONNACK, and then what waits for this client."""

        def arrive() -> None:
            self.down("", done)
            self._taken_at = self._due[""]
            self.broker.pump(self.session)

        self.up(arrive)

    # -- what the client does ------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, retain: bool, done: Callable[[], None] | None
    ) -> None:
        """PUBLISH; `done` is the PUBACK, None where nobody waits for it."""
        self.up(self._published, topic, payload, retain, done)

    def _published(
        self, topic: str, payload: bytes, retain: bool, done: Callable[[], None] | None
    ) -> None:
        self.broker.route(topic, payload, retain)
        if done is not None:
            self.down("", done)

    def subscribe(self, filters: list[str], done: Callable[[], None]) -> None:
        """SUBSCRIBE; what is retained follows the answer."""

        def arrive() -> None:
            known = self.session.filters
            self.broker.index(self.session, [*known, *(f for f in filters if f not in known)])
            self.down("", done)
            for topic, payload, one in self.broker.kept_for(filters):
                self.broker.enqueue(self.session, Letter(topic, payload, True, one))
            self.broker.pump(self.session)

        self.up(arrive)

    def unsubscribe(self, filters: list[str], done: Callable[[], None]) -> None:
        """UNSUBSCRIBE."""

        def arrive() -> None:
            known = self.session.filters
            self.broker.index(self.session, [f for f in known if f not in filters])
            self.down("", done)

        self.up(arrive)

    def acknowledge(self, mid: int) -> None:
        """PUBACK for a letter."""

        self.up(self._acknowledged, mid)

    def _acknowledged(self, mid: int) -> None:
        session = self.session
        if session.under_way.pop(mid, None) is not None and session.waiting:
            self.broker.pump(session)

    def ping(self, done: Callable[[], None]) -> None:
        """PINGREQ, PINGRESP."""
        self.up(self.down, "", done)

    def hang_up(self, *, politely: bool) -> None:
        """The client ends the connection, or is gone; without a DISCONNECT its will is published."""
        if self.open:
            self.open = False
            wait = HALF_OPEN if self.cut else (0.0, 0.1)
            self.broker.later_by(self.broker.chance.uniform(*wait), self._gone, politely)

    # -- what happens to it --------------------------------------------------------------------

    def reset(self, why: str) -> None:
        """Both sides see the end of it."""
        self._tell(why)
        self._gone(False)

    def lose(self) -> None:
        """Half-open: each side finds out by its own silence."""
        if not self.cut:
            self.cut = True
            self.broker.later_by(self.broker.chance.uniform(*HALF_OPEN), self._gone, False)

    def _tell(self, why: str) -> None:
        if self.open:
            self.open = False
            self.on_lost(why)

    def _gone(self, politely: bool) -> None:
        """The broker notices."""
        if self.session.wire is not self:
            return
        self.broker.leave(self.session)
        if self.will is not None and not politely:
            topic, payload = self.will
            self.broker.route(topic, payload, True)


class Broker:
    """Sessions, retained messages, and the way between."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, *, by_filter: bool) -> None:
        self.loop, self.chance, self.by_filter = loop, chance, by_filter
        self.up = True
        self.slow = 0.03
        self.doubles = 0.0
        self.late_wills = 0.0
        """How many wills of boards without power come long after."""
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, bytes] = {}
        self._filters: dict[str, list[tuple[Session, str]]] = {}
        self._found: dict[str, list[tuple[Session, str]]] = {}
        self._below: dict[str, set[str]] = {}
        """Topics that were looked for, by what they begin with."""
        self.forgotten = 0
        """Messages that were acknowledged and lost here."""
        self.later = loop.call_world
        """Call it then, as the world's own doing, whoever asks."""

    # -- time ----------------------------------------------------------------------------------

    def later_by(self, seconds: float, function: Callable[..., None], *args: Any) -> None:
        """The same, from now."""
        self.later(self.loop.now + seconds, function, *args)

    def lag(self) -> float:
        """How long a packet takes."""
        return self.chance.random() * self.slow

    def arrival(self, before: float) -> float:
        """When a packet is there that leaves now, behind one that is there `before`."""
        due = self.loop.now + self.chance.random() * self.slow
        # never at the same moment: timers that ring together ring in no order
        return due if due > before else before + 2e-6

    # -- clients -------------------------------------------------------------------------------

    def connect(
        self, client_id: str, ears: tuple[Callable[[Letter], None], Callable[[str], None]], *,
        clean: bool, will: tuple[str, bytes] | None = None,
    ) -> tuple[Wire, bool] | None:  # fmt: skip
        """A connection and whether the session was kept; None where no broker listens."""
        if not self.up:
            return None
        session = self.sessions.get(client_id)
        if session is not None and session.wire is not None:
            session.wire.reset("taken over")  # the client id is in use: the older one goes
            session = self.sessions.get(client_id)
        kept = session is not None and not clean
        if not kept:
            if session is not None:
                self.index(session, [])
            session = self.sessions[client_id] = Session(client_id, clean=clean)
        assert session is not None
        wire = session.wire = Wire(self, session, *ears)
        wire.will = will
        session.put_back()
        return wire, kept

    def leave(self, session: Session) -> None:
        """The client has no connection any more."""
        session.wire = None
        session.put_back()
        if session.clean and self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
            self.index(session, [])

    def restart(self, seconds: float, *, forgets: bool) -> None:
        """Everybody is thrown out, no will is published; what was not on disk is gone."""
        self.up = False
        for session in list(self.sessions.values()):
            wire = session.wire
            if wire is not None:
                self.leave(session)
                wire._tell("the broker is gone")
        if forgets:
            self.forgotten += sum(len(s.waiting) for s in self.sessions.values())
            for session in self.sessions.values():
                self.index(session, [])
            self.sessions, self.retained = {}, {}
        self.later_by(seconds, self._come_back)

    def _come_back(self) -> None:
        self.up = True

    # -- messages ------------------------------------------------------------------------------

    def route(self, topic: str, payload: bytes, retain: bool) -> None:
        """A published message: kept where retained, put before everybody who wants it."""
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        for session, place in self._find(topic):
            self.enqueue(session, Letter(topic, payload, False, place))
            if self.doubles and self.chance.random() < self.doubles:
                self.enqueue(session, Letter(topic, payload, False, place))
            self.pump(session)

    def _find(self, topic: str) -> list[tuple[Session, str]]:
        """The sessions that want it, and by which filter."""
        known = self._found.get(topic)
        if known is None:
            known = self._found[topic] = self._search(topic)
        return known

    def _search(self, topic: str) -> list[tuple[Session, str]]:
        found = list(self._filters.get(topic, ()))
        end = topic.find("/")
        while end >= 0:
            self._below.setdefault(topic[: end + 1], set()).add(topic)
            for session, one in self._filters.get(topic[: end + 1], ()):
                if _matches(one, topic):
                    found.append((session, one))
            end = topic.find("/", end + 1)
        return found

    def kept_for(self, filters: list[str]) -> list[tuple[str, bytes, str]]:
        """The retained messages in these filters."""
        found = []
        for one in filters:
            start = _start(one)
            if start == one:
                found += [(one, self.retained[one], one)] if one in self.retained else []
                continue
            found += [
                (topic, payload, one)
                for topic, payload in self.retained.items()
                if topic.startswith(start) and _matches(one, topic)
            ]
        return found

    def index(self, session: Session, filters: list[str]) -> None:
        """The session wants these, and nothing else."""
        for one in session.filters:
            self._filters[_start(one)].remove((session, one))
        for one in filters:
            self._filters.setdefault(_start(one), []).append((session, one))
        for one in (*session.filters, *filters):
            self._found.pop(one, None)
            for topic in self._below.get(_start(one), ()):
                self._found.pop(topic, None)
        session.filters = filters

    def enqueue(self, session: Session, letter: Letter) -> None:
        """Into the session's queue, which has an end."""
        if session.clean:
            if session.wire is not None:
                session.wire.down(letter.place, session.wire.on_letter, letter)
            return
        if len(session.waiting) >= QUEUE:
            self.forgotten += 1
            return
        session.mid = session.mid % 65535 + 1
        letter.mid = session.mid
        session.waiting.append(letter)

    def pump(self, session: Session) -> None:
        """Send what the window allows."""
        wire = session.wire
        while wire is not None and session.waiting and len(session.under_way) < WINDOW:
            letter = session.waiting.popleft()
            session.under_way[letter.mid] = letter
            wire.down(letter.place, wire.on_letter, letter)
            if self.by_filter:
                self._owe(session, wire, letter)

    def _owe(self, session: Session, wire: Wire, letter: Letter) -> None:
        """It comes again on the same connection, until it is acknowledged."""
        due = self.loop.now + REDELIVERY
        session.owed.append((due, wire, letter))
        if len(session.owed) == 1:
            self.later(due, self._again, session)

    def _again(self, session: Session) -> None:
        owed = session.owed
        while owed:
            due, wire, letter = owed[0]
            if session.wire is not wire or session.under_way.get(letter.mid) is not letter:
                owed.popleft()
            elif due > self.loop.now:
                self.later(due, self._again, session)
                return
            else:
                owed.popleft()
                letter.dup = True
                wire.down(letter.place, wire.on_letter, letter)
                owed.append((self.loop.now + REDELIVERY, wire, letter))


@lru_cache(100_000)
def _start(pattern: str) -> str:
    """What a topic must begin with to be in this filter."""
    return pattern.partition("+")[0].partition("#")[0]


def future_for(loop: asyncio.AbstractEventLoop) -> tuple[asyncio.Future[None], Callable[[], None]]:
    """A future, and what fulfils it."""
    future: asyncio.Future[None] = loop.create_future()

    def done() -> None:
        if not future.done():
            future.set_result(None)

    return future, done
