"""Configs for nodes: a twin of what is desired and what is reported, until the two agree.

Hook implementations only. The decisions are in `twin.py`, the documents in `document.py`; read
those first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway import (
    Check,
    Command,
    ConfigReported,
    Event,
    Host,
    Job,
    Manifest,
    Node,
    NodeChange,
    NodeHello,
    Problem,
    Tx,
    Wake,
    hookimpl,
)
from gateway_config import asked, desk, reports
from gateway_config.document import problems as rules
from gateway_config.sending import Case

if TYPE_CHECKING:
    import click


@hookimpl
def manifest() -> Manifest:
    """Tables, the operator's commands, and two timers."""
    return Manifest(
        version="1.0",
        config=asked.Settings,
        commands=asked.COMMANDS,
        migrations="migrations",
        jobs=(
            Job(name="resend", every=1.0, run=reports.due),
            Job(name="binds", every=30.0, run=reports.unbound),
        ),
        eager=True,
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`gateway config ...` and `gateway nodes bind|unbind`."""
    from gateway_config import commands

    commands.register(cli)


@hookimpl
async def node_hello(event: NodeHello, node: Node, tx: Tx) -> None:
    """Publish again where the hello shows another revision."""
    at = event.source.received_at
    reports.hello(event, Case(tx, node, at, protocol=event.protocol))


@hookimpl
async def config_reported(event: ConfigReported, node: Node, tx: Tx) -> None:
    """Follow what the node made of its config; take its channels over; finish a bind."""
    headed = event.revision is not None and event.sha256 is not None
    case = Case(tx, node, event.source.received_at, protocol=int(headed))
    reports.report(event, case)


@hookimpl
async def node_message(event: Event, node: Node, tx: Tx, config: asked.Settings) -> None:
    """An operator's command, or a turn that one of our timers asked for."""
    case = Case(tx, node, event.source.received_at)
    if isinstance(event, Wake):
        reports.wake(case)
    elif isinstance(event, Command):
        await desk.serve(event, node, case, config)


@hookimpl
async def node_changed(change: NodeChange, node: Node, tx: Tx) -> None:
    """A node that is new, back, or at its end."""
    reports.changed(change, Case(tx, node, change.source.received_at))


@hookimpl
async def validate_config(document: Mapping[str, Any], config: asked.Settings) -> list[Problem]:
    """The rules of PROTOCOL A6.1 and A6.2, for documents from anywhere."""
    return rules(document, tuple(config.metrics))


@hookimpl
async def health(gateway: Host) -> list[Check]:
    """Configs that ended badly, and messages that were not believed."""
    bad = gateway.read(
        "SELECT count(*) FROM config_desired WHERE state IN ('rejected', 'rolled_back', 'expired')"
    )[0][0]
    forged = gateway.read("SELECT coalesce(sum(refused), 0) FROM config_reported")[0][0]
    return [
        Check(
            name="configs",
            ok=bad == 0,
            detail=f"{bad} rejected, rolled back or expired; {forged} reports not believed",
            hint="gateway config status" if bad else "",
        )
    ]
