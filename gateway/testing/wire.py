"""A connection through a spoilt network: two directions, each with its weather.

Rules of this file. Bytes are never changed, and within a connection none overtakes another: TCP does
not do that either. What chance decides is drawn for each direction by itself, so that the same seed
gives the same fate however the two are interleaved.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

UP, DOWN = "up", "down"
"""From the client to the target, and back."""
_PENDING = 256
_TICKS = 20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Weather:
    """What happens to each piece of bytes; seconds, and chances from 0 to 1."""

    delay: float = 0.0
    jitter: float = 0.0
    """Up to so much more delay."""
    rate: float = 0.0
    """Bytes in a second; 0 is as fast as it goes."""
    trickle: float = 0.0
    """Slow-loris: one byte at a time, with a pause of so many seconds."""
    tear: float = 0.0
    """The chance that the connection is reset in the middle of a piece."""
    stall: float = 0.0
    """The chance that the connection is half-open from here on: it stands, and carries nothing."""


CLEAR = Weather()


class Wire:
    """One direction of a connection."""

    def __init__(self, name: str, streams: Streams, connection: Connection) -> None:
        self.name = name
        self.fuse: int | None = None
        """So many more bytes pass; then it is torn."""
        self.reader, self.writer = streams
        self._connection = connection
        self._dice = random.Random(f"{connection.seed}/{connection.number}/{name}")
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PENDING)

    async def listen(self) -> None:
        """Take in what one side says, with the time at which it is due on the other."""
        data = b"-"
        while data:
            try:
                data = await self.reader.read(1 << 16)
            except OSError:
                data = b""
            weather = self._connection.weather(self.name)
            late = weather.delay + self._dice.random() * weather.jitter
            if data and self._connection.swallows(self._dice.random() < weather.stall, self.name):
                continue
            await self._queue.put((time.monotonic() + late, data))

    async def speak(self) -> None:
        """Say it on the other side, when its time has come."""
        with contextlib.suppress(OSError):
            while True:
                due, data = await self._queue.get()
                await asyncio.sleep(due - time.monotonic())
                await self._connection.moving.wait()
                if not data:
                    break
                if self._dice.random() < self._connection.weather(self.name).tear:
                    self.fuse = self._dice.randrange(len(data))
                await self._pour(data)
            self.writer.close()

    async def _pour(self, data: bytes) -> None:
        while data:
            weather = self._connection.weather(self.name)
            size = len(data)
            if weather.trickle or weather.rate:
                size = 1 if weather.trickle else max(1, int(weather.rate / _TICKS))
            part, data = data[:size], data[size:]
            if self.fuse is not None and self.fuse < len(part):
                await self._write(part[: self.fuse])
                await asyncio.sleep(0.02)  # a reset takes back what is still on its way
                self._connection.reset(f"torn {self.name}, in the middle of {len(part)} bytes")
                return
            if self.fuse is not None:
                self.fuse -= len(part)
            await self._write(part)
            await asyncio.sleep(weather.trickle or len(part) / (weather.rate or float("inf")))

    async def _write(self, part: bytes) -> None:
        self.writer.write(part)
        await self.writer.drain()

    def end(self) -> None:
        """Reset the side that it speaks to."""
        self.fuse = None
        abort(self.writer)
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait((0.0, b""))


class Connection:
    """Both directions, and what holds for both."""

    def __init__(
        self,
        number: int,
        seed: int,
        weather: Callable[[str], Weather],
        silent: Callable[[], bool],
        note: Callable[[int, str], None],
    ) -> None:
        self.number = number
        self.seed = seed
        self.weather = weather
        self.moving = asyncio.Event()
        self.moving.set()
        self.wires: dict[str, Wire] = {}
        self._dead = False
        self._silent = silent
        self._note = note

    async def carry(self, client: Streams, target: Streams) -> None:
        """Pass bytes on until both sides have ended."""
        up = self.wires[UP] = Wire(UP, (client[0], target[1]), self)
        down = self.wires[DOWN] = Wire(DOWN, (target[0], client[1]), self)
        self.note("open")
        try:
            await asyncio.gather(up.listen(), up.speak(), down.listen(), down.speak())
        finally:
            self.note("closed")
            for wire in (up, down):
                wire.writer.transport.abort()

    def swallows(self, stalls: bool, way: str) -> bool:
        """True where it is half-open, or becomes so now."""
        if not self._dead and (stalls or self._silent()):
            self._dead = True
            self.note(f"half-open from here on ({way})")
        return self._dead

    def hold(self) -> None:
        """Keep back what is said."""
        self.moving.clear()
        self.note("held back")

    def release(self) -> None:
        """Let it go."""
        if not self.moving.is_set():
            self.moving.set()
            self.note("released")

    def reset(self, why: str) -> None:
        """End it hard, on both sides."""
        self.note(why)
        for wire in self.wires.values():
            wire.end()
        self.moving.set()

    def note(self, what: str) -> None:
        """A line for the log."""
        self._note(self.number, what)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, which is no orderly end."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
