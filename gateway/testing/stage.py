"""A stage for the link: real brokers, links whose messages are written down, a network to spoil.

Whatever a story does, it leaves no task, no socket and no error of the loop behind: `play` looks at
its end. On the stage a link comes back within a tenth of a second, and the embedded broker redelivers
after four seconds instead of thirty.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

from gateway.broker import embedded
from gateway.broker.embedded import EmbeddedBroker
from gateway.errors import BrokerError
from gateway.mqtt import session
from gateway.mqtt.client import CONNECT_TIMEOUT
from gateway.mqtt.link import Link, LinkOptions, LinkState
from gateway.mqtt.received import Received
from gateway.testing.broker import Mosquitto, free_port
from gateway.testing.process import Peer
from gateway.testing.proxy import Proxy

KINDS = ("mosquitto-3.1.1", "mosquitto-5", "nats")
"""The brokers and versions on which the link keeps the same promises."""
FILTERS = {
    "control": ["hydro/node_hello", "hydro/+/+/+/status"],
    "bulk": ["hydro/+/+/+/heartbeat", "hydro/+/+/+/+/telemetry"],
}


def status(name: object) -> str:
    """A topic of the control session."""
    return f"hydro/gh/zn/{name}/status"


def beat(name: object) -> str:
    """A topic of the bulk session."""
    return f"hydro/gh/zn/{name}/heartbeat"


async def eventually(condition: Callable[[], Any], what: object = "", seconds: float = 20) -> Any:
    """Wait on the loop for a condition, and return what it gave. Raises TimeoutError."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := condition()):  # noqa: ASYNC110 - any condition, in one place
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        text = what() if callable(what) else what
        raise TimeoutError(f"not within {seconds:g} s: {text or condition}") from None


class Scribe:
    """A link, and everything that it told."""

    def __init__(self, options: LinkOptions, *, ack: bool) -> None:
        self.lists: list[list[Received]] = []
        self.states: list[LinkState] = []
        self._ack = ack
        self.link = Link(options, on_messages=self._take, on_state=self.states.append)

    def _take(self, messages: list[Received]) -> None:
        self.lists.append(messages)
        if self._ack:
            self.link.ack([message.token for message in messages])

    @property
    def messages(self) -> list[Received]:
        """All of them, in their order."""
        return [message for messages in self.lists for message in messages]

    @property
    def payloads(self) -> list[bytes]:
        """What they say."""
        return [message.payload for message in self.messages]

    async def hears(self, payload: bytes) -> Received:
        """Wait for a message that says this."""
        await eventually(lambda: payload in self.payloads, lambda: (payload, self.payloads[-5:]))
        return next(m for m in reversed(self.messages) if m.payload == payload)

    async def reconnected(self, count: int) -> None:
        """Wait until it is connected and has come back this often, both sessions counted."""
        await eventually(
            lambda: self.states[-1].connected and self.states[-1].reconnects >= count,
            lambda: f"{count} reconnects: {self.states[-1]}",
        )

    async def passed_barriers(self) -> None:
        """Wait until both sessions know that what comes is life."""
        await eventually(
            lambda: not any(s.in_backlog for s in self.link.state.values()), "the barriers"
        )

    async def trouble(self) -> BrokerError:
        """Wait for a state with an error, and return the latest error."""
        await eventually(lambda: any(s.error for s in self.states), "an error")
        error = next(s.error for s in reversed(self.states) if s.error)
        assert error is not None
        return error


class Stage:
    """What a story plays on."""

    def __init__(self, kind: str, folder: Path, stack: AsyncExitStack) -> None:
        self.kind, _, self.version = kind.partition("-")
        self.folder = folder
        self.broker: Any = None
        self._stack = stack

    @property
    def port(self) -> int:
        """The broker's."""
        return int(self.broker.port)

    async def mosquitto(self, *lines: str, persistence: bool = False) -> Mosquitto:
        """Start a mosquitto with these lines of configuration."""
        broker = Mosquitto(self.folder / "mosquitto", persistence=persistence, lines=lines)
        self.broker = broker
        self._stack.callback(broker.kill)
        await asyncio.to_thread(broker.start)
        return broker

    async def any_broker(self) -> None:
        """Start the broker of this run, with its sessions on disk."""
        if self.kind == "mosquitto":
            await self.mosquitto(persistence=True)
            return
        self.broker = EmbeddedBroker(self.folder / "nats", free_port())
        self._stack.push_async_callback(self.broker.stop)
        await self.broker.start()

    async def crash(self) -> None:
        """End the broker hard, and have it back."""
        if self.kind == "mosquitto":
            self.broker.kill()
            await self.start()
        else:
            os.kill(self.broker.pid, signal.SIGKILL)  # it comes back by itself

    async def stop(self) -> None:
        """End the broker as its operator would."""
        if self.kind == "mosquitto":
            await asyncio.to_thread(self.broker.stop)
        else:
            await self.broker.stop()

    async def start(self) -> None:
        """Start it again, on the same port."""
        if self.kind == "mosquitto":
            await asyncio.to_thread(self.broker.start)
        else:
            await self.broker.start()

    async def link(
        self, port: int = 0, *, ack: bool = True, ready: bool = True, **more: Any
    ) -> Scribe:
        """A started link; it is ready unless the story does not want to wait."""
        options = {
            "host": "127.0.0.1",
            "port": port or self.port,
            "version": self.version or "3.1.1",
            "filters": FILTERS,
            "barrier_per_filter": self.kind == "nats",
            **more,
        }
        scribe = Scribe(LinkOptions(**options), ack=ack)
        self._stack.push_async_callback(scribe.link.stop)
        await scribe.link.start()
        if ready:
            async with asyncio.timeout(20):
                await scribe.link.ready()
        return scribe

    def peer(self) -> Peer:
        """Somebody who publishes."""
        peer = Peer(self.port)
        self._stack.callback(peer.close)
        return peer

    async def proxy(self) -> Proxy:
        """A network between a link and the broker."""
        return await self._stack.enter_async_context(Proxy(self.port))

    @asynccontextmanager
    async def impostor(self, *answers: bytes) -> AsyncIterator[list[bytes]]:
        """A broker that answers each packet with the next of these; yields what it was sent.

        Behind the last answer it says nothing more. Its port is `self.port`.
        """
        heard: list[bytes] = []
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            left = list(answers)
            while data := await reader.read(4096):
                heard.append(data)
                if left:
                    writer.write(left.pop(0))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.broker = mock.Mock(port=server.sockets[0].getsockname()[1])
        yield heard
        server.close()
        for writer in writers:
            writer.transport.abort()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


Story: TypeAlias = Callable[[Stage], Awaitable[None]]


def play(story: Story, folder: Path, kind: str = KINDS[0]) -> None:
    """Run a story; afterwards no task and no socket is left, and the loop has nothing to complain of."""
    known = _sockets()
    complaints: list[dict[str, Any]] = []
    quick = embedded._CONFIG.replace('"30s"', '"4s"')

    async def begin() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _l, found: complaints.append(found))
        known.update(_sockets())  # the loop's own

    async def whole() -> None:
        async with AsyncExitStack() as stack:
            await story(Stage(kind, folder, stack))
        me = asyncio.current_task()
        await eventually(lambda: asyncio.all_tasks() == {me}, asyncio.all_tasks, 5)
        # a thread that was in the middle of a handshake closes its own
        await eventually(lambda: _sockets() <= known, "all sockets are closed", CONNECT_TIMEOUT + 2)

    with (
        mock.patch.object(session, "FIRST_PAUSE", 0.1),
        mock.patch.object(embedded, "_CONFIG", quick),
        asyncio.Runner() as runner,
    ):
        runner.run(begin())
        runner.run(whole())
    assert not complaints, complaints


def _sockets() -> set[str]:
    """The sockets of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
