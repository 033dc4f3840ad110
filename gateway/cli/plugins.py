"""`gateway plugins`: which there are, what one does, and switching one on again.

Rules of this file. Plugins are loaded here as the gateway would load them, in this process and
without starting anything; whether one is switched off is asked from the running gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError

if TYPE_CHECKING:
    from gateway.host.plugin import Plugin

_WAIT = 2.0


@click.group(
    cls=Group,
    epilog=examples(
        "gateway plugins list", "gateway plugins info config", "gateway plugins reset weather"
    ),
)
def plugins() -> None:
    """Look at plugins, switch one on again."""


def loaded(operator: Operator) -> dict[str, Plugin]:
    """The plugins by name, those that fail included."""
    from gateway.host.registry import Registry

    return dict(Registry.load(operator.loaded.settings).plugins)


def switched_off(operator: Operator) -> dict[str, str]:
    """Name -> reason for those that the running gateway has switched off."""
    if not operator.running:
        return {}
    answer = operator.ask("status", wait=_WAIT)
    return dict(answer.result.get("switched_off", {})) if answer.done else {}


def describe(plugin: Plugin, off: dict[str, str]) -> dict[str, Any]:
    """A plugin for machines."""
    reason = off.get(plugin.name, "")
    return {
        "name": plugin.name,
        "version": plugin.version or plugin.manifest.version,
        "state": "switched_off" if reason else plugin.state,
        "origin": plugin.origin,
        "requires_api": plugin.manifest.requires_api,
        "hooks": sorted(plugin.hooks),
        "messages": sorted(plugin.messages),
        "commands": sorted(plugin.commands),
        "jobs": [{"name": job.name, "every_seconds": job.every} for job in plugin.manifest.jobs],
        "error": output.clean(reason or plugin.error),
    }


@plugins.command("list", epilog=examples("gateway plugins list --json | jq '.plugins[].name'"))
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """One line for each plugin, those that could not be loaded included."""
    off = switched_off(operator)
    found = [describe(plugin, off) for plugin in loaded(operator).values()]

    def text() -> None:
        operator.table(
            ("PLUGIN", "VERSION", "STATE", "FROM", "WHY"),
            [
                (p["name"], p["version"], p["state"].replace("_", " "), p["origin"], p["error"])
                for p in found
            ],
        )
        broken = next((p for p in found if p["state"] == "switched_off"), None)
        if broken is not None:
            operator.hint(f"gateway plugins reset {broken['name']}")

    operator.show("gateway.plugins.list/1", {"plugins": found}, text)


@plugins.command("info", epilog=examples("gateway plugins info heartbeat"))
@click.argument("plugin")
@json_option
@click.pass_obj
def info(operator: Operator, plugin: str) -> None:
    """What one plugin is and takes part in."""
    found = describe(find(operator, plugin), switched_off(operator))

    def text() -> None:
        for key, value in found.items():
            if key == "jobs":
                every = [f"{j['name']} every {output.span(j['every_seconds'])}" for j in value]
                value = every
            if isinstance(value, list):
                value = ", ".join(value) or "none"
            if value:
                click.echo(f"{key.replace('_', ' '):<13} {value}")

    operator.show("gateway.plugins.info/1", found, text)


def find(operator: Operator, name: str) -> Plugin:
    """The plugin of this name. Raises DataError with a suggestion."""
    known = loaded(operator)
    if name in known:
        return known[name]
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    raise DataError(
        f"there is no plugin {output.clean(name)!r}",
        why=f'did you mean "{close[0]}"?' if close else f"there are {', '.join(known) or 'none'}",
        hint="gateway plugins list",
    )


@plugins.command("reset", epilog=examples("gateway plugins reset weather"))
@click.argument("plugin")
@json_option
@click.pass_obj
def reset(operator: Operator, plugin: str) -> None:
    """Switch a plugin on again that was switched off because it kept failing."""
    result = operator.order("plugins.reset", plugin=find(operator, plugin).name)

    def text() -> None:
        click.echo(f"plugin {plugin} is on; what was kept for it is being done")

    operator.show("gateway.plugins.reset/1", result, text)
