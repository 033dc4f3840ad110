"""Tells the load when a beat's effects are committed: it publishes, and that leaves after the commit.

One node in ten, so that the measurement is not the load.
"""

from __future__ import annotations

from gateway import Manifest, NodeHeartbeat, Tx, hookimpl


@hookimpl
def manifest() -> Manifest:
    """Never waits, so it needs no task of its own."""
    return Manifest(version="1.0", eager=True)


@hookimpl
async def node_heartbeat(event: NodeHeartbeat, tx: Tx) -> None:
    """The beat's number."""
    name = event.source.name
    if name.endswith("0"):
        tx.publish_json("bench/effect", {"node": name, "seq": event.seq})
