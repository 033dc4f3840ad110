"""The command line: the group `gateway`, its table of commands, and what happens when one fails.

Rules of this file. Importing it costs click and nothing else: a command's module is imported when
the command is called, plugins when somebody asks for a command that is not ours or for the list of
all commands. Data goes to stdout, talk to stderr. Every error is three lines: what, why, what next.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from gateway import __version__
from gateway.cli.hoist import hoist
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings.model import Settings

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("gateway.cli.run:run", "Run the gateway until Ctrl+C."),
    "check": (
        "gateway.cli.check:check",
        "Check the settings and show where each value comes from.",
    ),
    "init": ("gateway.cli.check:init", "Write a commented gateway.toml and make the state folder."),
    "status": ("gateway.cli.status:status", "One screen: broker, nodes, plugins, what waits."),
    "nodes": ("gateway.cli.nodes:nodes", "Look at nodes, watch them, forget one."),
    "node": (
        "gateway.cli.usb.node:node",
        "A board on USB: put the node on it, tell it its settings, watch it.",
    ),
    "plugins": ("gateway.cli.plugins:plugins", "Look at plugins, write one, switch one on."),
    "dead": (
        "gateway.cli.dead:dead",
        "Messages that were refused or given up; replay or drop them.",
    ),
    "backup": ("gateway.cli.backup:backup", "Backups, one file with everything: make, put back."),
    "events": ("gateway.cli.events:events", "Show messages as they come in."),
    "publish": ("gateway.cli.events:publish", "Publish a JSON message through the gateway."),
    "simulate": ("gateway.cli.simulate:simulate", "Start nodes without hardware."),
    "version": (
        "gateway.cli.status:version",
        "Show the version of the gateway and of what it uses.",
    ),
}
"""name -> (where it lives, its line in `gateway --help`; a test compares it with the docstring)."""

_SENTENCE = 200  # longer than any first sentence of a command's help


class Group(click.Group):
    """A group that knows its plugins' commands and says "did you mean"."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command of ours, else one of a plugin."""
        found = super().get_command(ctx, cmd_name)
        if found is None:
            load_plugins(ctx)
            found = super().get_command(ctx, cmd_name)
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, those of plugins included."""
        load_plugins(ctx)
        return super().list_commands(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its whole first sentence: wrapped, never cut."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(_SENTENCE)) for n, c in listed if c])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with our own words for an unknown name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownCommand(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class Root(Group):
    """The group `gateway`: commands from the table, global options in any place, our errors."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.plugins_loaded = False
        self.watched: list[str] | None = None
        """Files that may change what plugins add; None where a plugin failed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in the order of a day's work, then those of plugins by name."""
        load_plugins(ctx)
        return [*COMMANDS, *sorted(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        return self.built_in(cmd_name) or super().get_command(ctx, cmd_name)

    def built_in(self, name: str) -> click.Command | None:
        """A command of the table."""
        if name in COMMANDS and name not in self.commands:
            module, _, attribute = COMMANDS[name][0].partition(":")
            self.commands[name] = getattr(import_module(module), attribute)
        return self.commands.get(name) if name in COMMANDS else None

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a plugin's command. Raises ValueError for a name that is taken."""
        name = name or cmd.name
        if name in COMMANDS or name in self.commands:
            raise ValueError(f"there is a command {name!r} already")
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `gateway --help`, without importing our commands for it."""
        from gateway.cli import known

        stamp = known.stamp(__version__, ctx.params.get("config"))
        added = None if self.plugins_loaded else known.recall(stamp)
        if added is None:
            names = [name for name in self.list_commands(ctx) if name not in COMMANDS]
            added = [(name, self.commands[name].get_short_help_str(_SENTENCE)) for name in names]
            if self.watched is not None:
                known.keep(stamp, added, self.watched)
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()] + added)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take global options that stand behind one of our commands to the front."""
        return super().parse_args(ctx, hoist(args, COMMANDS))

    def main(  # type: ignore[override]  # click declares two overloads that differ by a flag
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run a command; whatever fails is printed for a person and becomes an exit code."""
        run = partial(super().main, args, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(_run(run))


class UnknownCommand(click.UsageError):
    """No such command, with the one that may have been meant."""

    def __init__(self, ctx: click.Context, name: str, known: Sequence[str]) -> None:
        close = get_close_matches(name, known, n=1)
        path = ctx.command_path
        super().__init__(f'"{path} {name}" is no command', ctx=ctx)
        self.why = f'did you mean "{close[0]}"?' if close else ""
        self.hint = f"{path} {close[0]} --help" if close else f"{path} --help"


def load_plugins(ctx: click.Context) -> None:
    """Let plugins add their commands, once; a plugin that fails costs a warning."""
    root = ctx.find_root().command
    if not isinstance(root, Root) or root.plugins_loaded:
        return
    root.plugins_loaded = True
    root.built_in("nodes")  # plugins add commands to this group
    from gateway.host.commands import register

    settings = _settings(ctx.find_root())
    warnings = register(root, settings)
    for line in warnings:
        click.echo(f"warning: {line}", err=True)
    if settings is not None and not warnings:
        root.watched = [*settings.plugins.dirs, *_sources(root)]


def _sources(root: Root) -> list[str]:
    """The files of the commands that plugins added."""
    modules = (getattr(command.callback, "__module__", "") for command in root.commands.values())
    files = (getattr(sys.modules.get(module), "__file__", None) for module in modules)
    return [file for file in files if file]


def _settings(ctx: click.Context) -> Settings | None:
    """Where folders of plugins are named; None where the settings are wrong, because
    `gateway check` must work then, and says what is wrong."""
    from gateway.cli.operator import Operator

    given = ctx.params
    try:
        return Operator(
            config=given.get("config"), state_dir=given.get("state_dir")
        ).loaded.settings
    except GatewayError:
        return None


def json_option(command: Any) -> Any:
    """`--json` for a command that reads."""

    def keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta["gateway.json"] = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=keep, help="Print JSON."
    )(command)


def examples(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _run(command: Any) -> int:
    """The exit code of a command."""
    try:
        result = command()
    except Exception as error:  # noqa: BLE001 - the last resort: one line and an exit code
        from gateway.cli.output import report

        return report(error)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0


def _path(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    from pathlib import Path

    return Path(value) if value else None


@click.command(
    cls=Root,
    name="gateway",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog=examples(
        "gateway init && gateway run        start with nothing but this",
        "gateway run --simulate 3           three nodes without hardware",
        "gateway nodes list",
        "gateway check                      where does each setting come from?",
    ),
)
@click.option(
    "-c",
    "--config",
    metavar="FILE",
    callback=_path,
    is_eager=True,
    help="The settings file to use.",
)
@click.option(
    "--state-dir",
    metavar="DIR",
    callback=_path,
    is_eager=True,
    help="Where the gateway keeps things.",
)
@click.option("-v", "--verbose", count=True, help="Say more (-vv: everything).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--no-color", is_flag=True, help="No colours.")
@click.version_option(__version__, prog_name="gateway", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """Hellogate: a gateway for MicroPython nodes over MQTT."""
    from gateway.cli.operator import Operator

    ctx.obj = Operator(
        config=options["config"],
        state_dir=options["state_dir"],
        verbose=options["verbose"],
        quiet=options["quiet"],
        color=not options["no_color"],
    )


def main() -> None:
    """The console script."""
    cli(prog_name="gateway")
