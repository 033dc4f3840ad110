"""Documents beside each other: secrets hidden, paths, what differs (PROTOCOL B6, A6.2).

Rules of this file. Pure. Whatever leaves this plugin for a person's eyes goes through `redacted`.
Channels are told apart by their names, never by their place in the list.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway import DataError

HIDDEN = "***"
_SECRET = re.compile(
    r"(^|[_.])(pass|passwd|password|passphrase|psk|secret|token|credential)s?$"
    r"|(^|[_.])(claim|private|api|secret)_?key$",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?:^|\.)([A-Za-z0-9_-]+)|\[([A-Za-z0-9_-]+)\]")
# not compared with what a foreign node shows: it merges, adds or hides these itself
_OWN_AFFAIRS = frozenset({"wifi", "mqtt", "fw_version"})
_GONE = object()


class Change(NamedTuple):
    """One path that differs; None stands for absent."""

    path: str
    before: Any
    after: Any


def is_secret(key: str) -> bool:
    """True for a key whose value nobody may see."""
    return _SECRET.search(key) is not None


def redacted(value: Any) -> Any:
    """A copy in which every secret is hidden."""
    if isinstance(value, Mapping):
        return {k: HIDDEN if is_secret(str(k)) else redacted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    return value


def without_hidden(value: Any) -> Any:
    """A redacted document as the base of a new one: what was hidden is left out, and the two
    sections that live on secrets become "keep what you have"."""
    if isinstance(value, Mapping):
        kept = {k: without_hidden(v) for k, v in value.items() if v != HIDDEN}
        return {k: {"configured": True} if k in ("wifi", "mqtt") else v for k, v in kept.items()}
    return [without_hidden(inner) for inner in value] if isinstance(value, list) else value


def hidden_in(value: Any, path: str = "") -> Iterator[str]:
    """The paths at which a document holds what a shown one has in place of a secret."""
    if isinstance(value, (Mapping, list)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in pairs:
            dotted = f"{path}.{key}" if path else str(key)
            yield from hidden_in(inner, f"{path}[{key}]" if isinstance(value, list) else dotted)
    elif value == HIDDEN:
        yield path


def without_own_affairs(reported: dict[str, Any], desired: dict[str, Any]) -> None:
    """Take out of both what a node adds by itself or was told to keep as it has it."""
    for key in _OWN_AFFAIRS:
        if desired.get(key) in (None, {"configured": True}):
            reported.pop(key, None)
            desired.pop(key, None)


def differing(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> list[str]:
    """The desired paths that a foreign node's report does not show; only desired keys count."""
    return [path for path, _want in _missing(desired, reported, "")]


def _missing(want: Mapping[str, Any], have: Any, path: str) -> Iterator[tuple[str, Any]]:
    for key, value in want.items():
        if is_secret(key) or (not path and key in _OWN_AFFAIRS):
            continue
        at = f"{path}.{key}" if path else key
        other = have.get(key, _GONE) if isinstance(have, Mapping) else _GONE
        yield from _unlike(value, other, at)


def _unlike(want: Any, have: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(want, Mapping):
        if isinstance(have, Mapping):
            yield from _missing(want, have, at)
        elif want:
            yield at, want
    elif isinstance(want, list) and _named(want):
        there = _by_name(have) if isinstance(have, list) else {}
        for name, entry in _by_name(want).items():
            yield from _unlike(entry, there.get(name, _GONE), f"{at}[{name}]")
    elif isinstance(want, list):
        if not isinstance(have, list) or len(want) != len(have):
            yield at, want
            return
        for i, (one, other) in enumerate(zip(want, have, strict=True)):
            yield from _unlike(one, other, f"{at}[{i}]")
    elif not _same(want, have):
        yield at, want


def _same(want: Any, have: Any) -> bool:
    if want is None:
        return have is None or have is _GONE
    if isinstance(want, bool) or isinstance(have, bool):
        return want is have
    if isinstance(want, (int, float)) and isinstance(have, (int, float)):
        # a microcontroller's float has 32 bits
        return math.isclose(want, have, rel_tol=1e-6, abs_tol=1e-9)
    return bool(want == have)


def _named(entries: list[Any]) -> bool:
    return all(isinstance(e, Mapping) and isinstance(e.get("name"), str) for e in entries)


def _by_name(entries: list[Any]) -> dict[str, Any]:
    return {
        e["name"]: e for e in entries if isinstance(e, Mapping) and isinstance(e.get("name"), str)
    }


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Everything that differs, secrets as a fact without a value."""
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    found = []
    for path in [*old, *(p for p in new if p not in old)]:
        a, b = old.get(path, _GONE), new.get(path, _GONE)
        if a is not _GONE and b is not _GONE and _same(a, b):
            continue
        if is_secret(path):
            a, b = (v if v is _GONE else HIDDEN for v in (a, b))
        found.append(Change(path, None if a is _GONE else a, None if b is _GONE else b))
    return found


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        names = _named(value)
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{inner['name'] if names else i}]")
    else:
        yield path, value


def with_value(document: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with `value` at `path`; None takes the key away.

    `channels[1].unit` and `channels[ph_sensor].unit` both work. Raises DataError where the path
    leads nowhere.
    """
    made = copy.deepcopy(dict(document))
    steps = _steps(path)
    place: Any = made
    for i, step in enumerate(steps[:-1]):
        here = _find(place, step)
        if here is _GONE and isinstance(place, dict) and isinstance(steps[i + 1], str):
            here = place[step] = {}
        if here is _GONE or not isinstance(here, (dict, list)):
            raise _nowhere(path, f"there is nothing at step {i + 1} ({step})")
        place = here
    last = steps[-1]
    if isinstance(place, list):
        index = _index(place, last)
        if index is None:
            raise _nowhere(path, f"the list has no entry {last}")
        if value is None:
            del place[index]
        else:
            place[index] = value
    elif value is None:
        place.pop(str(last), None)
    else:
        place[str(last)] = value
    return made


def _steps(path: str) -> list[Any]:
    steps: list[Any] = []
    end = 0
    for match in _PATH.finditer(path):
        if match.start() != end:
            break
        end = match.end()
        index = match[2]
        steps.append(match[1] if index is None else (int(index) if index.isdigit() else (index,)))
    if not steps or end != len(path) or not isinstance(steps[0], str):
        raise _nowhere(path, "a path looks like mqtt.port or channels[ph_sensor].unit")
    return steps


def _find(place: Any, step: Any) -> Any:
    if isinstance(place, list):
        index = _index(place, step)
        return _GONE if index is None else place[index]
    return place.get(step, _GONE) if isinstance(place, dict) and isinstance(step, str) else _GONE


def _index(entries: list[Any], step: Any) -> int | None:
    if isinstance(step, int):
        return step if step < len(entries) else None
    if isinstance(step, tuple):
        return next((i for i, e in enumerate(entries) if _name_of(e) == step[0]), None)
    return None


def _name_of(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, Mapping) else None


def _nowhere(path: str, why: str) -> DataError:
    return DataError(f"{path!r} is no place in the document", why=why)


def text_of(document: Mapping[str, Any]) -> str:
    """For a person: two blanks of indent, the keys in their order."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """The document in a file called `name`. Raises DataError that says where it is no JSON."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{name} holds the key {twice!r} twice in one object")
        return made

    try:
        made = json.loads(content.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name} is no JSON", why=str(error), hint="gateway config schema --type ph"
        ) from error
    if not isinstance(made, dict):
        raise DataError(f"{name} is no config", why="a config is a JSON object")
    return made
