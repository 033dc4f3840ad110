"""`gateway plugins`: which there are, what one does, switching one on again; writing a new one.

Rules of this file. Plugins are loaded here as the gateway would load them, in this process and
without starting anything; whether one is switched off is asked from the running gateway.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError

if TYPE_CHECKING:
    from gateway.host.check import Fault, Report
    from gateway.host.plugin import Plugin

_WAIT = 2.0


@click.group(
    cls=Group,
    epilog=examples(
        "gateway plugins list",
        "gateway plugins info config",
        "gateway plugins reset weather",
        "gateway plugins new door-sensor",
        "gateway plugins check door-sensor",
    ),
)
def plugins() -> None:
    """Look at plugins, write one, switch one on."""


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


@plugins.command("new", epilog=examples("gateway plugins new door-sensor"))
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The project's folder (NAME, here).",
)
@json_option
@click.pass_obj
def new(operator: Operator, name: str, into: Path | None) -> None:
    """Write a plugin's project: code, a table, settings and its own tests, ready to run."""
    from gateway.host.registry import Registry
    from gateway.host.scaffold import write

    taken = Registry.load(operator.loaded.settings).plugins
    if name.replace("-", "_") in taken:
        raise DataError(f"there is a plugin {name} already", hint="gateway plugins list")
    folder = into or Path(name)
    files = write(name, folder)

    def text() -> None:
        for path in files:
            click.echo(f"wrote     {path}")
        operator.say(f"next: cd {folder} && python -m pytest -q && gateway plugins check .")

    data = {"name": name, "files": [str(path) for path in files]}
    operator.show("gateway.plugins.new/1", data, text)


@plugins.command(
    "check", epilog=examples("gateway plugins check .", "gateway plugins check door.py")
)
@click.argument("path", type=click.Path(path_type=Path), default=".")
@json_option
@click.pass_context
def check(ctx: click.Context, path: Path) -> None:
    """What the gateway would have against the plugins at PATH, with file and line.

    PATH is a plugin's file or package, its project's folder, or a folder of `[plugins] dirs`.
    """
    from gateway.host.check import check as look
    from gateway.host.check import plugins_in

    found = plugins_in(path) if path.exists() else []
    if not found:
        raise DataError(
            f"there is no plugin at {output.clean(path)}",
            why="a plugin is a .py file, or a folder with __init__.py",
            hint="gateway plugins new door-sensor",
        )
    reports = [with_tables(look(one)) for one in found]
    good = all(report.ok for report in reports)
    data = {"ok": good, "plugins": [as_data(report, path) for report in reports]}

    def text() -> None:
        for report in reports:
            for line in report_lines(report, path):
                click.echo(line)

    ctx.obj.show("gateway.plugins.check/1", data, text)
    ctx.exit(0 if good else DataError.exit_code)


def with_tables(report: Report) -> Report:
    """The report, and what a fresh store has against the plugin's tables."""
    from tempfile import TemporaryDirectory

    from gateway.errors import GatewayError
    from gateway.host.check import Fault
    from gateway.store.migrations import migrate_core, migrate_plugin
    from gateway.store.sqlite import open_writer

    folder = report.plugin.migrations
    if folder is None or not report.ok:
        return report
    with TemporaryDirectory() as place:
        connection = open_writer(Path(place) / "check.db", "OFF")
        try:
            migrate_core(connection)
            migrate_plugin(connection, report.plugin.name, folder)
        except GatewayError as error:
            why = "; ".join(part for part in (error.what, error.why, error.hint) if part)
            return report._replace(faults=[Fault(why, str(folder))])
        finally:
            connection.close()
    return report


def as_data(report: Report, path: Path) -> dict[str, Any]:
    """A report for machines."""
    faults = [
        {"file": short(fault.file, path), "line": fault.line, "message": output.clean(fault.text)}
        for fault in report.faults
    ]
    return {"name": report.plugin.name, "ok": report.ok, "problems": faults}


def report_lines(report: Report, path: Path) -> list[str]:
    """A report for people: one line for each fault, places and suggestions in columns."""
    if report.ok:
        what = ", ".join(sorted(report.plugin.hooks))
        return [f"{report.plugin.name}: no problem ({what})"]
    cells = []
    for fault in report.faults:
        message, mark, guess = output.clean(fault.text).partition("; did you mean ")
        cells.append((placed(fault, path), message, f"did you mean {guess}" if mark else ""))
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    lines = [f"  {a:<{widths[0]}}  {b:<{widths[1]}}   {c}".rstrip() for a, b, c in cells]
    return [f"{report.plugin.name}: {output.count(len(cells), 'problem')}", *lines]


def placed(fault: Fault, path: Path) -> str:
    """Where a fault is, as seen from the folder that was named."""
    return fault._replace(file=short(fault.file, path)).place


def short(file: str, path: Path) -> str:
    """A file's name below the folder that was named."""
    place, top = Path(file), path.resolve()
    if file and place.is_absolute() and place.is_relative_to(top) and place != top:
        return str(place.relative_to(top))
    return file
