"""A network to spoil: a TCP proxy between any two of node, broker and gateway.

    async with Proxy(broker.port, seed=7) as proxy:      # in an event loop
        proxy.weather = Weather(delay=0.2, jitter=0.1)   # from now on, for all connections
    with running(Proxy(broker.port)) as proxy:           # without one: in a thread of its own
        proxy.tear(3)                                    # three more bytes, then a reset

What chance decides comes from the seed; what was done stands in `log`. A connection that has
swallowed a byte is half-open for good, because the byte will be missing for ever.

    python -m gateway.testing.proxy 1884 1883 --delay 0.3 --rate 1000    # for real boards
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from gateway.testing.wire import CLEAR, DOWN, UP, Connection, Weather, abort

__all__ = ["CLEAR", "DOWN", "UP", "Note", "Proxy", "Weather", "running"]


class Note(NamedTuple):
    """A line of the log: seconds since the start, number of the connection, what happened."""

    at: float
    connection: int
    what: str


class Proxy:
    """Passes bytes on to a port, of this machine unless `to` names another; everything may be changed
    while it runs, from any thread. `silent` makes every connection that says anything half-open, old ones and new ones.
    """

    def __init__(
        self,
        target: int,
        *,
        to: str = "127.0.0.1",
        port: int = 0,
        host: str = "127.0.0.1",
        seed: int = 0,
    ) -> None:
        self.port = port
        self.host = host
        self.seed = seed
        self.silent = False
        self.up = self.down = CLEAR
        self.shuffle = 0.0
        """Seconds in which new connections are collected; they go on in an order by chance."""
        self.connections = 0
        self.log: list[Note] = []
        self._to = to
        self._target = target
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = time.monotonic()
        self._open: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dice = random.Random(seed)
        self._collected: list[asyncio.Future[None]] = []

    @property
    def weather(self) -> Weather:
        """What the client's bytes go through; set it for both directions, `up` or `down` for one."""
        return self.up

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self.up = self.down = weather

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what can be done to it --------------------------------------------------------------

    def cut(self, *numbers: int) -> None:
        """Reset these connections, or all."""
        self._each(numbers, lambda one: one.reset("reset"))

    def tear(self, after: int, *numbers: int, way: str = DOWN) -> None:
        """Let so many more bytes through in one direction, then reset: in the middle of a packet."""

        def lay(one: Connection) -> None:
            one.wires[way].fuse = after

        self._each(numbers, lay)

    def hold(self, *numbers: int) -> None:
        """Keep back what these connections (or all there are) say, their end included. New ones pass:
        what an old connection said last then arrives behind what a new one says."""
        self._each(numbers, Connection.hold)

    def release(self, *numbers: int) -> None:
        """Let go of what was held back."""
        self._each(numbers, Connection.release)

    def story(self) -> str:
        """The log as text, for the message of an assertion."""
        lines = [f"{note.at:8.3f} #{note.connection} {note.what}" for note in self.log]
        return "\n".join([f"seed {self.seed}, {self.port} to {self._target}", *lines])

    def _each(self, numbers: tuple[int, ...], function: Callable[[Connection], object]) -> None:
        assert self._loop is not None, "the proxy was not started"

        def work() -> None:
            for number, one in list(self._open.items()):
                if not numbers or number in numbers:
                    function(one)

        if _is_running(self._loop):
            work()
        else:
            self._loop.call_soon_threadsafe(work)

    # -- what it does ------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._turn()
            target = await asyncio.open_connection(self._to, self._target)
        except OSError:
            self._note(number, "refused: the target does not answer")
            abort(writer)
            return
        except asyncio.CancelledError:
            abort(writer)
            return
        one = self._open[number] = Connection(
            number, self.seed, self._weather, lambda: self.silent, self._note
        )
        try:
            await one.carry((reader, writer), target)
        except asyncio.CancelledError:
            return  # the proxy is closed; a cancelled server task is an error to asyncio
        finally:
            del self._open[number]

    def _weather(self, way: str) -> Weather:
        return self.up if way == UP else self.down

    async def _turn(self) -> None:
        if self.shuffle <= 0:
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._collected.append(turn)
        if len(self._collected) == 1:
            loop.call_later(self.shuffle, self._let_in)
        await turn

    def _let_in(self) -> None:
        collected, self._collected = self._collected, []
        self._dice.shuffle(collected)
        for turn in collected:
            if not turn.done():
                turn.set_result(None)

    def _note(self, number: int, what: str) -> None:
        self.log.append(Note(time.monotonic() - self._began, number, what))


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy on an event loop of its own, in a thread: for those who have none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()

    def do(work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    try:
        do(proxy.__aenter__())
        try:
            yield proxy
        finally:
            do(proxy.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def main(words: list[str]) -> None:
    """Stand between real boards and a broker until Ctrl+C, and tell what happens."""
    parser = argparse.ArgumentParser(prog="python -m gateway.testing.proxy")
    parser.add_argument("port", type=int, help="listen here")
    parser.add_argument("target", type=int, help="the broker's port on this machine")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for boards on the network")
    parser.add_argument("--seed", type=int, default=0)
    kinds = ("delay", "jitter", "rate", "trickle", "tear", "stall")
    for kind in kinds:
        parser.add_argument(f"--{kind}", type=float, default=0.0)
    found = vars(parser.parse_args(words))
    proxy = Proxy(found["target"], port=found["port"], host=found["host"], seed=found["seed"])
    proxy.weather = Weather(**{kind: found[kind] for kind in kinds})
    told = 0
    with contextlib.suppress(KeyboardInterrupt), running(proxy):
        print(f"{proxy.host}:{proxy.port} to {found['target']}: {proxy.weather}", flush=True)
        while True:
            for note in proxy.log[told:]:
                told += 1
                print(f"{note.at:8.3f} #{note.connection} {note.what}", flush=True)
            time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1:])
