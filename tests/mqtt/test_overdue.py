"""A broker that stays connected and has forgotten a publish: it is noticed, and sent again."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from gateway.errors import BrokerError
from gateway.mqtt import answers, session
from gateway.mqtt.answers import Overdue
from gateway.testing.stage import Stage, play

BEAT = "hydro/gh-1/zn-1/nd-1/heartbeat"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: bytes) -> None:
    """As much of a broker as a link needs; a publish that ends with `mute` is never acknowledged."""
    while True:
        kind, size, shift = (await reader.readexactly(1))[0] >> 4, 0, 0
        while (byte := (await reader.readexactly(1))[0]) & 0x80:
            size, shift = size | (byte & 0x7F) << shift, shift + 7
        body = await reader.readexactly(size | byte << shift)
        if kind == 1:
            writer.write(b"\x20\x02\x00\x00")
        elif kind == 3 and not body.endswith(mute):
            behind = 2 + struct.unpack_from("!H", body)[0]
            writer.write(b"\x40\x02" + body[behind : behind + 2])
        elif kind == 8:
            filters, place = 0, 2
            while place < len(body):
                place, filters = place + 3 + struct.unpack_from("!H", body, place)[0], filters + 1
            writer.write(bytes([0x90, 2 + filters]) + body[:2] + bytes(filters))
        elif kind == 10:
            writer.write(b"\xb0\x02" + body[:2])
        elif kind == 12:
            writer.write(b"\xd0\x00")


@pytest.mark.parametrize("answered", [False, True], ids=["nothing", "a later one"])
def test_a_publish_that_the_broker_forgot(
    answered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers pings and nothing else, or only what came later: the connection is given up, and the
    publish fails, so that whoever wants it sent sends it on the next one."""
    monkeypatch.setattr(session, "PING", 0.05)
    mute = b"lost" if answered else b"t"

    served: set[asyncio.Task[None] | None] = set()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer, mute)
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def story(stage: Stage) -> None:
        server = await asyncio.start_server(broker, "127.0.0.1", 0)
        stage.broker = mock.Mock(port=server.sockets[0].getsockname()[1])
        scribe = await stage.link()
        words = (b"lost", b"next" if answered else b"not")
        publishes = [asyncio.ensure_future(scribe.link.publish(BEAT, word)) for word in words]
        done, _ = await asyncio.wait(publishes, timeout=20)
        assert len(done) == 2
        assert (publishes[1].exception() is None) == answered
        error = publishes[0].exception()
        assert isinstance(error, BrokerError)
        assert "does not acknowledge" in error.what
        await scribe.reconnected(1)
        await scribe.link.stop()
        server.close()
        await asyncio.wait([task for task in served if task])

    play(story, tmp_path)


def looks(overdue: Overdue, *, is_writing: bool = False) -> int:
    """After how many looks it is called forgotten; 99 is never."""
    return next((n for n in range(1, 99) if overdue.look(is_writing=is_writing)), 99)


def test_who_is_overdue() -> None:
    """Who has seen a minute of pings without any answer, or a few after somebody later was answered; never
    while bytes of ours still wait to leave."""

    async def story() -> None:
        overdue, loop = Overdue(), asyncio.get_running_loop()
        assert looks(overdue) == 99
        first, second = loop.create_future(), loop.create_future()
        waiting = [asyncio.ensure_future(overdue.wait(future)) for future in (first, second)]
        await asyncio.sleep(0)
        assert looks(overdue, is_writing=True) == 99
        assert looks(overdue) == answers._DEAF
        second.set_result(None)
        await waiting[1]
        assert overdue.look(is_writing=False)
        first.set_result(None)
        await waiting[0]
        assert looks(overdue) == 99

    asyncio.run(story())


def test_a_slow_broker_is_not_a_forgetful_one() -> None:
    """One that answers in turn, each after many pings, keeps its connection."""

    async def story() -> None:
        overdue, loop = Overdue(), asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(5)]
        waiting = [asyncio.ensure_future(overdue.wait(future)) for future in futures]
        await asyncio.sleep(0)
        for future, wait in zip(futures, waiting, strict=True):
            assert not any(overdue.look(is_writing=False) for _ in range(answers._DEAF))
            future.set_result(None)
            await wait

    asyncio.run(story())
