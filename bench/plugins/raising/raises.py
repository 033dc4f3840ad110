"""Raises on every beat of every node."""

from __future__ import annotations

from gateway import hookimpl


@hookimpl
async def node_heartbeat() -> None:
    """Always."""
    raise RuntimeError("as it always does")
