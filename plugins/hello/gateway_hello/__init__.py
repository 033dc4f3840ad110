"""Registration: nodes say hello, and get a receipt once they are surely registered.

Hook implementations only. Who may in, and under which name, is in `registry.py`; what that does to
the registry is in `reception.py`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from gateway import (
    ConfigReported,
    Event,
    Host,
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
# each gateway has its own settings object, so that several in one process stay apart
_hosts: WeakKeyDictionary[asked.Settings, Host] = WeakKeyDictionary()


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
async def startup(gateway: Host, config: asked.Settings) -> None:
    """Remember whose settings these are."""
    _hosts[config] = gateway


@hookimpl
async def shutdown(gateway: Host) -> None:
    """Let go of the gateway."""
    for settings in [s for s, host in _hosts.items() if host is gateway]:
        del _hosts[settings]


@hookimpl
async def node_hello(event: NodeHello, node: Node, tx: Tx, config: asked.Settings) -> None:
    """Register the node and answer it."""
    log.info("[NODE_HELLO] Processing node_hello from hardware_id: %s", event.hardware_id)
    if not event.source.retained:
        desk = reception.Desk(tx, _hosts[config], config.receipt_expires)
        reception.hello(event, node, desk)


@hookimpl
async def node_heartbeat(event: NodeHeartbeat, node: Node, tx: Tx, config: asked.Settings) -> None:
    """A beat of a node that nobody knows makes it known."""
    if not node.known:
        reception.evidence(event, node, tx, _hosts[config])


@hookimpl
async def config_reported(
    event: ConfigReported, node: Node, tx: Tx, config: asked.Settings
) -> None:
    """A config report that carries an identity registers a node that never said hello."""
    reception.evidence(event, node, tx, _hosts[config])


@hookimpl
async def node_message(event: Event, node: Node, tx: Tx, config: asked.Settings) -> None:
    """Time requests, status of strangers, and the operator."""
    if isinstance(event, TimeRequest):
        reception.answer_time(event, tx, _hosts[config])
    elif isinstance(event, Status):
        if not node.known:
            reception.evidence(event, node, tx, _hosts[config])
    else:
        asked.obey(event, node, tx)
