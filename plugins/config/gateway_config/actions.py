"""What the twin decides is to be done; who carries it out is `sending.py`."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Queue(msgspec.Struct, frozen=True):
    """A revision was born; keep its document."""

    revision: int


class Send(msgspec.Struct, frozen=True):
    """Publish the desired document."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A revision reached a state."""

    revision: int
    state: str
    reason: str = ""
    path: str = ""
    differs: tuple[str, ...] = ()


class Ignore(msgspec.Struct, frozen=True):
    """The message is not believed or came too late: `stale`, or a word of PROTOCOL B8."""

    word: str


Action: TypeAlias = Queue | Send | Move | Ignore
