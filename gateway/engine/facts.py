"""What `gateway status` shows of a running gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.engine.life import Engine
    from gateway.errors import GatewayError


def facts(engine: Engine) -> dict[str, Any]:
    """Connection, store, what waits, counters, plugins."""
    wiring, broker = engine.wiring, engine.broker
    options = wiring.link.options
    return {
        "connected": wiring.link.connected,
        "broker": broker.describe() if broker else f"{options.host}:{options.port}",
        "embedded": broker is not None,
        "host": options.host,
        "port": options.port,
        "link_error": _told(wiring.uplink.error),
        "away_seconds": wiring.uplink.away,
        "missing_rights": wiring.uplink.rights.told(),
        "unacknowledged": wiring.intake.unacknowledged,
        "trouble": str(engine.trouble) if engine.trouble else None,
        **engine.keeper.facts(),
        "uptime_seconds": round(time.time() - engine.started_at, 1),
        "waiting": engine.left,
        "retrying": wiring.retries.open_keys,
        "outbox": wiring.outbox.waiting,
        "unpublishable": wiring.outbox.unpublishable,
        "sent": wiring.outbox.sent,
        "events": wiring.dispatcher.commits.events,
        "counts": dict(wiring.intake.counts),
        "nodes": len(engine.opened.roster),
        "switched_off": wiring.retries.breakers.open(),
        "plugins": {plugin.name: plugin.state for plugin in engine.registry.plugins.values()},
    }


def _told(error: GatewayError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    words = {"what": error.what, "why": error.why, "next": error.hint}
    return {**words, "exit_code": error.exit_code}
