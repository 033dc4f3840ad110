"""The exact scan of a JSON text (PROTOCOL B8): slow, iterative, and the last word.

JSON decoders take more than both ends of our wire agree on: duplicate keys, integers beyond 2^53,
any depth. This scanner reads the text once from left to right and refuses the first thing that is
wrong. It keeps its own stack, so no nesting can exhaust Python's. `codec` asks it only in doubt.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Final

import msgspec

from gateway.errors import Refusal

SAFE_INT: Final = 2**53
"""Integers up to here are the same number for everybody, 64 bit floats included."""

_SPACE = re.compile(r"[ \t\n\r]*+")
_TOKEN = re.compile(
    r"""(?:
    (?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")
    |(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
    |(?P<word>true|false|null)
    |(?P<mark>[{}\[\]:,])
    )[ \t\n\r]*+""",
    re.VERBOSE,
)

# What may come next in each state: s a string, v another scalar, the marks themselves.
_ALLOWED: Final = {
    "value": "sv{[",
    "first": "sv{[]",
    "key": "s",
    "first_key": "s}",
    "colon": ":",
    "after": ",}]",
}


def scan(text: str, depth: int) -> None:
    """Read the whole text and return if everybody would read the same document.

    Raises:
        Refusal: `depth` where it nests deeper than allowed; `not_json` for everything else.
    """
    state = "value"
    stack: list[set[str] | None] = []  # the keys so far of each open object, None for an array
    at = _SPACE.match(text).end()  # type: ignore[union-attr]  # the pattern matches everywhere
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _bad(at, "this is not JSON")
        kind = match.lastgroup
        token = match[kind or 0]
        sign = token if kind == "mark" else "s" if kind == "string" else "v"
        if sign not in _ALLOWED[state] or (state == "after" and not _fits(sign, stack)):
            raise _bad(at, "this cannot stand here")
        if sign in "{[":
            if len(stack) == depth:
                raise Refusal("depth", f"nested deeper than {depth} levels at character {at}")
            stack.append(set() if sign == "{" else None)
            state = "first_key" if sign == "{" else "first"
        elif sign in "}]":
            stack.pop()
            state = "after"
        elif sign == ",":
            state = "value" if stack[-1] is None else "key"
        elif sign == ":":
            state = "value"
        else:
            state = _scalar(token, at, kind == "number", stack if "key" in state else None)
        at = match.end()
    if state != "after" or stack:
        raise _bad(at, "the text ends too early")


def _fits(sign: str, stack: list[set[str] | None]) -> bool:
    """Whether a comma or a closing bracket belongs to what is open."""
    if not stack:
        return False
    return sign == "," or (stack[-1] is None) == (sign == "]")


def _scalar(token: str, at: int, number: bool, stack: list[set[str] | None] | None) -> str:
    """Judge a string or a scalar; `stack` is given where it is a key. Return the next state."""
    if number:
        _number(token, at)
    if token[0] != '"':
        return "after"
    text = _text(token, at)
    if stack is None:
        return "after"
    keys = stack[-1]
    assert keys is not None  # only objects have keys
    if text in keys:
        raise _bad(at, f"the key {text[:40]!a} comes twice")
    keys.add(text)
    return "colon"


def _number(token: str, at: int) -> None:
    if any(sign in token for sign in ".eE"):
        if isinf(float(token)):
            raise _bad(at, "a number is beyond what a float can hold")
    elif len(token) > 17 or abs(int(token)) > SAFE_INT:
        raise _bad(at, "an integer is beyond 2^53")


def _text(token: str, at: int) -> str:
    """What a string says once its escapes are read."""
    if "\\" not in token:
        return token[1:-1]
    try:
        return msgspec.json.decode(token.encode(), type=str)
    except msgspec.DecodeError:
        raise _bad(at, "a string has half of a surrogate pair") from None


def _bad(at: int, why: str) -> Refusal:
    return Refusal("not_json", f"{why} (character {at})")
