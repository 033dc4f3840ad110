"""The gateway's machine: the real engine on a virtual loop, which can be killed at any labelled step.

Rules of this file. Three things are replaced, each at the seam where the product starts a thread or
opens a socket: the writer's thread, the plugins' threads, a connection to the broker. What they do is
the product's. A killed gateway can reach neither its store nor its broker any more, from the very
step on at which it died; what it left is in its folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import gateway_config  # noqa: F401 - loaded before the clock is ours, so that it lives by it
import gateway_hello  # noqa: F401 - the same

from gateway import failpoint
from gateway.engine import opening
from gateway.engine.life import Engine
from gateway.errors import BrokerError
from gateway.hooks import calls, loops, runners
from gateway.mqtt import errors, session
from gateway.mqtt.answers import Overdue
from gateway.mqtt.connection import Connection
from gateway.mqtt.reader import Arrived
from gateway.service import handlers
from gateway.settings.model import Settings
from gateway.store import sqlite
from gateway.store.writer import Writer
from tests.sim.network import Letter, Wire, future_for

if TYPE_CHECKING:
    from tests.sim.world import World


class Machine:
    """One gateway after the other on one state folder."""

    def __init__(self, world: World, settings: Settings, pace: float) -> None:
        self.world, self.settings, self.pace = world, settings, pace
        self.life = 0
        self.dead = True
        self.engine: Engine | None = None
        self.wires: list[Connected] = []
        self.kill_in = 0
        """Labelled steps until the process is killed; 0 is never."""
        self.trouble_until = 0.0
        """The disk cannot be written until then."""
        self.kills: dict[str, int] = {}
        self._boot: asyncio.Task[Any] | None = None

    @property
    def database(self) -> Path:
        """Its store."""
        return Path(self.settings.state_dir) / "gateway.db"

    def start(self) -> None:
        """A new process."""
        self.life += 1
        self.dead = False
        self._boot = self.world.loop.spawn(self.life, self._run())

    async def _run(self) -> None:
        engine = self.engine = SimEngine(self.settings, self.world.story, self)
        try:
            await engine.start([])
        except Exception as error:  # noqa: BLE001 - a process that cannot start ends, and is started again
            if not self.dead:
                self.world.note(f"gateway cannot start: {error!r}")
                self.kill("start failed")
                self.world.broker.later_by(5.0, self.world.restart_gateway)

    async def stop(self) -> None:
        """SIGTERM: it ends in order."""
        if self.engine is None or self.dead or self._boot is None:
            return
        await asyncio.wait([self._boot])
        if not self.dead:
            await self.world.loop.spawn(self.life, self.engine.stop())
            self._let_go()

    def kill(self, where: str) -> None:
        """SIGKILL. What runs right now may run on to its next wait, and reaches nothing any more."""
        if self.dead:
            return
        self.kills[where] = self.kills.get(where, 0) + 1
        self.world.note(f"gateway killed at {where}")
        self.dead = True
        self.kill_in = 0
        for wire in self.wires:
            wire.vanish()
        self.wires = []
        self.world.broker.later_by(0.0, self._let_go)

    def _let_go(self) -> None:
        """What the operating system does when a process has ended."""
        self.dead = True
        self.world.loop.end(self.life)
        if self.engine is not None:
            self.engine._lock.release()
            opened = getattr(self.engine, "opened", None)
            if opened is not None:
                opened.reader.close()
                if hasattr(opened, "writer"):
                    opened.writer.vanish()

    def reached(self, label: str) -> None:
        """A labelled step of the code."""
        if self.kill_in and not self.dead:
            self.kill_in -= 1
            if not self.kill_in:
                self.kill(label)
                self.world.restart_soon()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """The seams."""
        with (
            mock.patch.object(runners, "LoopThread", LoopThread),
            mock.patch.object(handlers, "LoopThread", LoopThread),
            mock.patch.object(calls, "Pool", self._pool),
            mock.patch.object(loops.Place, "used", return_value=LoopThread.used),
            mock.patch.object(session, "Connection", self._connection),
            mock.patch.object(opening, "Writer", self._writer),
            mock.patch.dict(failpoint._terms, {"simulated": []}),
            mock.patch.object(failpoint, "_reach", self.reached),
        ):
            yield

    def _pool(self, _name: str) -> Pool:
        return Pool(self)

    def _connection(self, login: Any, **ears: Any) -> Connected:
        return Connected(self, login.client_id, **ears)

    def _writer(self, open_connection: Callable[[], sqlite.Connection], **more: Any) -> LoopWriter:
        return LoopWriter(self, open_connection, **more)


class SimEngine(Engine):
    """The engine; its regular looks may be rarer, and its broker is the world's."""

    def __init__(self, settings: Settings, story: Any, machine: Machine) -> None:
        super().__init__(settings, story)
        self._machine = machine

    def _every(self, seconds: float, function: Any) -> None:
        super()._every(max(seconds, self._machine.pace), function)

    async def _start_link(self) -> None:
        self._undo.append(self.wiring.link.stop)
        by_filter = self._machine.world.broker.by_filter
        await self.wiring.uplink.start("broker", 1883, embedded=by_filter)


class LoopThread(loops.LoopThread):
    """A plugin's thread that is the one loop there is."""

    started = True  # type: ignore[assignment] - it always runs
    used = 0.0  # type: ignore[assignment] - of CPU: nobody computes here, so that real time decides nothing

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop = asyncio.get_running_loop()

    def start(self) -> None:
        """It runs."""

    def end(self) -> None:
        """The loop goes on for others."""

    def join(self, _patience: float) -> None:
        """There is nothing to wait for."""

    def post(self, function: Callable[..., Any], *args: Any) -> bool:
        """Soon."""
        self.loop.call_soon(function, *args)
        return True

    def blocked_for(self, _now: float) -> float:
        """Never: who blocks it blocks the world."""
        return 0.0


class Pool(loops.Pool):
    """Threads for plain functions: each takes its time, and they overtake each other."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def submit(self, work: Callable[[], None]) -> None:
        """Run it in a while."""
        world = self._machine.world
        seconds = world.chance.random() * (0.3 if world.chance.random() < 0.1 else 0.004)
        world.loop.call_later(seconds, work)

    def grow(self) -> None:
        """There are as many threads as are needed."""

    def stop(self) -> None:
        """There is nothing to stop."""


class LoopWriter(Writer):
    """The writer with a disk that takes its time, in place of a thread that does."""

    def __init__(
        self, machine: Machine, open_connection: Callable[[], sqlite.Connection], **more: Any
    ) -> None:
        super().__init__(lambda: Disk(machine, open_connection()), **more)
        self._machine = machine
        self._life = machine.life
        self._turning = False

    def start(self, connection: sqlite.Connection) -> None:
        """Begin, without a thread."""
        self._loop = asyncio.get_running_loop()
        self._connection = Disk(self._machine, connection)

    def submit(self, operation: Callable[[sqlite.Connection], Any]) -> asyncio.Future[Any]:
        """As the real one."""
        assert self._loop is not None
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._is_over:
            return future  # nobody will ever answer
        if self._closing:
            raise RuntimeError("the writer is closed")
        self._queue.append((operation, future))
        if not self._turning:
            self._turning = True
            self._loop.call_later(self._machine.world.chance.random() * 0.01, self._turn)
        return future

    async def close(self) -> None:
        """Commit what is queued, then end."""
        self._closing = True
        while self._turning:  # noqa: ASYNC110 - the real one joins its thread here
            await asyncio.sleep(0.01)
        self.vanish()

    def vanish(self) -> None:
        """The process is gone, and so is its connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _is_over(self) -> bool:
        """True where its process was killed, also where the next one runs by now."""
        return self._machine.dead or self._machine.life != self._life

    def _turn(self) -> None:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), 512))]
        self._attempt(group, 0.05)

    def _attempt(self, group: list[Any], pause: float) -> None:
        if self._is_over:
            return
        assert self._loop is not None
        try:
            results = self._commit(group)
        except DeadError:
            return
        except sqlite.Error as error:
            self._trouble(error)
            self._drop_connection()
            self._loop.call_later(pause, self._attempt, group, min(pause * 2, 5.0))
            return
        self._trouble(None)
        # between a commit and its news a process can die too
        self._loop.call_later(
            self._machine.world.chance.random() * 0.005, self._tell, group, results
        )

    def _tell(self, group: list[Any], results: list[Any]) -> None:
        if self._is_over:
            return
        self._answer(group, results)
        self._turning = bool(self._queue)
        if self._queue:
            self._turn()


class DeadError(BaseException):
    """The process that wanted this does not exist any more."""


class Disk:
    """A connection to the store whose commits fail while the disk is in trouble, and after a kill."""

    def __init__(self, machine: Machine, connection: Any) -> None:
        self._machine = machine
        self._connection = connection

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Any:
        """As the real one, but for COMMIT."""
        if sql != "COMMIT":
            return self._connection.execute(sql, parameters)
        machine = self._machine
        if machine.dead:
            raise DeadError
        if machine.world.loop.time() < machine.trouble_until:
            if machine.world.chance.random() < 0.5:  # it was written, and nobody can know
                self._connection.execute("COMMIT")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._connection.execute("COMMIT")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Connected(Connection):
    """A connection to the broker in memory; what it inherits is the product's."""

    def __init__(
        self, machine: Machine, client_id: str, *, on_arrived: Callable[[list[Arrived]], None],
        on_lost: Callable[[BrokerError], None], on_bytes: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._machine, self._client_id = machine, client_id
        self._on_arrived, self._on_lost, self._on_bytes = on_arrived, on_lost, on_bytes
        self._loop = machine.world.loop
        self._context = copy_context()
        self._wire: Wire | None = None
        self._asked: list[asyncio.Future[Any]] = []
        self._unread: list[Letter] = []
        self._given: dict[int, Letter] = {}
        self._paused = self._ended = self._writing = False
        self._overdue = Overdue()
        self.heard_at = self._loop.time()

    # -- what the session asks for -------------------------------------------------------------

    async def open(self) -> bool:
        """CONNECT."""
        world = self._machine.world
        await asyncio.sleep(world.broker.lag())
        found = None
        if not self._machine.dead:
            ears = self._letter, self._lost
            found = world.broker.connect(self._client_id, ears, clean=False)
        if found is None:
            self._ended = True
            raise errors.unreachable("broker:1883", "Connection refused", ConnectionRefusedError())
        self._wire, kept = found
        self._machine.wires.append(self)
        future, done = self._question()
        self._wire.shake_hands(lambda: self._hear(done))
        async with asyncio.timeout(10.0):
            await future
        return kept

    async def subscribe(self, filters: Iterable[str]) -> None:
        """SUBSCRIBE."""
        await self._ask("subscribe", list(filters))

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """UNSUBSCRIBE."""
        await self._ask("unsubscribe", list(filters))

    def send(self, topic: str, payload: bytes, _qos: int, retain: bool) -> asyncio.Future[None]:
        """PUBLISH."""
        if self._ended or self._wire is None:
            raise errors.not_connected()
        future, done = self._question()
        self._machine.world.ledger.sent(topic, payload)
        self._wire.publish(topic, payload, retain, lambda: self._hear(done))
        return future

    def ack(self, mids: list[int]) -> None:
        """PUBACK."""
        if self._ended or self._wire is None:
            return
        failpoint.failpoint("puback.before")
        for mid in mids:
            if self._machine.dead:
                return
            letter = self._given.pop(mid, None)
            if letter is not None:
                self._machine.world.ledger.acknowledged(letter)
            self._wire.acknowledge(mid)
        failpoint.failpoint("puback.after")

    def ping(self) -> None:
        """PINGREQ."""
        if not self._ended and self._wire is not None:
            self._wire.ping(lambda: self._hear(lambda: None))

    def pause(self, paused: bool) -> None:
        """Stop or go on reading."""
        self._paused = paused
        if not paused:
            unread, self._unread = self._unread, []
            for letter in unread:
                self._letter(letter)

    def drop(self, error: BrokerError) -> None:
        """Give the connection up."""
        if not self._ended:
            self._end(error, politely=False)
            self._on_lost(error)

    async def close(self) -> None:
        """DISCONNECT."""
        if not self._ended:
            self._end(errors.not_connected(), politely=True)

    # -- what happens to it --------------------------------------------------------------------

    def cut(self) -> None:
        """Half-open from here on."""
        if self._wire is not None:
            self._wire.lose()

    def reset(self) -> None:
        """The peer has reset it."""
        if self._wire is not None:
            self._wire.reset("Connection reset by peer")

    def vanish(self) -> None:
        """The process is gone; its kernel closes the socket."""
        self._ended = True
        if self._wire is not None:
            self._wire.hang_up(politely=False)

    # -- within --------------------------------------------------------------------------------

    def _question(self) -> tuple[asyncio.Future[None], Callable[[], None]]:
        future, done = future_for(self._loop)
        self._asked = [one for one in self._asked if not one.done()] + [future]
        return future, done

    async def _ask(self, what: str, filters: list[str]) -> None:
        if not filters:
            return
        if self._ended or self._wire is None:
            raise errors.not_connected()
        future, done = self._question()
        getattr(self._wire, what)(filters, lambda: self._hear(done))
        try:
            async with asyncio.timeout(10.0):
                await future
        except TimeoutError as error:
            raise errors.silent("broker:1883", 10.0) from error

    def _in_life(self, function: Callable[..., None], *args: Any) -> None:
        """Back in the gateway's process."""
        if not self._ended and not self._machine.dead:
            self._context.copy().run(function, *args)

    def _hear(self, done: Callable[[], None]) -> None:
        self._in_life(self._heard, done)

    def _heard(self, done: Callable[[], None]) -> None:
        self.heard_at = self._loop.time()
        self._on_bytes(self.heard_at)
        done()

    def _letter(self, letter: Letter) -> None:
        if self._paused:
            self._unread.append(letter)
            return
        self._in_life(self._take, letter)

    def _take(self, letter: Letter) -> None:
        self._heard(lambda: None)
        self._given[letter.mid] = letter
        self._on_arrived(
            [Arrived(letter.topic, letter.payload, 1, letter.retain, letter.dup, letter.mid)]
        )

    def _lost(self, why: str) -> None:
        self._in_life(self.drop, errors.lost("broker:1883", why))

    def _end(self, error: BrokerError, *, politely: bool) -> None:
        self._ended = True
        if self in self._machine.wires:
            self._machine.wires.remove(self)
        if self._wire is not None:
            self._wire.hang_up(politely=politely)
        for future in self._asked:
            if not future.done():
                future.set_exception(error)
                future.exception()
