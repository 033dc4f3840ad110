"""From what somebody wrote to a value of the right type: numbers, durations, sizes, choices, lists.

Pure; a value that does not fit raises `Wrong` with a message and, where one helps, a suggestion.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

from gateway.settings.explain import did_you_mean, one_of

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"\s*([0-9]+)\s*(B|kB|KB|KiB|MB|MiB)?\s*")
_BYTES = {None: 1, "B": 1, "kB": 1000, "KB": 1000, "KiB": 1024, "MB": 10**6, "MiB": 1 << 20}
_TYPES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class Wrong(Exception):
    """A value that does not fit."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


def shown(value: object) -> str:
    """A value as TOML would write it, shortened."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def duration(value: object) -> float:
    """Seconds from "100ms", "30s", "5m", "2h", "1d" or a number. Raises Wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        # by the unit's share, so that "100ms" is 0.1 and not 0.1 and a bit
        number, unit = float(match[1]), match[2]
        return number / 1000 if unit == "ms" else number * _SECONDS[unit]
    raise Wrong("not a duration", _duration_hint(value))


def _duration_hint(value: object) -> str:
    number = re.search(r"[0-9]+", value) if isinstance(value, str) else None
    if number is None:
        return 'write "30s", "5m" or 30'
    unit = re.search(r"[a-z]", str(value)[number.end() :].lower())
    letter = unit.group() if unit and unit.group() in _SECONDS else "s"
    seconds = int(number.group()) * _SECONDS[letter]
    return f'write "{number.group()}{letter}", "{seconds:g}s" or {seconds:g}'


def size(value: object) -> int:
    """Bytes from "64KiB", "1MiB", "100kB" or a whole number. Raises Wrong."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _BYTES[match[2]]
    raise Wrong("not a size", 'write "64KiB" or 65536')


def convert(value: Any, hint: Any) -> Any:
    """The value as this type of `model`. Raises Wrong."""
    if get_origin(hint) is Annotated:
        base, mark = get_args(hint)[:2]
        return _marked(value, base, mark)
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value in choices and not isinstance(value, bool):
            return value
        near = did_you_mean(str(value), map(str, choices)) if isinstance(value, str) else ""
        raise Wrong("not a possible value", near or one_of(choices))
    if get_origin(hint) is list:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        raise Wrong("not a list of texts", 'write ["a", "b"]')
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise Wrong(f"not {_TYPES[hint]}", _type_hint(value, hint))
    if hint in (int, float) and value < 0:
        raise Wrong("below 0")
    return value


def _marked(value: Any, base: type, mark: str) -> Any:
    if mark == "duration":
        return duration(value)
    if mark == "size":
        return size(value)
    if mark == "port":
        number = convert(value, int)
        if not 1 <= number <= 65_535:
            raise Wrong("not a port", "1..65535")
        return number
    return convert(value, base)


def _type_hint(value: object, hint: type) -> str:
    if hint is str:
        return f'write "{value}"' if isinstance(value, int | float) else ""
    if isinstance(value, str) and hint in (int, float) and re.fullmatch(r"[0-9.]+", value):
        return f"write {value} without quotes"
    if isinstance(value, str) and hint is bool and value.lower() in ("true", "false", "yes", "no"):
        return "write " + ("true" if value.lower() in ("true", "yes") else "false")
    return ""
