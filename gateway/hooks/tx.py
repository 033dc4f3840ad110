"""The `tx` that hooks see: it only gathers. What was gathered is committed by `work.py`.

What is wrong is said in the hook itself, at once: a misspelt field, a topic that cannot be published
to, a value that JSON cannot carry. After its hook a `tx` is closed, so that nothing comes late.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.api import NODE_FIELDS, Node
from gateway.errors import DataError
from gateway.protocol.codec import encode
from gateway.store import nodes

if TYPE_CHECKING:
    from gateway.api import Host
    from gateway.store.reader import Reader

MOST, MOST_BYTES = 10_000, 16 << 20
_CHANGES = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.I | re.S
)


class Gathered:
    """The `Tx` of one plugin for one event (its contract is `gateway.api.Tx`)."""

    __slots__ = (
        "_host", "_reader", "_roster", "_size", "answered", "closed", "node_changes", "publishes", "result",
        "writes",
    )  # fmt: skip

    def __init__(self, reader: Reader, roster: nodes.Roster, host: Host | None = None) -> None:
        self._host = host
        self._reader = reader
        self._roster = roster
        self.closed = False
        self.writes: list[tuple[str, tuple[object, ...]]] = []
        self.node_changes: dict[str, Any] = {}
        self.publishes: list[tuple[str, bytes, dict[str, Any]]] = []
        self.result: tuple[bool, dict[str, Any]] | None = None
        self.answered: str | None = None
        self._size = 0

    @property
    def host(self) -> Host:
        """The gateway in which the hook runs."""
        if self._host is None:
            raise RuntimeError("no gateway runs here")
        return self._host

    def write(self, sql: str, *params: object) -> None:
        """Gather a statement; what would end everybody's transaction is refused here."""
        self._open()
        if not _CHANGES.match(sql):
            raise DataError(
                f"not a statement that changes rows: {sql[:80]!r}",
                why="the host begins and commits; tables are made by migrations",
                hint="INSERT, UPDATE, DELETE or REPLACE; tx.read for SELECT",
            )
        self._more(len(sql) + sum(len(p) for p in params if isinstance(p, str | bytes)))
        self.writes.append((sql, params))

    def read(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the committed state."""
        self._open()
        return self._reader.tuples(sql, *params)

    def set_node(self, **changes: object) -> None:
        """Gather changes of the event's node."""
        self._open()
        for name in changes:
            if name not in NODE_FIELDS:
                near = difflib.get_close_matches(name, NODE_FIELDS, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"a node has no field {name!r}{hint}")
        self.node_changes.update(changes)

    def find_node(self, name: str) -> Node | None:
        """A node by name, reserved ones included."""
        self._open()
        return self._roster.find(name)

    def publish_json(  # noqa: PLR0913 - the options of an outbox row, all optional
        self,
        topic: str,
        payload: Mapping[str, Any],
        *,
        qos: int = 1,
        retain: bool = False,
        expires: float | None = None,
        replace: str | None = None,
        stamp: str | Sequence[str] | None = None,
        sign: Sequence[str] | None = None,
    ) -> None:
        """Gather a message; what JSON or MQTT cannot carry is refused here, not later."""
        self._open()
        check_topic(topic)
        if qos not in (0, 1, 2):
            raise DataError(f"there is no QoS {qos!r}", hint="1, the default, is followed")
        options: dict[str, Any] = {"qos": qos, "retain": bool(retain)}
        if stamp:
            options["stamp"] = [stamp] if isinstance(stamp, str) else [*map(str, stamp)]
        if sign:
            options["sign"] = [*map(str, sign)]
        options["_expires"] = None if expires is None else float(expires)
        options["_replace"] = None if replace is None else str(replace)
        body = encode(payload)
        self._more(len(body))
        self.publishes.append((topic, body, options))

    def clear_retained(self, topic: str) -> None:
        """Gather an empty retained message."""
        self._open()
        check_topic(topic)
        options = {"qos": 1, "retain": True, "_expires": None, "_replace": None}
        self.publishes.append((topic, b"", options))

    def answer(self, result: Mapping[str, Any], *, ok: bool = True) -> None:
        """Gather the answer to a command."""
        self._open()
        self.result = (bool(ok), dict(result))
        self.answered = answer_text(*self.result)

    @property
    def empty(self) -> bool:
        """True where nothing has to be committed."""
        return not (self.writes or self.node_changes or self.publishes)

    def close(self) -> None:
        """From here on every use is a mistake."""
        self.closed = True

    def _more(self, size: int) -> None:
        """One commit carries the work of many plugins: none of them may fill it."""
        self._size += size
        if len(self.writes) + len(self.publishes) >= MOST or self._size > MOST_BYTES:
            raise DataError(
                f"more than {MOST:,} statements and messages, or {MOST_BYTES >> 20} MiB, for one event",
                why="the commit holds the work of all plugins, and all of them would wait",
                hint="do it in steps: a job and its turns come again",
            )

    def _open(self) -> None:
        if self.closed:
            raise RuntimeError("this tx is closed: its hook has returned or was given up")


def answer_text(ok: bool, result: Mapping[str, Any]) -> str:
    """The JSON that a command's journal row keeps. Raises what JSON cannot carry."""
    return msgspec.json.encode({"ok": ok, "result": dict(result)}, enc_hook=str).decode()


def check_topic(topic: str) -> None:
    """Raise DataError where MQTT cannot publish to this topic."""
    if not topic or any(c in topic for c in "+#\0") or len(topic.encode()) > 65_535:
        raise DataError(
            f"{topic!r} is no topic to publish to",
            why="it is empty, too long, or has a wildcard or NUL in it",
            hint="build topics with gateway.Topics",
        )
