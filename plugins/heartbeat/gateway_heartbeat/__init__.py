"""Liveness: which nodes are online, late or offline, by proof and by age.

Hook implementations only. The rules are in `liveness.py`, the rows in `watch.py`.
"""

from __future__ import annotations

from gateway import (
    Check,
    ConfigReported,
    Event,
    Host,
    Job,
    LastWill,
    Manifest,
    Node,
    NodeHeartbeat,
    NodeHello,
    Status,
    Tx,
    Wake,
    hookimpl,
)
from gateway_heartbeat import watch
from gateway_heartbeat.watch import Settings

_GONE = {"OFFLINE"}


@hookimpl
def manifest() -> Manifest:
    """Beats, status and wills; a sweep each second for deadlines."""
    return Manifest(
        version="1.0",
        config=Settings,
        messages=(Status, LastWill),
        migrations="migrations",
        jobs=(Job(name="expire", every=1.0, run=watch.due),),
        eager=True,
    )


@hookimpl
async def startup(gateway: Host, config: Settings) -> None:
    """From here on we listen; deadlines start anew with the first sweep."""
    watch.listening[config] = watch.Listening(gateway)


@hookimpl
async def shutdown(gateway: Host) -> None:
    """Nobody listens any more."""
    watch.forget(gateway)


@hookimpl
async def node_heartbeat(event: NodeHeartbeat, node: Node, tx: Tx, config: Settings) -> None:
    """A beat is proof of life."""
    watch.on_beat(event, node, tx, config)


@hookimpl
async def node_hello(event: NodeHello, node: Node, tx: Tx, config: Settings) -> None:
    """So is a hello."""
    watch.on_sign(event, node, tx, config)


@hookimpl
async def config_reported(event: ConfigReported, node: Node, tx: Tx, config: Settings) -> None:
    """And a config report."""
    watch.on_sign(event, node, tx, config)


@hookimpl
async def node_message(event: Event, node: Node, tx: Tx, config: Settings) -> None:
    """Status and wills from the node or its broker, and our own timer."""
    if isinstance(event, Wake):
        watch.on_time(event, node, tx, config)
    elif isinstance(event, LastWill) or (
        isinstance(event, Status) and (event.status or "").upper() in _GONE
    ):
        watch.on_will(event, node, tx)
    else:
        watch.on_sign(event, node, tx, config)


@hookimpl
def health(gateway: Host) -> list[Check]:
    """How many nodes are how."""
    counts = watch.counts(gateway)
    offline = counts.get("offline", 0)
    text = ", ".join(f"{number} {life}" for life, number in sorted(counts.items())) or "no nodes"
    hint = "gateway nodes list" if offline else ""
    return [Check(name="nodes", ok=offline == 0, detail=text, hint=hint)]
