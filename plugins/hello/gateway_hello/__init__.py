"""Registration: nodes say hello, and get a receipt once they are surely registered.

Hook implementations only. Who may in, and under which name, is in `registry.py`; what that does to
the registry is in `reception.py`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway import (
    ConfigReported,
    Event,
    Manifest,
    Node,
    NodeHeartbeat,
    NodeHello,
    Status,
    TimeRequest,
    Tx,
    hookimpl,
)
from gateway_hello import asked, reception

if TYPE_CHECKING:
    import click

log = logging.getLogger(__name__)


@hookimpl
def manifest() -> Manifest:
    """Hellos, time requests, signs of life of strangers, and the operator's verbs."""
    return Manifest(
        version="1.0",
        config=asked.Settings,
        messages=(TimeRequest, Status),
        commands=asked.COMMANDS,
        migrations="migrations",
        eager=True,
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`gateway nodes approve|reject|readmit|decommission|pending`."""
    from gateway_hello import commands

    commands.register(cli)


@hookimpl
async def node_hello(event: NodeHello, node: Node, tx: Tx, config: asked.Settings) -> None:
    """Register the node and answer it."""
    log.info("[NODE_HELLO] Processing node_hello from hardware_id: %s", event.hardware_id)
    if not event.source.retained:
        reception.hello(event, node, reception.Desk(tx, config.receipt_expires))


@hookimpl
async def node_heartbeat(event: NodeHeartbeat, node: Node, tx: Tx) -> None:
    """A beat of a node that nobody knows makes it known."""
    if not node.known:
        reception.evidence(event, node, tx)


@hookimpl
async def config_reported(event: ConfigReported, node: Node, tx: Tx) -> None:
    """A config report that carries an identity registers a node that never said hello."""
    reception.evidence(event, node, tx)


@hookimpl
async def node_message(event: Event, node: Node, tx: Tx) -> None:
    """Time requests, status of strangers, and the operator."""
    if isinstance(event, TimeRequest):
        reception.answer_time(event, tx)
    elif isinstance(event, Status):
        if not node.known:
            reception.evidence(event, node, tx)
    else:
        asked.obey(event, node, tx)
