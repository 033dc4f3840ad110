"""How long quiet messages wait for company before they are written together.

A commit writes whole pages of the disk, whatever is in it, and an SD card has only so many of them to
give. A beat of a node that is online, and not the first of its boot, changes nothing that anybody waits
for, so it may wait a little for the next ones; it is acknowledged behind the commit, as always. Whatever else comes takes it along at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.api import Node
from gateway.store import journal

_MOST = 16
"""Messages that wait for it at most: mosquitto by default sends 20 that are not acknowledged yet."""


class Linger:
    """One wait at a time, of at most `seconds`; `go_on` is called on the loop when it is over."""

    def __init__(self, seconds: float, go_on: Callable[[], None]) -> None:
        self._seconds = seconds
        self._go_on = go_on
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def holds(self, waiting: int) -> bool:
        """True where so many quiet messages may wait for more."""
        if self._seconds <= 0 or self._is_over or waiting >= _MOST:
            return False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)
        return True

    def reset(self) -> None:
        """They are on their way: the next ones may wait anew."""
        self._is_over = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        self._is_over = True
        self._go_on()


def is_quiet(row: journal.Row, node: Node | None) -> bool:
    """True for a beat, not the first of its boot, of a node that is online: it says that it still is."""
    is_beat = row.kind == "heartbeat" and row.first_seq != 1 and not row.flags
    return is_beat and node is not None and node.life == "online"
