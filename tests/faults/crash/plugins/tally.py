"""Counts every effect of every message, doubles too: nothing in its table is unique.

A message with `fail` makes the first attempt of each run fail; while there is a file of the name in
TALLY_BROKEN all of them do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from gateway import Event, Manifest, Message, Tx, hookimpl


class Tally(Message, kw_only=True):
    """Something that must have its effect once (`hydro/<gh>/<zone>/<node>/tally`)."""

    kind: ClassVar[str] = "tally"

    n: int = 0
    fail: bool = False


_failed: set[int] = set()
_BROKEN = os.environ.get("TALLY_BROKEN")


@hookimpl
def manifest() -> Manifest:
    """One kind of message, one table."""
    return Manifest(version="1.0", messages=(Tally,), migrations="tally_migrations")


@hookimpl
def node_message(event: Event, tx: Tx) -> None:
    """One row for each call that succeeded, and something to send."""
    if not isinstance(event, Tally):
        return
    if _BROKEN and Path(_BROKEN).exists():
        raise RuntimeError("it is broken")
    if event.fail and event.n not in _failed:
        _failed.add(event.n)
        raise RuntimeError("the first time always fails")
    where = event.source.topic.split("/")
    tx.write(
        "INSERT INTO tally_effects VALUES (?, ?, ?, ?)",
        where[3],
        event.boot_id or "",
        event.seq or 0,
        event.n,
    )
    tx.publish_json("/".join([*where[:4], "tallied"]), {"n": event.n})
