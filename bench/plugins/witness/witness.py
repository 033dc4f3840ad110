"""Behaves, and says how late it was called: from the write of a message to the start of this handler.

Both processes read the same clock.
"""

from __future__ import annotations

import time
from typing import ClassVar

from gateway import Manifest, Message, Tx, hookimpl


class Trickle(Message, kw_only=True):
    """One of a steady few."""

    kind: ClassVar[str] = "trickle"

    number: int
    sent: float


@hookimpl
def manifest() -> Manifest:
    """One kind of message."""
    return Manifest(version="1.0", messages=(Trickle,))


@hookimpl
async def node_message(event: Trickle, tx: Tx) -> None:
    """Its number, and the delay in ms."""
    late = (time.monotonic() - event.sent) * 1000
    tx.publish_json("bench/seen", {"number": event.number, "late": late})
