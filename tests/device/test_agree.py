"""Both ends of the wire read the same bytes alike: what one takes the other takes, and signs alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from gwnode import canonical as node_canonical
from gwnode import protocol as node_protocol
from gwnode import text as node_text
from gwnode.number import canonical_number
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DataError, Refusal
from gateway.protocol import codec, signing
from gateway.testing import strategies

SPLICES = [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"0", b".", b"e9", b"\x00"]


def at_the_gateway(payload: bytes) -> str:
    """What the gateway says of it: "" or its word."""
    try:
        codec.loads(payload, limit=4096, depth=16)
    except Refusal as refusal:
        return refusal.word
    return ""


def at_the_node(payload: bytes) -> str:
    """What the node says of it."""
    try:
        node_text.scan(payload)
    except node_text.Refused as refused:
        return str(refused.word)
    return ""


@given(strategies.json_texts())
def test_a_text_in_any_spelling_is_read_alike(text: str) -> None:
    """White space, escapes and keys that come twice: the same word, or none, on both sides."""
    payload = text.encode("utf-8", "surrogatepass")
    assert at_the_node(payload) == at_the_gateway(payload)


@given(strategies.hostile_payloads())
def test_what_is_hostile_is_refused_alike(case: tuple[bytes, str]) -> None:
    """With the word of B8; for a node a text beyond 4,096 bytes is just too big."""
    payload, word = case
    assert at_the_node(payload) == ("too_big" if len(payload) > 4096 else word)


@given(strategies.messages(), st.data())
def test_a_damaged_message_is_read_alike(message: tuple[str, bytes], data: st.DataObject) -> None:
    """Cut short, a byte flipped, something put in between: never taken by one side only."""
    _kind, payload = message
    at = data.draw(st.integers(0, len(payload)))
    how = data.draw(st.sampled_from(["cut", "flip", "splice"]))
    if how == "cut":
        damaged = payload[:at]
    elif how == "flip" and at < len(payload):
        damaged = (
            payload[:at] + bytes([payload[at] ^ data.draw(st.integers(1, 255))]) + payload[at + 1 :]
        )
    else:
        damaged = payload[:at] + data.draw(st.sampled_from(SPLICES)) + payload[at:]
    ours, theirs = at_the_gateway(damaged), at_the_node(damaged)
    assert bool(ours) == bool(theirs), (ours, theirs)


@given(
    strategies.json_texts(),
    st.sampled_from(['{"doc":"no"}', '"doc"', "0"]),
    st.sampled_from(['"doc"', '"\\u0064oc"', '"dok"']),
    st.one_of(st.text(max_size=30).map(json.dumps), strategies.json_texts()),
    st.booleans(),
)
def test_an_envelope_is_opened_alike(
    other: str, more: str, key: str, value: str, last: bool
) -> None:
    """The text in its "doc" is what any reader reads there; without one it is a message like others."""
    pairs = [f'"other": {other}', f'"more":{more}']
    pairs.insert(2 if last else 0, f"{key} : {value}")
    text = f"{{{','.join(pairs)}}}"
    payload = bytearray(text.encode("utf-8", "surrogatepass"))
    if at_the_gateway(bytes(payload)):
        return
    wanted = json.loads(text)
    message = node_protocol.parse(payload, True)
    if isinstance(wanted.get("doc"), str):
        assert message.pop("doc") is payload
        assert payload.decode() == wanted.pop("doc")
    else:
        assert payload.decode() == text
    assert message == wanted


@given(strategies.documents())
def test_a_command_is_signed_alike(command: dict[str, Any]) -> None:
    """The canonical form of what the gateway sends is, for the node, the text that it signed."""
    try:
        text = signing.command_text("s" * 64, command)
    except DataError:
        return  # it never leaves
    signed = json.loads(text)
    parts: list[bytes] = []
    node_text.scan(text.encode(), 1 << 20)
    node_canonical.canonical_to(text.encode(), parts.append)
    assert b"".join(parts).decode() == signing.canonical(
        {key: value for key, value in signed.items() if key != "sig"}
    )


@pytest.mark.parametrize("spell", [repr, "{:.17g}".format, "{:.20e}".format])
@given(
    number=st.floats(-(10**15), 10**15, exclude_min=True, exclude_max=True).filter(
        lambda number: number or str(number) == "0.0"
    )
)
def test_a_number_has_one_form_in_any_spelling(
    spell: Callable[[float], str], number: float
) -> None:
    """The gateway's, which has floats: the node makes it from the text, without any (the gateway
    sends neither whole numbers from 1e15 on nor minus zero)."""
    wanted = signing.canonical({"n": number}).removeprefix('{"n":').removesuffix("}")
    assert canonical_number(spell(number)) == wanted
