"""The spoilt network: what it promises to those who test with it. No broker; an echo is enough."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.testing.broker import free_port
from gateway.testing.proxy import UP, Proxy, Weather, running
from gateway.testing.stage import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says everything again, and keeps what it heard, in order."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(1 << 16):
                self.heard.append(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def said(self) -> bytes:
        """All of it."""
        return b"".join(self.heard)


@asynccontextmanager
async def stage(seed: int = 0) -> AsyncIterator[tuple[Echo, Proxy]]:
    """An echo with a proxy before it."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1], seed=seed) as proxy:
        yield echo, proxy


def play(story: Callable[[Echo, Proxy], Awaitable[None]], seed: int = 0) -> None:
    """Run a story."""

    async def whole() -> None:
        async with asyncio.timeout(60), stage(seed) as (echo, proxy):
            try:
                await story(echo, proxy)
            finally:
                hang_up()

    asyncio.run(whole())


_writers: list[asyncio.StreamWriter] = []


async def connect(proxy: Proxy, say: bytes = b"") -> Streams:
    """A connection through the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    _writers.append(writer)
    writer.write(say)
    return reader, writer


def hang_up() -> None:
    """Close whatever was connected."""
    for writer in _writers:
        writer.transport.abort()
    _writers.clear()


async def is_quiet(reader: asyncio.StreamReader) -> bool:
    """True where nothing comes, not even the end."""
    try:
        await asyncio.wait_for(reader.read(1), 0.2)
    except TimeoutError:
        return True
    return False


def test_in_clear_weather_nothing_is_changed() -> None:
    """A megabyte comes back as it was sent, and an end is an end."""

    async def story(_echo: Echo, proxy: Proxy) -> None:
        sent = bytes(range(256)) * 4096
        reader, writer = await connect(proxy)
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.write_eof()
        assert await reader.read() == b""
        assert [note.what for note in proxy.log][:1] == ["open"]

    play(story)


def test_delay_and_jitter_keep_the_order() -> None:
    """Nothing is there before its delay, in each direction, and nothing overtakes."""

    async def story(_echo: Echo, proxy: Proxy) -> None:
        proxy.weather = Weather(delay=0.1, jitter=0.1)
        began = time.monotonic()
        reader, writer = await connect(proxy)
        for number in range(50):
            writer.write(b"%02d" % number)
            await asyncio.sleep(0.002)
        assert await reader.readexactly(100) == b"".join(b"%02d" % n for n in range(50))
        assert time.monotonic() - began >= 0.2

    play(story)


def test_bandwidth_has_an_end() -> None:
    """At 1 KB/s half a kilobyte takes nearly half a second, one way."""

    async def story(_echo: Echo, proxy: Proxy) -> None:
        proxy.up = Weather(rate=1000)
        began = time.monotonic()
        reader, _writer = await connect(proxy, b"x" * 500)
        await reader.readexactly(500)
        assert time.monotonic() - began >= 0.45

    play(story)


def test_slow_loris_comes_byte_by_byte() -> None:
    """Each byte has its pause, so that a packet takes as long as it is."""

    async def story(echo: Echo, proxy: Proxy) -> None:
        proxy.up = Weather(trickle=0.02)
        reader, _writer = await connect(proxy, b"twenty bytes, slowly")
        await reader.readexactly(20)
        assert {len(piece) for piece in echo.heard} == {1}

    play(story)


def test_a_half_open_connection_stands_and_says_nothing() -> None:
    """It swallows both ways, is not closed, and stays dead when others work again."""

    async def story(echo: Echo, proxy: Proxy) -> None:
        reader, writer = await connect(proxy, b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.silent = True
        writer.write(b"lost")
        assert await is_quiet(reader)
        proxy.silent = False
        writer.write(b"lost too")
        assert await is_quiet(reader)
        again, _ = await connect(proxy, b"works")
        assert await again.readexactly(5) == b"works"
        assert echo.said() == b"beforeworks"

    play(story)


@pytest.mark.parametrize("way", ["cut", "tear"])
def test_a_reset_is_a_reset(way: str) -> None:
    """The client sees ECONNRESET and no orderly end; torn, exactly the bytes that were let through."""

    async def story(_echo: Echo, proxy: Proxy) -> None:
        reader, writer = await connect(proxy, b"one")
        assert await reader.readexactly(3) == b"one"
        if way == "cut":
            proxy.cut()
        else:
            proxy.tear(4)
            writer.write(b"a packet")
            assert await reader.readexactly(4) == b"a pa"
        with pytest.raises(ConnectionResetError):
            await reader.read(1)

    play(story)


def test_a_request_can_be_torn_on_its_way_up() -> None:
    """The target gets the first bytes of a packet and never the rest."""

    async def story(echo: Echo, proxy: Proxy) -> None:
        _reader, writer = await connect(proxy, b"one")
        await eventually(lambda: echo.said() == b"one")
        proxy.tear(2, way=UP)
        writer.write(b"packet")
        await eventually(lambda: any("torn up" in note.what for note in proxy.log))
        assert echo.said() == b"onepa"

    play(story)


def test_an_old_connection_can_be_late() -> None:
    """What is held back, its end included, arrives behind what a newer connection says."""

    async def story(echo: Echo, proxy: Proxy) -> None:
        _reader, old = await connect(proxy, b"first ")
        await eventually(echo.said)
        proxy.hold()
        old.write(b"will ")
        old.close()
        reader, _new = await connect(proxy, b"birth ")
        await reader.readexactly(6)
        proxy.release(1)
        await eventually(lambda: len(echo.said()) == 17)
        assert echo.said() == b"first birth will "

    play(story)


def in_which_order(seed: int) -> list[bytes]:
    """In which order eight connections reach the target."""
    order: list[bytes] = []

    async def story(echo: Echo, proxy: Proxy) -> None:
        proxy.shuffle = 0.2
        for number in range(8):
            await connect(proxy, b"%d" % number)
        await eventually(lambda: len(echo.said()) == 8)
        order.extend(b"%d" % note.connection for note in proxy.log if note.what == "open")

    play(story, seed)
    return order


def test_connections_change_their_order_by_the_seed() -> None:
    """They go on in another order than they came; the same seed gives the same one."""
    first = in_which_order(1)
    assert sorted(first) == [b"%d" % n for n in range(1, 9)]
    assert first != sorted(first)
    assert in_which_order(1) == first
    assert in_which_order(2) != first


def fates(seed: int) -> list[str]:
    """What becomes of ten connections that are torn and stalled by chance."""
    found: list[str] = []

    async def story(_echo: Echo, proxy: Proxy) -> None:
        proxy.up = Weather(tear=0.3, stall=0.2)
        for _ in range(10):
            reader, writer = await connect(proxy)
            for answers in range(5):
                writer.write(b"x" * 100)
                try:
                    await asyncio.wait_for(reader.readexactly(100), 0.3)
                except (OSError, EOFError, TimeoutError) as error:
                    found.append(f"{answers} {type(error).__name__}")
                    break

    play(story, seed)
    return found


def test_chance_comes_from_the_seed() -> None:
    """The same seed tears and stalls the same connections at the same bytes."""
    assert fates(3) == fates(3)
    assert fates(3) != fates(4)


def test_a_target_that_is_away_is_a_reset() -> None:
    """As from a machine on which nothing listens any more; the log says so."""

    async def story() -> None:
        async with asyncio.timeout(20), Proxy(free_port()) as proxy:
            reader, _writer = await connect(proxy)
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            assert "does not answer" in proxy.story()
            hang_up()

    asyncio.run(story())


def test_it_runs_in_a_thread_for_those_without_a_loop() -> None:
    """All of it from plain code, and at the end no connection is left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with running(Proxy(server.getsockname()[1])) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port))
            inner, _ = server.accept()
            client.sendall(b"hi")
            assert inner.recv(2) == b"hi"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            client.close()
            client = socket.create_connection(("127.0.0.1", proxy.port))
            inner.close()
            inner, _ = server.accept()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()
        inner.close()


def test_it_stands_alone_for_real_boards() -> None:
    """`python -m gateway.testing.proxy PORT TARGET` listens, passes on and tells what happens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = free_port()
        words = [sys.executable, "-u", "-m", "gateway.testing.proxy", str(port)]
        words += [str(server.getsockname()[1]), "--delay", "0.01"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "delay=0.01" in process.stdout.readline()
            with socket.create_connection(("127.0.0.1", port)) as client:
                inner, _ = server.accept()
                client.sendall(b"hi")
                assert inner.recv(2) == b"hi"
                assert process.stdout.readline().endswith("#1 open\n")
                inner.close()
            process.terminate()
