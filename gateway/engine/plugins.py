"""`startup` and `shutdown` of all plugins, side by side: one that hangs holds no other up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.engine.wiring import Wiring
    from gateway.host.registry import Plugin, Registry

log = logging.getLogger(__name__)
GOODBYE = 2.0


async def start(registry: Registry, wiring: Wiring, budget: float) -> None:
    """Call every `startup`; a plugin whose own fails stays off."""

    async def begin(plugin: Plugin) -> None:
        bound = plugin.hooks.get("startup")
        if bound is None:
            return
        asked = wiring.runners.ask(plugin, bound, gateway=wiring.view, config=plugin.config)
        try:
            await asyncio.wait_for(asyncio.wrap_future(asked), budget)
        except Exception as error:
            registry.disable(plugin.name, f"startup failed: {error!r}")
            log.exception("plugin %s: startup failed, it stays off", plugin.name)

    await asyncio.gather(*map(begin, registry.ready()))


async def stop(registry: Registry, wiring: Wiring) -> None:
    """Call every `shutdown`, and wait two seconds for all of them."""

    async def end(plugin: Plugin) -> None:
        bound = plugin.hooks.get("shutdown")
        if bound is None:
            return
        asked = wiring.runners.ask(plugin, bound, gateway=wiring.view)
        try:
            await asyncio.wait_for(asyncio.wrap_future(asked), GOODBYE)
        except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
            log.warning("plugin %s: shutdown failed: %r", plugin.name, error)

    await asyncio.gather(*map(end, registry.ready()))
