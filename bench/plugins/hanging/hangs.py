"""Hangs on every hello of the nodes called hang-..., longer than any budget."""

from __future__ import annotations

import asyncio

from gateway import NodeHello, hookimpl


@hookimpl
async def node_hello(event: NodeHello) -> None:
    """Never comes back for them."""
    if event.hardware_id.startswith("hang-"):
        await asyncio.sleep(3600)
