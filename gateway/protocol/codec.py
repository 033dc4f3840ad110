"""Bytes to events and documents to bytes, with the limits and refusal words of PROTOCOL B8.

On the path of every message, so it is quick where it can prove that nothing is wrong: msgspec
decodes, then one walk over the result shows depth, integers and the number of keys; as many colons
in the text as keys in the result means that no key came twice. In doubt `scan` reads the text.
No clock, no I/O; errors name paths and types, never values, because values may be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec

from gateway.errors import DataError, Refusal
from gateway.protocol.messages import Event, LastWill, NodeHello
from gateway.protocol.scan import SAFE_INT, scan
from gateway.protocol.topics import is_hardware_id

LIMIT: Final = 65_536
"""Bytes of payload that the gateway takes, unless configured otherwise."""
DEPTH: Final = 16
"""Levels of objects and arrays within each other."""

E = TypeVar("E", bound=Event)

_decode = msgspec.json.Decoder().decode
_BOOT = re.compile(r"[0-9a-f]{8}")


def loads(payload: bytes, *, limit: int = LIMIT, depth: int = DEPTH) -> Any:
    """Decode a JSON payload that every reader of the wire reads in the same way.

    Raises:
        Refusal: `too_big`, `not_utf8`, `not_json` or `depth`; the first that is found.
    """
    if len(payload) > limit:
        raise Refusal(
            "too_big", f"{len(payload)} bytes, {len(payload) - limit} more than the {limit} allowed"
        )
    try:
        value = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _scan(payload, depth)
        # the scan found nothing, so one of the two is wrong: stay on the safe side
        word = "depth" if isinstance(error, RecursionError) else "not_json"
        raise Refusal(word, "the JSON decoder refuses this text") from error
    if not _proved(value, payload, depth):
        _scan(payload, depth)
    return value


def _proved(value: Any, payload: bytes, depth: int) -> bool:
    """Whether the decoded value alone shows that the exact scan would pass.

    Each pair of an object has one colon outside of strings, so there are at least as many colons as
    pairs and at least as many pairs as decoded keys. Equal ends mean that no pair was lost. Strings
    with colons in them (times, addresses) take the second count, which looks at `":` only and holds
    where nothing stands between a key and its colon.
    """
    if type(value) is dict and depth > 0 and _flat(value):
        keys = len(value)
    elif (keys := _keys(value, depth)) < 0:
        return False
    if payload.count(b":") == keys:
        return True
    apart = b" :" in payload or b"\n:" in payload or b"\t:" in payload or b"\r:" in payload
    return not apart and payload.count(b'":') == keys


def _flat(value: dict[str, Any]) -> bool:
    """Whether an object holds only scalars that everybody reads alike: nearly every message."""
    for item in value.values():
        kind = type(item)
        if kind is int:
            if not -SAFE_INT <= item <= SAFE_INT:
                return False
        elif kind is dict or kind is list:
            return False
    return True


def _keys(value: Any, depth: int) -> int:
    """Count the keys in all objects; -1 where it nests too deep or an integer is too big."""
    keys = 0
    boxes: list[Iterable[Any]] = [(value,)]
    for _ in range(depth + 1):
        below: list[Iterable[Any]] = []
        for box in boxes:
            for item in box:
                kind = type(item)
                if kind is int:
                    if not -SAFE_INT <= item <= SAFE_INT:
                        return -1
                elif kind is dict:
                    keys += len(item)
                    below.append(item.values())
                elif kind is list:
                    below.append(item)
        if not below:
            return keys
        boxes = below
    return -1


def _scan(payload: bytes, depth: int) -> None:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Refusal("not_utf8", f"byte {error.start} is no UTF-8") from None
    scan(text, depth)


def decode(cls: type[E], payload: bytes, *, limit: int = LIMIT, depth: int = DEPTH) -> E:
    """Decode one message of a node into its event; the source is the caller's to plant.

    Raises:
        Refusal: what `loads` raises, or `schema` with the path and the type that was expected.
    """
    if issubclass(cls, LastWill) and payload.strip().lower() == b"offline":
        return cls()
    value = loads(payload, limit=limit, depth=depth)
    if type(value) is not dict:
        raise Refusal("schema", "the payload is JSON but not an object")
    value.pop("@source", None)  # the gateway's own field, never the wire's
    if issubclass(cls, NodeHello):
        _hello(value)
    try:
        event = msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise Refusal("schema", str(error)) from None
    boot_id = event.boot_id
    if boot_id is not None and _BOOT.fullmatch(boot_id) is None:
        raise Refusal("schema", "boot_id must be 8 lower-case hex digits - at `$.boot_id`")
    if event.seq is not None and event.seq < 1:
        raise Refusal("schema", "seq counts from 1 - at `$.seq`")
    return event


def _hello(value: dict[str, Any]) -> None:
    """Judge the two fields that make a hello (A2, B1); the hardware_id becomes lower case."""
    if value.get("message_type") != "node_hello":
        raise Refusal("schema", 'message_type must be "node_hello" - at `$.message_type`')
    name = value.get("hardware_id")
    if not isinstance(name, str):
        return  # conversion says what is missing
    # a few letters outside of ASCII have lower-case forms inside of it
    if not name.isascii() or not is_hardware_id(name.lower()):
        raise Refusal(
            "schema",
            "hardware_id must be letters, digits, - and _, at most 128 - at `$.hardware_id`",
        )
    value["hardware_id"] = name.lower()


def encode(payload: Mapping[str, Any]) -> bytes:
    """Make compact UTF-8 JSON that a node can read.

    Raises:
        DataError: a value cannot be said in JSON, or nodes would refuse it; `what` begins with its
            path, for example `channels[1].value: NaN is no JSON number`.
    """
    return msgspec.json.encode(plain(payload))


def plain(value: Any, path: str = "", depth: int = DEPTH) -> Any:
    """Copy a document into plain dictionaries, lists and scalars.

    Raises:
        DataError: as for `encode`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _plain_text(value, path)
    if isinstance(value, int):
        if not -SAFE_INT <= value <= SAFE_INT:
            raise _unsaid(path, "an integer beyond 2^53 is another number for some readers")
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            name = "NaN" if value != value else "Infinity"  # noqa: PLR0124 - only NaN differs
            raise _unsaid(path, f"{name} is no JSON number")
        return float(value)
    if not isinstance(value, Mapping | list | tuple):
        raise _unsaid(path, f"{type(value).__name__} cannot be said in JSON")
    if depth == 0:
        raise _unsaid(path, f"nested deeper than {DEPTH} levels")
    if isinstance(value, Mapping):
        return _plain_object(value, path, depth)
    return [plain(item, f"{path}[{i}]", depth - 1) for i, item in enumerate(value)]


def _plain_object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _unsaid(path, f"a key is {type(key).__name__}, JSON keys are strings")
        name = _plain_text(key, path)
        copy[name] = plain(item, f"{path}.{name}" if path else name, depth - 1)
    return copy


def _plain_text(value: str, path: str) -> str:
    try:
        return value.encode().decode()
    except UnicodeEncodeError:
        raise _unsaid(path, "the text has half of a surrogate pair") from None


def _unsaid(path: str, why: str) -> DataError:
    return DataError(f"{path or 'payload'}: {why}")
