"""What we send: compact UTF-8 JSON, or an error with the way to the bad value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from gateway.errors import DataError
from gateway.protocol.codec import encode, loads
from gateway.protocol.scan import SAFE_INT
from gateway.testing import strategies


class Word(StrEnum):
    """A text that is more than a text."""

    OPEN = "open"


def test_encode_is_compact_utf8() -> None:
    """No white space, no escapes for letters, subclasses as what they are."""
    document: Mapping[str, Any] = MappingProxyType(
        {"a": [1, 2.5, None, True], "ключ": "é🌱/", "t": (1, Word.OPEN), Word.OPEN: {}}
    )
    assert (
        encode(document)
        == '{"a":[1,2.5,null,true],"ключ":"é🌱/","t":[1,"open"],"open":{}}'.encode()
    )


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"channels": [{}, {"value": math.nan}]}, r"^channels\[1\]\.value: NaN is no JSON number"),
        ({"a": {"b": -math.inf}}, r"^a\.b: Infinity"),
        ({"a": SAFE_INT + 1}, r"^a: an integer beyond 2\^53"),
        ({"a": [b"x"]}, r"^a\[0\]: bytes cannot be said"),
        ({"a": {1, 2}}, r"^a: set cannot be said"),
        ({"a": {1: 2}}, r"^a: a key is int"),
        ({"a": "\ud83d"}, r"^a: the text has half"),
        ({"\ud83d": 1}, r"^payload: the text has half"),
        (object(), r"^payload: object cannot be said"),
    ],
)
def test_encode_names_the_path(document: Any, what: str) -> None:
    """What cannot be said in JSON is refused at once, with the way to the bad value."""
    with pytest.raises(DataError, match=what):
        encode(document)


def test_encode_refuses_depth_and_circles() -> None:
    """A document that contains itself ends in an error with a path, not in a RecursionError."""
    circle: dict[str, Any] = {}
    circle["a"] = circle
    with pytest.raises(DataError, match=r"^a\.a\.a.*deeper than 16"):
        encode(circle)


@given(strategies.documents())
def test_what_is_encoded_is_taken(document: dict[str, Any]) -> None:
    """Whatever we may send, we would take, and it says the same."""
    assert loads(encode(document), limit=10**7) == document
