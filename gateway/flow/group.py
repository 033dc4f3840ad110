"""What shares the next commit of the intake: rows, refused messages, and whom to acknowledge behind it."""

from __future__ import annotations

from typing import Any

from gateway.flow.lanes import Item
from gateway.protocol.messages import Event
from gateway.store import journal

_MOST_ROWS = 20_000
_MOST_BYTES = 32 << 20


class Group:
    """Filled while the one before it is being written."""

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
