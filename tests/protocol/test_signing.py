"""Signatures: against vectors that were made by others, and against A7's words."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DataError
from gateway.protocol.codec import loads
from gateway.protocol.signing import canonical, command_text, sign, sign_command, signed
from gateway.testing import strategies


@pytest.mark.vectors("hmac_vectors.json", "vectors")
def test_commands(case: dict[str, Any]) -> None:
    """Canonical text, its bytes and the signature are those of the vectors."""
    assert canonical(case["command"]) == case["canonical"]
    assert canonical(case["command"]).encode().hex() == case["canonical_utf8_hex"]
    assert sign_command(case["secret"], case["command"]) == case["sig"]
    for wire in (case["wire_utf8"], case["wire_ascii"]):
        command = loads(wire.encode())
        assert signed(command["sig"], case["secret"], canonical(command))


@pytest.mark.vectors("hmac_vectors.json", "vectors")
def test_command_text_is_canonical_and_signed(case: dict[str, Any]) -> None:
    """What goes on the wire is the signed text itself, so that no receiver has to print numbers."""
    text = command_text(case["secret"], case["command"])
    assert text == f'{case["canonical"][:-1]},"sig":"{case["sig"]}"}}'
    assert loads(text.encode())["sig"] == case["sig"]


def test_legacy(vectors: Any) -> None:
    """The old form is a plain signature over one text."""
    case = vectors("hmac_vectors.json")["legacy"]
    assert sign(case["secret"], case["text"]) == case["sig"]


@pytest.mark.vectors("hmac_vectors.json", "negative")
def test_negative(case: dict[str, Any], vectors: Any) -> None:
    """A changed, cut or missing signature is none; the case of its digits does not matter."""
    secret = vectors("hmac_vectors.json")["vectors"][0]["secret"]
    sig = case["command"].get("sig")
    assert signed(sig, secret, canonical(case["command"])) is case["expect"].startswith("accepted")


def test_divergent_values_are_never_signed(vectors: Any) -> None:
    """What two receivers read differently is refused, with the path of the bad value."""
    cases = vectors("hmac_vectors.json")["divergent_do_not_send"]
    assert len(cases) > 5
    for case in cases:
        value = json.loads(case["value_on_wire"])
        command, path = (
            (value, "SIG") if isinstance(value, dict) else ({"params": {"v": value}}, "params.v")
        )
        with pytest.raises(DataError, match=f"^{path}: "):
            sign_command("secret", command)


@pytest.mark.parametrize("name", ["hello.json", "config.json"])
def test_signatures_of_part_b(name: str, vectors: Any) -> None:
    """Hello, receipt, claim and report are signed over the parts that B2, B3, B6 and B9 name."""
    for case in vectors(name)["signatures"]:
        assert sign(case["key"], *case["parts"]) == case["sig"] == sign(case["key"], case["text"])
        assert signed(case["sig"].upper(), case["key"], *case["parts"])


@pytest.mark.vectors("config.json", "envelopes")
def test_envelopes(case: dict[str, Any]) -> None:
    """An envelope is signed over the hash of the document's bytes as sent."""
    assert hashlib.sha256(case["doc"].encode()).hexdigest() == case["sha256"]
    parts = ("config", case["hardware_id"], case["revision"], case["sha256"])
    assert sign(case["key_text"], *parts) == case["sig"]


@pytest.mark.vectors("hello.json", "receipts")
def test_receipts(case: dict[str, Any]) -> None:
    """A receipt counts as signed exactly where its own numbers are signed under the secret."""
    ack = loads(case["payload"].encode())
    parts = [ack[part] for part in ("hardware_id", "boot_id", "seq", "unix_ts", "config_revision")]
    assert signed(ack.get("sig"), case["secret"], "hello_ack", *parts) is case["signed"]


@pytest.mark.parametrize(("sig", "key"), [(None, "k"), ("", "k"), ("a" * 64, None), ("a" * 64, "")])
def test_nothing_is_no_signature(sig: str | None, key: str | None) -> None:
    """Without a signature or without a key nothing is signed."""
    assert not signed(sig, key, "x")


@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=20))
def test_any_text_as_signature(sig: str, key: str, part: str) -> None:
    """Whatever a stranger puts where a signature should be, the answer is yes or no."""
    try:
        expected = sign(key, part)
    except UnicodeEncodeError:
        return
    assert signed(sig, key, part) is (bool(key) and sig.lower() == expected)


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ({"params": {"v": math.nan}}, "params.v"),
        ({"params": {"v": [1, {"w": math.inf}]}}, r"params\.v\[1\]\.w"),
        ({"params": {1: 2}}, "params"),
        ({"params": {"v": b"x"}}, "params.v"),
        ({"params": {"v": "\ud83d"}}, "params.v"),
        ({"Sig": "x"}, "Sig"),
    ],
)
def test_what_is_no_command(command: dict[Any, Any], path: str) -> None:
    """What cannot be said at all is refused with its path too."""
    with pytest.raises(DataError, match=rf"^{path}: "):
        canonical(command)


def test_depth_is_bounded() -> None:
    """16 levels are signed and 17 are refused, as the node counts them."""
    deep: Any = {}
    for _ in range(15):
        deep = {"a": deep}
    assert canonical(deep)
    with pytest.raises(DataError, match="deeper than 16"):
        canonical({"a": deep})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    """A printed number read back is the same but for the last bit, and prints the same again."""
    try:
        text = canonical({"v": value})
    except DataError:
        assert value.is_integer()
        return
    back = json.loads(text)["v"]
    assert math.isclose(back, value, rel_tol=2.0**-52, abs_tol=0.0)
    assert canonical({"v": back}) == text


@given(strategies.documents())
def test_canonical_does_not_see_order_or_spelling(document: dict[str, Any]) -> None:
    """The order of keys and the way over the wire change no signature."""
    try:
        text = canonical(document)
    except DataError:
        return
    turned = dict(reversed(document.items()))
    assert canonical(turned) == text
    assert canonical(json.loads(json.dumps(document, indent=2))) == text
    assert canonical({**document, "sig": "x"}) == canonical({**turned, "sig": None})
