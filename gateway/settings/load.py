"""File, drop-ins, environment and flags become one `Settings`, and each value knows where it comes from.

Later wins: built-in defaults, gateway.toml, `gateway.d/*.toml` beside it in the order of their
names, `GATEWAY__TABLE__KEY` in the environment, flags. All mistakes are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

import msgspec
import tomli

from gateway.errors import SettingsError
from gateway.settings import rules
from gateway.settings.explain import Place, Problem, did_you_mean, positions
from gateway.settings.model import TABLES, Plugins, Settings
from gateway.settings.values import Wrong, convert, shown

T = TypeVar("T")
PREFIX = "GATEWAY__"
Key = tuple[str, ...]
SECRETS = frozenset({("mqtt", "password"), ("security", "claim_key")})
NOWHERE = Place(0, 0)


class Given(NamedTuple):
    """A value as somebody gave it, and where."""

    value: Any
    origin: str
    file: str
    place: Place


class Section(dict[str, Any]):
    """A plugin's own table, with the places of its keys."""

    places: Mapping[str, Given]


class Loaded(NamedTuple):
    """The settings, where each of them comes from (by dotted name), the files read, and warnings."""

    settings: Settings
    origins: dict[str, str]
    files: list[Path]
    warnings: list[str]


def load(
    path: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read everything. `overrides` are flags by dotted name, `{"mqtt.port": 1884}`.

    Raises SettingsError with every problem in `problems`.
    """
    problems: list[Problem] = []
    given: dict[Key, Given] = {}
    files = list(_files(path, environ))
    for file in files:
        given.update(_read(file, problems))
    given.update(_environment(environ))
    for name, value in (overrides or {}).items():
        flag = "flag --" + name.rpartition(".")[2].replace("_", "-")
        given[tuple(name.split("."))] = Given(value, flag, flag, NOWHERE)
    warnings = _resolve_secrets(given, environ, problems)
    settings = _build(given, problems)
    for key, message, suggestion in rules.broken(settings):
        if key in given:  # what was refused by its type stands at its default, and that is good
            problems.append(_problem(given[key], f"{_shown_key(key)}: {message}", suggestion))
    if problems:
        order = [str(file) for file in files]
        problems.sort(key=lambda p: ((*order, p.file).index(p.file), p.line, p.column))
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise SettingsError(
            f"{Path(problems[0].file).name}: {count}",
            why=str(problems[0]),
            hint="gateway check shows all of them",
            problems=tuple(problems), good_part=settings,
        )  # fmt: skip
    return Loaded(settings, {".".join(k): g.origin for k, g in given.items()}, files, warnings)


def decode_plugin_section(settings: Settings, name: str, struct: type[T]) -> T:
    """A plugin's `[plugins.<name>]` as its own Struct.

    Raises SettingsError with the place of each unknown or wrong key.
    """
    section = settings.plugins.sections.get(name, {})
    places: Mapping[str, Given] = getattr(section, "places", {})
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}  # type: ignore[arg-type] # a Struct
    problems: list[Problem] = []
    for key, value in section.items():
        where = places.get(key, Given(value, "", "", NOWHERE))
        if key not in fields:
            text = f'unknown key "{key}" in [plugins.{name}]'
            problems.append(_problem(where, text, did_you_mean(key, fields)))
            continue
        try:
            msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError as error:
            text = f"[plugins.{name}] {key} = {shown(value)}: {error}"
            problems.append(_problem(where, text))
    if not problems:
        try:
            return msgspec.convert(dict(section), struct)
        except msgspec.ValidationError as error:
            problems.append(Problem(f"[plugins.{name}]", 0, 0, str(error)))
    raise SettingsError(f"[plugins.{name}] is wrong", problems=tuple(problems))


def search(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where gateway.toml is looked for, when nobody names it."""
    yield Path("gateway.toml")
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~"), ".config")
    yield Path(home, "gateway", "gateway.toml")
    yield Path("/etc/gateway/gateway.toml")


def _files(path: Path | str | None, environ: Mapping[str, str]) -> Iterator[Path]:
    named = path or environ.get("GATEWAY_CONFIG")
    if named:
        main = Path(named)
        if not main.exists():
            raise SettingsError(
                f"there is no file {main}",
                why="it was named with --config or GATEWAY_CONFIG",
                hint="gateway init writes one",
                problems=(Problem(str(main), 0, 0, "there is no such file"),),
            )
    else:
        main = next((p for p in search(environ) if p.is_file()), Path())
    if main.is_dir():
        return
    yield main
    yield from sorted((main.parent / "gateway.d").glob("*.toml"))


def _read(file: Path, problems: list[Problem]) -> dict[Key, Given]:
    name = str(file)
    try:
        text = file.read_bytes().decode()
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        message = f"not TOML: {error.msg[:1].lower()}{error.msg[1:]}"
        problems.append(Problem(name, error.lineno, error.colno, message))
        return {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(name, 0, 0, f"cannot be read: {error}"))
        return {}
    places = positions(text)
    return {
        key: Given(value, f"{name}:{place.line}", name, place)
        for key, value in _leaves(document)
        for place in [_place_of(places, key)]
    }


def _place_of(places: Mapping[Key, Place], key: Key) -> Place:
    while key and key not in places:
        key = key[:-1]
    return places.get(key, Place(1, 1))


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    """`[plugins.x]` is one level deeper than the other tables; its values are the plugin's."""
    for name, value in document.items():
        if not isinstance(value, dict) or name not in TABLES:
            yield (name,), value
            continue
        for key, inner in value.items():
            if name == "plugins" and isinstance(inner, dict):
                yield from (((name, key, leaf), found) for leaf, found in inner.items())
            else:
                yield (name, key), inner


def _environment(environ: Mapping[str, str]) -> dict[Key, Given]:
    """`GATEWAY__MQTT__PORT=1884`: a TOML value, or the text itself where it is none."""
    found: dict[Key, Given] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
            origin = f"environment {name}"
            found[key] = Given(_typed(key, text), origin, origin, NOWHERE)
    return found


def _typed(key: Key, text: str) -> Any:
    if _hint(key) is str or key in SECRETS:
        return text
    try:
        return tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        return text


def _hint(key: Key) -> Any:
    owner: Any = Settings if len(key) == 1 else TABLES.get(key[0])
    if owner is None or len(key) > 2:
        return None
    return get_type_hints(owner, include_extras=True).get(key[-1])


def _resolve_secrets(
    given: dict[Key, Given], environ: Mapping[str, str], problems: list[Problem]
) -> list[str]:
    """`{file=...}`, `{env=...}` and `{credential=...}` become their text, for any text field."""
    warnings: list[str] = []
    for key, found in list(given.items()):
        if isinstance(found.value, dict) and key[0] in (*TABLES, "state_dir") and len(key) < 4:
            try:
                given[key] = found._replace(value=_secret(found.value, environ))
            except Wrong as wrong:
                problems.append(
                    _problem(found, f"{_shown_key(key)}: {wrong.message}", wrong.suggestion)
                )
                del given[key]
        elif key in SECRETS and found.value and found.place.line:
            mode = Path(found.file).stat().st_mode
            if mode & 0o044:
                warnings.append(
                    f"{found.origin}: {_shown_key(key)} stands in a file that others may read; "
                    f'chmod 600 {found.file}, or write {{ file = "..." }}'
                )
    return warnings


def _secret(value: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    if len(value) != 1 or not isinstance(next(iter(value.values())), str):
        raise Wrong("not a text", 'write "...", { file = "..." }, { env = "..." }')
    (kind, name), *_ = value.items()
    if kind == "env":
        if name not in environ:
            raise Wrong(f"the environment has no {name}")
        return environ[name]
    if kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY", "")
        path = Path(folder, name) if folder else Path("/nonexistent", name)
    elif kind == "file":
        path = Path(name).expanduser()
    else:
        raise Wrong(f'unknown source "{kind}"', "one of: file, env, credential")
    try:
        return path.read_text().rstrip("\n")
    except OSError as error:
        raise Wrong(f"the secret's file {path} cannot be read: {error.strerror}") from error


def _build(given: Mapping[Key, Given], problems: list[Problem]) -> Settings:
    values: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
    top: dict[str, Any] = {}
    sections: dict[str, Section] = {}
    for key, found in given.items():
        if key[0] == "plugins" and len(key) == 3:
            section = sections.setdefault(key[1], Section())
            section[key[2]] = found.value
            section.places = {**getattr(section, "places", {}), key[2]: found}
            continue
        is_table = key[-1] == "sections" or (len(key) == 1 and key[0] in TABLES)
        hint = None if is_table else _hint(key)
        if hint is None:
            problems.append(_problem(found, *_unknown(key)))
            continue
        try:
            value = convert(found.value, hint)
        except Wrong as wrong:
            shown_value = "***" if key in SECRETS else shown(found.value)
            text = f"{_shown_key(key)} = {shown_value}: {wrong.message}"
            problems.append(_problem(found, text, wrong.suggestion))
            continue
        (top if len(key) == 1 else values[key[0]])[key[-1]] = value
    tables: dict[str, Any] = {name: cls(**values[name]) for name, cls in TABLES.items()}
    tables["plugins"] = Plugins(**values["plugins"], sections=dict(sections))
    return Settings(**top, **tables)


def _unknown(key: Key) -> tuple[str, str]:
    if len(key) == 1 or key[0] not in TABLES:
        name = key[0]
        known = [*TABLES, *(f for f in Settings.__struct_fields__ if f not in TABLES)]
        if name in TABLES:
            return f'"{name}" is a table: write [{name}]', ""
        return f'unknown key "{name}"', did_you_mean(name, known)
    fields = [f for f in TABLES[key[0]].__struct_fields__ if f != "sections"]
    return f'unknown key "{key[-1]}" in [{key[0]}]', did_you_mean(key[-1], fields)


def _problem(found: Given, message: str, suggestion: str = "") -> Problem:
    return Problem(found.file, found.place.line, found.place.column, message, suggestion)


def _shown_key(key: Key) -> str:
    return key[0] if len(key) == 1 else f"[{'.'.join(key[:-1])}] {key[-1]}"
