"""What the settings stand on: files that they name, and what stands nowhere in a file.

For a backup, which has to bring along everything that another machine lacks, and for one that has to
leave the secrets behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from gateway.settings.load import PREFIX
from gateway.settings.secret import is_secret

_FILES = ("tls_ca", "tls_cert", "tls_key")
_PLACES = (PREFIX + "STATE_DIR", PREFIX + "LOG_LEVEL")
_ASSIGNED = re.compile(r"^(\s*[\w.\"'-]+\s*=\s*)(\"[^\"\n]*\"|'[^'\n]*')", re.MULTILINE)


class Sources(NamedTuple):
    """Files that the settings name, and what comes from elsewhere, in words."""

    files: list[Path]
    elsewhere: list[str]


def sources(files: Iterable[Path], environ: Mapping[str, str]) -> Sources:
    """Look through settings files that were loaded without a problem."""
    found: list[Path] = []
    elsewhere: list[str] = []
    for file in files:
        for key, value in _leaves(tomli.loads(file.read_text("utf-8"))):
            if key[-1] in _FILES and isinstance(value, str) and value:
                found.append(Path(value).expanduser())
            elif isinstance(value, dict) and "file" in value:
                found.append(Path(str(value["file"])).expanduser())
            elif isinstance(value, dict):
                (kind, name), *_ = value.items()
                elsewhere.append(f"{'.'.join(key)}, which comes from {kind} {name}")
    elsewhere += [f"{n} of the environment" for n in sorted(environ) if _is_ours(n)]
    return Sources(list(dict.fromkeys(found)), elsewhere)


def without_secrets(text: str) -> str | None:
    """The text of a settings file with its secrets emptied; None where that is not certain."""

    def emptied(match: re.Match[str]) -> str:
        name = match[1].partition("=")[0].strip().strip("\"'").rpartition(".")[2]
        return f'{match[1]}""' if is_secret(name) else match[0]

    left = _ASSIGNED.sub(emptied, text)
    try:
        document = tomli.loads(left)
    except tomli.TOMLDecodeError:
        return None
    # { file = "..." } names a place and keeps its secret to itself
    open_ones = [k for k, v in _leaves(document) if v and is_secret(k[-1]) and isinstance(v, str)]
    return None if open_ones else left


def _leaves(value: Mapping[str, Any], key: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, inner in value.items():
        is_source = isinstance(inner, dict) and set(inner) <= {"file", "env", "credential"}
        if isinstance(inner, dict) and not (is_source and len(inner) == 1):
            yield from _leaves(inner, (*key, name))
        else:
            yield (*key, name), inner


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and name not in _PLACES
