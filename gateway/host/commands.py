"""The commands that plugins add to the command line.

Rules of this file. It runs in the process of `gateway ...`, so it does no more than it must: import
the plugins and call `register_commands`. Settings of plugins are not decoded, so that a mistake in
them does not take away the commands with which it is found.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from gateway.host.discover import attempt
from gateway.host.registry import Registry, find

if TYPE_CHECKING:
    import click

    from gateway.settings.model import Settings


def register(
    cli: click.Group,
    settings: Settings | None = None,
    *,
    entry_points: Iterable[EntryPoint] | None = None,
) -> list[str]:
    """Let each plugin add its commands to `cli`; returns warnings that name the plugin.

    Without settings only installed plugins are asked, as nobody knows of folders.
    """
    chosen = settings.plugins if settings is not None else None
    loader = find(
        chosen.dirs if chosen else (),
        chosen.disabled if chosen else (),
        entry_points=entry_points,
    )
    registry = Registry(loader.plugins.values())
    warnings = [
        f"plugin {plugin.name}: {plugin.error}"
        for plugin in registry.plugins.values()
        if plugin.state == "failed"
    ]
    for plugin, bound in registry.targets("register_commands"):
        _, error = attempt(partial(bound.ask, cli=cli))
        if error:
            warnings.append(f"plugin {plugin.name}: its commands are missing: {error}")
    return warnings
