"""`gateway check` and `gateway init`: the settings as they are, and a file to begin with.

Rules of this file. What is wrong is listed completely, on stdout, because it is what was asked for;
secrets are hidden unless somebody asks for them aloud. `init` never changes a file that is there.
"""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.cli import examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import GatewayError, SettingsError, StoreError
from gateway.settings.secret import is_secret

if TYPE_CHECKING:
    from gateway.host.registry import Registry
    from gateway.settings.load import Loaded
    from gateway.settings.model import Settings


class Value(NamedTuple):
    """One setting."""

    name: str
    value: Any
    origin: str
    secret: bool


@click.command(
    epilog=examples(
        "gateway check",
        "gateway check --json | jq '.settings[] | select(.origin != \"default\")'",
        "GATEWAY__MQTT__PORT=1884 gateway check",
    )
)
@click.option("--show-secrets", is_flag=True, help="Show passwords and keys as they are.")
@json_option
@click.pass_obj
def check(operator: Operator, show_secrets: bool) -> int:
    """Check the settings and show where each value comes from.

    Exit code 0 where they are good, 78 where not.
    """
    try:
        loaded = operator.loaded
    except SettingsError as error:
        return _bad(operator, _all_problems(error))
    registry = _registry(loaded.settings)
    if registry.problems:
        return _bad(operator, registry.problems)
    values = effective(loaded, registry)
    warnings = [*loaded.warnings, *registry.warnings, *_strangers(loaded, registry)]
    warnings += [
        f"plugin {p.name}: {p.error}" for p in registry.plugins.values() if p.state == "failed"
    ]

    def text() -> None:
        rows = [(name, output.dumps(value, indent=None), origin) for name, value, origin in shown]
        operator.table(("SETTING", "VALUE", "FROM"), rows)
        files = ", ".join(str(path) for path in loaded.files) or "no file, only defaults"
        operator.say(f"settings are good; read {files}")

    shown = [(v.name, _shown(v, show_secrets), v.origin) for v in values]
    data = {
        "ok": True,
        "problems": [],
        "warnings": warnings,
        "files": [str(path) for path in loaded.files],
        "settings": [dict(zip(("name", "value", "origin"), row, strict=True)) for row in shown],
    }
    for warning in warnings:
        operator.say(f"warning: {output.clean(warning)}")
    operator.show("gateway.check/1", data, text)
    return 0


def _all_problems(error: SettingsError) -> list[Any]:
    """What is wrong, with the mistakes in plugins' own sections."""
    from gateway.settings.model import Settings

    found = list(error.problems) or [error]
    if isinstance(error.good_part, Settings):
        found += _registry(error.good_part).problems
    return found


def _registry(settings: Settings) -> Registry:
    """The plugins with their sections decoded; nothing is started."""
    import logging

    from gateway.host.registry import Registry

    logging.getLogger("gateway").addHandler(logging.NullHandler())  # we print its warnings
    return Registry.load(settings)


def _bad(operator: Operator, problems: list[Any]) -> int:
    listed = [
        {
            "file": getattr(problem, "file", ""),
            "line": getattr(problem, "line", 0),
            "column": getattr(problem, "column", 0),
            "message": getattr(problem, "message", str(problem)),
            "suggestion": getattr(problem, "suggestion", ""),
        }
        for problem in problems
    ]

    def text() -> None:
        for line in output.problem_lines(problems):
            click.echo(line)

    operator.show("gateway.check/1", {"ok": False, "problems": listed}, text)
    return SettingsError.exit_code


def effective(loaded: Loaded, registry: Registry) -> list[Value]:
    """Every setting with its value and its origin, in the order of gateway.toml."""
    from gateway.settings.load import SECRETS
    from gateway.settings.model import TABLES

    found: list[Value] = []

    def add(name: str, value: Any, *, secret: bool) -> None:
        found.append(Value(name, value, loaded.origins.get(name, "default"), secret))

    for name in loaded.settings.__struct_fields__:
        table = getattr(loaded.settings, name)
        if name not in TABLES:
            add(name, table, secret=False)
            continue
        for key in table.__struct_fields__:
            if key != "sections":
                add(f"{name}.{key}", getattr(table, key), secret=(name, key) in SECRETS)
    for plugin in registry.ready():
        for key in getattr(plugin.config, "__struct_fields__", ()):
            value = getattr(plugin.config, key)
            add(f"plugins.{plugin.name}.{key}", value, secret=is_secret(key))
    return found


def _shown(value: Value, show_secrets: bool) -> Any:
    hidden = value.secret and value.value and not show_secrets
    return output.HIDDEN if hidden else value.value


def _strangers(loaded: Loaded, registry: Registry) -> list[str]:
    """Sections of plugins that are not there."""
    found = []
    for name in loaded.settings.plugins.sections:
        if name not in registry.plugins:
            close = get_close_matches(name, registry.plugins, n=1)
            hint = f', did you mean "{close[0]}"?' if close else ""
            found.append(f"[plugins.{name}]: there is no plugin of this name{hint}")
    return found


@click.command(epilog=examples("gateway init", "gateway --state-dir /var/lib/gateway init --yes"))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def init(operator: Operator, yes: bool) -> None:
    """Write a commented gateway.toml and make the state folder.

    The file is the one named by --config, else gateway.toml here. What is there is kept.
    """
    path = operator.config or Path("gateway.toml")
    exists = path.exists()
    if exists:
        folder = operator.state_dir  # what is there may name one
    else:
        folder = operator.given_dir or Path("~/.local/state/gateway").expanduser()
    asks = sys.stdin.isatty() and not yes
    if asks and not exists and not click.confirm(f"write {path}?", default=True, err=True):
        operator.say("nothing done")
        return
    if exists:
        click.echo(f"kept      {path}")
    else:
        _write(path, sample(operator.given_dir))
        click.echo(f"wrote     {path}")
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"the state folder {folder} cannot be made",
            why=error.strerror or str(error),
            hint="name another one: gateway --state-dir DIR init",
        ) from error
    click.echo(f"{'made' if made else 'kept':<9} {folder}")
    operator.hint("gateway check, then gateway run")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        raise GatewayError(
            f"{path} cannot be written",
            why=error.strerror or str(error),
            hint="name another place: gateway --config FILE init",
        ) from error


def sample(state_dir: Path | None) -> str:
    """The commented default file, on this state folder."""
    import gateway

    package = Path(gateway.__file__).parent
    places = (package / "_gateway.toml", package.parent / "gateway.toml")
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        raise GatewayError(
            "the commented settings are not here",
            why=f"neither {places[0]} nor {places[1]} exists",
            hint="install the gateway again",
        )
    text = source.read_text()
    if state_dir is None:
        return text
    line = f"state_dir = {output.dumps(str(state_dir), indent=None)}"
    return re.sub(r'^state_dir = "[^"]*"', lambda _: line, text, count=1, flags=re.MULTILINE)
