"""What is wrong, where it stands, and what was probably meant. Pure functions over text.

tomli tells where broken TOML breaks but not where a key stands, so `positions` reads the text once
more, just far enough to know the line and column of each key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One mistake. `line` is 0 where it has no place in a file (environment, flag)."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f" ({self.suggestion})" if self.suggestion else "")


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "keepalive"?`, or "" where nothing is near."""
    near = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def one_of(words: Iterable[object]) -> str:
    """`one of: open, approve, claim`."""
    return "one of: " + ", ".join(map(str, words))


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)")


def positions(text: str) -> dict[tuple[str, ...], Place]:
    """The place of each table and key of a valid TOML text.

    The elements of an array of tables share the place of the last one. Keys within inline tables
    stand at the place of the key that they belong to.
    """
    found: dict[tuple[str, ...], Place] = {}
    table: tuple[str, ...] = ()
    at = 0
    while True:
        match = _BLANK.match(text, at)
        at = match.end() if match else at
        if at >= len(text):
            return found
        start = at
        if text[at] == "[":
            table, at = _key(text, at + (2 if text.startswith("[[", at) else 1))
            found[table] = _place(text, start)
            at = _line_end(text, at)
            continue
        key, at = _key(text, at)
        for depth in range(1, len(key) + 1):
            found.setdefault(table + key[:depth], _place(text, start))
        at = _skip_value(text, text.index("=", at) + 1)


def _place(text: str, at: int) -> Place:
    return Place(text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _key(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """A dotted key from here, and where it ends."""
    parts: list[str] = []
    while True:
        at = _space(text, at)
        if match := _STRING.match(text, at):
            parts.append(_ESCAPE.sub(r"\1", match.group()[1:-1]))
        elif match := _BARE.match(text, at):
            parts.append(match.group())
        else:
            return tuple(parts), at
        at = _space(text, match.end())
        if not text.startswith(".", at):
            return tuple(parts), at
        at += 1


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _skip_value(text: str, at: int) -> int:
    """Where the value ends: at the end of a line, outside of brackets and strings."""
    depth = 0
    while at < len(text):
        character = text[at]
        if match := _STRING.match(text, at):
            at = match.end()
            continue
        if character == "#":
            at = _line_end(text, at)
            continue
        if character == "\n" and depth == 0:
            return at
        depth += (character in "[{") - (character in "]}")
        at += 1
    return at
