"""What shares the next commit of the intake, and how long quiet messages wait for company in it.

A commit writes whole pages of the disk, whatever is in it, and an SD card has only so many of them to
give. A beat of a node that is online, and not the first of its boot, changes nothing that anybody waits
for, so it may wait a little for the next ones; it is acknowledged behind the commit, as always. Whatever
else comes takes it along at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.api import Node
from gateway.flow.lanes import Item
from gateway.protocol.messages import Event
from gateway.store import journal

_MOST_ROWS = 20_000
_MOST_BYTES = 32 << 20
_MOST_QUIET = 16
"""Messages that wait for it at most: mosquitto by default sends 20 that are not acknowledged yet."""


class Group:
    """Rows, refused messages, and whom to acknowledge behind them; filled while the one before is written."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.refused: list[journal.Refused] = []
        self.tokens: list[Any] = []
        self.hurry = False
        """True where something in it is waited for."""
        self._tails: dict[str, Item] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self.items or self.refused or self.tokens)

    @property
    def is_full(self) -> bool:
        """True where reading has to stop until it is written."""
        return len(self.items) > _MOST_ROWS or self._bytes > _MOST_BYTES

    @property
    def has_room(self) -> bool:
        """True where reading may go on."""
        return len(self.items) < _MOST_ROWS // 2 and self._bytes < _MOST_BYTES // 2

    def keep(self, item: Item, *, hurry: bool) -> None:
        """One row more."""
        self.hurry = self.hurry or hurry
        self.items.append(item)
        self._tails[item.row.lane] = item
        self._bytes += len(item.row.payload)

    def refuse(self, row: journal.Refused) -> None:
        """One message that is kept although nobody takes it."""
        self.hurry = True
        self.refused.append(row)

    def holds(self, lane: str) -> bool:
        """True where something of this lane is in it."""
        return lane in self._tails

    def adjacent(self, lane: str, topic: str, event: Event, flags: int) -> Item | None:
        """The beat to which this one is added: nothing of that node lies between (rule 8).

        One that does not say which boot it is of may be of the next one, and stands alone.
        """
        tail = self._tails.get(lane)
        if tail is None or tail.event is None or tail.row.topic != topic:
            return None
        same = tail.event.boot_id == event.boot_id and tail.row.flags == flags
        return tail if same else None


class Linger:
    """One wait at a time, of at most `seconds`; `go_on` is called on the loop when it is over."""

    def __init__(self, seconds: float, go_on: Callable[[], None]) -> None:
        self._seconds = seconds
        self._go_on = go_on
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def holds(self, waiting: int) -> bool:
        """True where so many quiet messages may wait for more."""
        if self._seconds <= 0 or self._is_over or waiting >= _MOST_QUIET:
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
