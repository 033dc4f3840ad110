"""The story of a fleet: what changed between two looks, as lines; and a table that stays in place.

Rules of this file. The functions are pure (rows before, rows after -> lines); `Screen` only writes.
One line for one fact, each once.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from gateway.cli import output

Row = Mapping[str, Any]

REGISTERED = frozenset(
    {"REGISTERED_BACKEND", "ASSIGNED_TO_ZONE", "ACTIVE", "DEGRADED", "MAINTENANCE"}
)
ENDS = frozenset({"verified", "rejected", "rolled_back", "expired", "superseded"})
_STEPS = ("sent", "received", "applied", "verified")


def line(kind: str, text: str, at: float | None = None) -> str:
    """`12:04:09 hello      text`; without a time, `ready             text`."""
    text = output.clean(text)
    return f"{kind:<17} {text}" if at is None else f"{output.clock(at)} {kind:<10} {text}"


def between(before: Sequence[Row], after: Sequence[Row], now: float) -> list[str]:
    """What happened between two looks at the fleet."""
    known = {row["id"]: row for row in before}
    lines: list[str] = []
    for row in after:
        lines += _of_node(known.get(row["id"]), row, now)
    for gone in known.keys() - {row["id"] for row in after}:
        lines.append(line("gone", f"{_name(known[gone])} was forgotten", now))
    return lines


def _of_node(old: Row | None, new: Row, now: float) -> list[str]:
    name, lines = _name(new), []
    was_told = old is not None and _is_told(old)
    if _is_told(new) and not was_told:
        who = ", ".join(str(x) for x in (new["type"], new["hardware_id"]) if x)
        lines.append(line("hello", f"{name} ({who}) registered, receipt sent", now))
    elif new["lifecycle_state"] in REGISTERED and not was_told:
        pass  # its first receipt is about to leave; both are one line
    elif old is None:
        lines.append(line("new", f"{name} seen, not registered yet", now))
    elif old["lifecycle_state"] != new["lifecycle_state"]:
        change = f"{old['lifecycle_state']} → {new['lifecycle_state']}"
        lines.append(line("state", f"{name} {change}", now))
    if old is not None and old["life"] != new["life"] and was_told:
        change = f"{old['life']} → {new['life']}".replace("_", " ")
        lines.append(line("life", f"{name} {change}", now))
    if _config(old) != _config(new) and new["config_state"] in ENDS:
        lines.append(line("config", f"{name} {config_way(new)}", now))
    return lines


def _is_told(row: Row) -> bool:
    """True where a node is registered and its first receipt has left."""
    return row["lifecycle_state"] in REGISTERED and not row.get("first_receipt_waits")


def _config(row: Row | None) -> tuple[Any, Any] | None:
    return None if row is None else (row["config_revision"], row["config_state"])


def _name(row: Row) -> str:
    return str(row["uid"] or row["hardware_id"] or f"#{row['id']}")


def config_way(row: Row) -> str:
    """`v1 sent → received → applied → verified in 0.9 s`, or how it ended and why."""
    state = row["config_state"]
    steps = [step for step in _STEPS if row.get(f"{step}_at") is not None]
    if state not in steps:
        steps.append(state)
    text = f"v{row['config_revision']} " + " → ".join(steps).replace("_", " ")
    started, ended = row.get("queued_at"), row.get(f"{state}_at") or row.get("final_at")
    if started is not None and ended is not None:
        text += f" in {output.span(max(0.0, ended - started))}"
    if row.get("reason"):
        text += f": {row['reason']}"
    return text


def missing(row: Row | None) -> str:
    """What a simulated node still lacks for the main job; "" where it is done."""
    if row is None:
        return "has not said hello"
    if row["lifecycle_state"] not in REGISTERED:
        return f"is {row['lifecycle_state']}, not registered"
    if row["life"] != "online":
        return f"is {str(row['life']).replace('_', ' ')}, not online"
    if row["config_state"] != "verified":
        if row["config_state"] is None:
            return "has got no config"
        why = f" ({row['reason']})" if row.get("reason") else ""
        return f"config v{row['config_revision']} is {row['config_state'].replace('_', ' ')}{why}"
    return ""


def tally(rows: Sequence[Row], counts: Mapping[str, Any]) -> str:
    """The line of counters under the table."""
    configs = [row for row in rows if row["config_revision"] is not None]
    verified = sum(row["config_state"] == "verified" for row in configs)

    def of(name: str) -> int:
        return int(counts.get(name, 0))

    return " · ".join(
        (
            f"{output.count(of('hellos'), 'hello')}, {output.count(of('receipts'), 'receipt')}",
            output.count(of("beats"), "beat"),
            f"{output.count(len(configs), 'config')}, {verified} verified",
            f"{of('refused'):,} refused",
            f"{of('waiting'):,} waiting",
        )
    )


def _nobody_listens() -> AbstractContextManager[None]:
    """A terminal that is gone, a pipe that is closed, a stream that a plugin has closed: the gateway
    goes on without."""
    return contextlib.suppress(OSError, ValueError)


class Screen:
    """Lines that scroll and, on a terminal, a table under them that is redrawn in place."""

    def __init__(self, paint: output.Paint, *, table: bool = True) -> None:
        self._paint = paint
        self.live = paint.tty and table
        self._drawn: list[str] = []
        self._lock = threading.RLock()  # the gateway tells its part from its own thread

    def say(self, text: str) -> None:
        """A line above the table."""
        with self._lock, _nobody_listens():
            drawn = self._drawn
            self._erase()
            print(text)
            self._put(drawn)

    def complain(self, *lines: str) -> None:
        """Lines on stderr, above the table."""
        with self._lock, _nobody_listens():
            drawn = self._drawn
            self._erase()
            sys.stdout.flush()
            for text in lines:
                print(text, file=sys.stderr)
            sys.stderr.flush()
            self._put(drawn)

    def draw(self, head: Sequence[str], cells: Sequence[Sequence[str]], foot: str) -> None:
        """The table as it is now; as many rows as the terminal has room for."""
        if not self.live:
            return
        columns, height = shutil.get_terminal_size()
        room = max(1, height - 6)
        lines = ["", *output.aligned(head, cells[:room], self._paint)]
        if len(cells) > room:
            lines.append(f"... and {len(cells) - room} more: gateway nodes list")
        if foot:
            lines += ["", foot]
        if not self._paint.on:  # a line that wraps would spoil the count of lines to go back
            lines = [text[:columns] for text in lines]
        with self._lock:
            self._erase()
            self._put(lines)

    def close(self) -> None:
        """Leave the table where it is and go on under it."""
        self._drawn = []

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{len(self._drawn)}F\x1b[J")
        self._drawn = []

    def _put(self, lines: list[str]) -> None:
        for text in lines:
            print(text)
        sys.stdout.flush()
        self._drawn = lines
