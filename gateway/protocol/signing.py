"""Signatures on the wire: HMAC-SHA256 in lower-case hex, and the canonical form of commands.

A secret is used as the text it is, never decoded from hex. Comparing takes the same time wherever
two signatures differ. What the two known receivers canonicalise differently is never signed (A7).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from gateway.errors import DataError

DEPTH: Final = 16
LARGEST: Final = 10**15
"""Integral values from here on are printed differently by cJSON; none is sent."""

_ESCAPES = {i: f"\\u{i:04x}" for i in range(0x20)} | {
    ord(sign): "\\" + name for sign, name in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}


def sign(key: str, *parts: object) -> str:
    """Sign the parts, joined by line feeds, with the key's own text."""
    text = "\n".join(str(part) for part in parts)
    return hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def signed(sig: str | None, key: str | None, *parts: object) -> bool:
    """Whether `sig` is the signature of the parts; False where there is no signature or no key.

    Ignores the case of the hex digits. Takes the same time wherever the two differ.
    """
    if not sig or not key:
        return False
    expected = sign(key, *parts).encode()
    return hmac.compare_digest(sig.lower().encode("utf-8", "surrogatepass"), expected)


def sign_command(secret: str, command: Mapping[str, Any]) -> str:
    """Sign a command for a node (A7); a `sig` that it has already is left out.

    Raises:
        DataError: it holds a value that receivers read differently; `what` begins with its path.
    """
    return sign(secret, canonical(command))


def command_text(secret: str, command: Mapping[str, Any]) -> str:
    """Make the text of a signed command as it goes on the wire.

    Its numbers are spelled canonically, because a node with 32 bit floats signs the text it reads.
    """
    text = canonical(command)
    comma = "," if len(text) > 2 else ""
    return f'{text[:-1]}{comma}"sig":"{sign(secret, text)}"}}'


def canonical(command: Mapping[str, Any]) -> str:
    """Write a command without its `sig` in the one form that both ends sign (A7).

    Keys sorted by their UTF-8 bytes on every level, no white space, C's `%.15g` numbers.

    Raises:
        DataError: it holds a value that receivers read differently; `what` begins with its path.
    """
    for key in command:
        if isinstance(key, str) and key != "sig" and key.lower() == "sig":
            raise _unsent(key, "cJSON finds keys in any case and would take this one for sig")
    return _write({key: item for key, item in command.items() if key != "sig"}, "", DEPTH)


def _write(value: Any, path: str, depth: int) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int | float):
        return _number(value, path)
    if not isinstance(value, Mapping | list | tuple):
        raise _unsent(path, f"{type(value).__name__} cannot be said in JSON")
    if depth == 0:
        raise _unsent(path, f"nested deeper than {DEPTH} levels")
    if not isinstance(value, Mapping):
        items = (_write(item, f"{path}[{i}]", depth - 1) for i, item in enumerate(value))
        return f"[{','.join(items)}]"
    pairs = []
    for key in sorted(value, key=lambda key: _sort_key(key, path)):
        below = f"{path}.{key}" if path else key
        pairs.append(f"{_text(key, path)}:{_write(value[key], below, depth - 1)}")
    return f"{{{','.join(pairs)}}}"


def _sort_key(key: Any, path: str) -> bytes:
    if not isinstance(key, str):
        raise _unsent(path, f"a key is {type(key).__name__}, JSON keys are strings")
    return key.encode("utf-8", "surrogatepass")


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _unsent(path, "the text has half of a surrogate pair") from None
    return f'"{value.translate(_ESCAPES)}"'


def _number(value: float, path: str) -> str:
    if isinstance(value, float) and not isfinite(value):
        raise _unsent(path, "NaN and Infinity are no JSON numbers")
    if value == int(value):
        if abs(value) >= LARGEST:
            raise _unsent(path, "whole numbers must stay below 1e15")
        if value == 0 and str(value).startswith("-"):
            raise _unsent(path, "minus zero is 0 for one receiver and -0 for another")
        return str(int(value))
    short = f"{value:.15g}"
    back = float(short)
    if abs(back - value) > max(abs(back), abs(value)) * 2.0**-52:
        return f"{value:.17g}"
    return short


def _unsent(path: str, why: str) -> DataError:
    return DataError(f"{path or 'command'}: {why}")
