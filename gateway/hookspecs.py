"""Every hook: when it is called, where it runs, what it may return, what a failure does.

Plain parameters only (pluggy does not see keyword-only ones). An implementation is `def` or
`async def` and names just the arguments it wants. `async def` runs on the plugin's event loop; a
plain `def` runs on one of the plugin's own threads, so it may block without harm to others.
A hook that fails costs its own plugin this delivery: it is retried with back-off for that plugin
alone and parked as a dead letter in the end. `docs/plugins/hooks.md` has a heading for each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from gateway.api import Check, Host, Manifest, Node, NodeChange, Problem, Tx
from gateway.protocol.messages import ConfigReported, Event, NodeHeartbeat, NodeHello

if TYPE_CHECKING:
    import click

NAME = "gateway"
hookspec = pluggy.HookspecMarker(NAME)
hookimpl = pluggy.HookimplMarker(NAME)


@hookspec
def manifest() -> Manifest | None:
    """Say what the plugin is.

    When: once, after import, before anything else of the plugin runs.
    Where: on the thread that starts the gateway; must not block.
    Returns: a `Manifest`, or None for one with defaults.
    On failure: the plugin is not loaded; `gateway plugins list` shows why.
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the `gateway` command line.

    When: when the command line is built, on every call of `gateway`; import inside the function.
    Where: in the process of the command, not in the gateway.
    Returns: nothing.
    On failure: the command is missing and a warning names the plugin.
    """


@hookspec
def startup(gateway: Host, config: Any) -> Awaitable[None] | None:
    """Get ready.

    When: after the migrations, before the first event.
    Where: on the plugin's loop or threads.
    Returns: nothing.
    On failure: this plugin stays switched off, the gateway runs.
    """


@hookspec
def shutdown(gateway: Host) -> Awaitable[None] | None:
    """Let go of what `startup` took.

    When: after the last event.
    Where: on the plugin's loop or threads.
    Returns: nothing.
    On failure: it is logged.
    """


@hookspec
def node_hello(event: NodeHello, node: Node, tx: Tx, config: Any) -> Awaitable[None] | None:
    """A node says who it is: at each connect, repeated until the receipt arrives.

    When: after the message is in the journal, in the node's order.
    Where: on the plugin's loop or threads.
    Returns: nothing; what should happen is gathered in `tx`.
    On failure: retried with back-off, then a dead letter.
    """


@hookspec
def node_heartbeat(event: NodeHeartbeat, node: Node, tx: Tx, config: Any) -> Awaitable[None] | None:
    """A node beats; adjacent beats of one boot may come as one event with a count.

    When: after the message is in the journal, in the node's order.
    Where: on the plugin's loop or threads.
    Returns: nothing; what should happen is gathered in `tx`.
    On failure: retried with back-off, then a dead letter.
    """


@hookspec
def config_reported(
    event: ConfigReported, node: Node, tx: Tx, config: Any
) -> Awaitable[None] | None:
    """A node reports its config, or what became of one.

    When: after the message is in the journal, in the node's order.
    Where: on the plugin's loop or threads.
    Returns: nothing; what should happen is gathered in `tx`.
    On failure: retried with back-off, then a dead letter.
    """


@hookspec
def node_message(event: Event, node: Node, tx: Tx, config: Any) -> Awaitable[None] | None:
    """A message of a kind, a command or a wake-up that this plugin's manifest asks for.

    When: after the message is in the journal, in the node's order; only plugins that list the
    kind are called.
    Where: on the plugin's loop or threads.
    Returns: nothing; what should happen is gathered in `tx`.
    On failure: retried with back-off, then a dead letter; a command is answered with the failure.
    """


@hookspec
def node_changed(change: NodeChange, node: Node, tx: Tx, config: Any) -> Awaitable[None] | None:
    """A node is new, or its lifecycle or life changed.

    When: as an event of its own behind its cause, committed with it, in the node's order.
    Where: on the plugin's loop or threads.
    Returns: nothing; what should happen is gathered in `tx`.
    On failure: retried with back-off, then a dead letter; the change stands.
    """


@hookspec
def validate_config(
    document: Mapping[str, Any], node: Node, config: Any
) -> Sequence[Problem] | None:
    """Say what is wrong with a node's config document.

    When: before a document is queued for a node.
    Where: on the plugin's loop or threads.
    Returns: the problems found, or None; the answers of all plugins are joined.
    On failure: counts as one problem that names the plugin.
    """


@hookspec
def health(gateway: Host) -> Sequence[Check] | None:
    """Say how the plugin is.

    When: when somebody asks for the gateway's status.
    Where: on the plugin's loop or threads.
    Returns: checks, or None.
    On failure: counts as a failed check.
    """
