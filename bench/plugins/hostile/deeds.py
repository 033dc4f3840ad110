"""Does its worst on each message of its kind; the variable BENCH_DEED names which."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import ClassVar

from gateway import Manifest, Message, Tx, hookimpl

GIGABYTE = 1 << 30
FOR_EVER = 3600.0
log = logging.getLogger("deeds")


class Provoked(Message, kw_only=True):
    """The occasion."""

    kind: ClassVar[str] = "provoked"


@hookimpl
def manifest() -> Manifest:
    """One kind of message."""
    return Manifest(version="1.0", messages=(Provoked,))


class Deeds:
    """None of them is a hook by itself."""

    @staticmethod
    def behaves() -> None:
        """The quiet run."""

    @staticmethod
    def raises() -> None:
        """Always."""
        raise ValueError("mine")

    @staticmethod
    def exits() -> None:
        """As a script would."""
        raise SystemExit(3)

    @staticmethod
    def hangs() -> None:
        """A plain function, on one of its threads."""
        time.sleep(FOR_EVER)

    @staticmethod
    async def hangs_async() -> None:
        """As a coroutine that could be cancelled."""
        await asyncio.sleep(FOR_EVER)

    @staticmethod
    async def blocks() -> None:
        """Its own event loop."""
        time.sleep(FOR_EVER)  # noqa: ASYNC251 - that is the deed

    @staticmethod
    def spins() -> None:
        """Pure Python that never ends: it lets go of the lock, and wants it back at once."""
        while True:
            pass

    @staticmethod
    async def spins_async() -> None:
        """The same on its event loop."""
        while True:
            pass

    @staticmethod
    def allocates() -> None:
        """A gigabyte, a MiB at a time."""
        len([b"x" * (1 << 20) for _ in range(1 << 10)])

    @staticmethod
    def allocates_at_once() -> None:
        """A gigabyte in one call into C, which keeps the lock."""
        len(b"x" * GIGABYTE)

    @staticmethod
    def floods_tx(tx: Tx) -> None:
        """Until it is refused."""
        for number in range(1_000_000):
            tx.write("UPDATE nodes SET name = ? WHERE id = 0", str(number))

    @staticmethod
    def fills_tx(tx: Tx) -> None:
        """As much as one event may."""
        for number in range(9_999):
            tx.write("UPDATE nodes SET name = ? WHERE id = 0", str(number))

    @staticmethod
    def comes_late(tx: Tx) -> None:
        """Writes after its budget."""
        time.sleep(1.5)
        tx.write("UPDATE nodes SET name = 'late'")

    @staticmethod
    def forks() -> None:
        """And lets the child come back."""
        os.fork()

    @staticmethod
    def closes_stdout() -> None:
        """And stderr."""
        sys.stdout.close()
        sys.stderr.close()

    @staticmethod
    def patches_json() -> None:
        """For everybody in this process."""
        json.dumps = json.loads = json.dump = json.load = None  # type: ignore[assignment] # the deed

    @staticmethod
    def logs() -> None:
        """A thousand lines at a time: ten times a second that is 10,000."""
        for number in range(1000):
            log.warning("line %d of a thousand", number)


node_message = hookimpl(getattr(Deeds, os.environ.get("BENCH_DEED", "behaves")))
