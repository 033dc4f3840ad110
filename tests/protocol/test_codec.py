"""The codec: what is taken, what is refused with which word, and that the quick way is exact."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import REFUSALS, Refusal
from gateway.protocol import codec
from gateway.protocol.codec import decode, loads
from gateway.protocol.messages import KNOWN, Event, NodeHeartbeat, NodeHello, Source
from gateway.protocol.scan import SAFE_INT
from gateway.protocol.signing import signed
from gateway.protocol.topics import parse
from gateway.testing import strategies

KINDS: dict[str, type[Event]] = {cls.kind: cls for cls in KNOWN}
PayloadOf = Callable[[dict[str, Any]], bytes]


def take(topic: str, payload: bytes, limit: int = codec.LIMIT) -> Event:
    """What the intake does with a message, without the journal."""
    return decode(KINDS[parse(topic, "hydro").kind], payload, limit=limit)


def refused_later(case: dict[str, Any]) -> None:
    """A case that node, plugin or intake refuses: good as a message, wrong in the one thing named."""
    assert case["by"] in ("node", "gateway-config", "intake")
    said = loads(case["payload"].encode())
    if case["by"] == "node":
        parts = ("config", case["hardware_id"], said["revision"], said["sha256"])
        wrong = {
            "signature": not signed(said.get("sig"), case["secret"], *parts),
            "hash": hashlib.sha256(said["doc"].encode()).hexdigest() != said["sha256"],
            "revision": said["revision"] < case["last_revision"],
        }
        assert [word for word, is_wrong in wrong.items() if is_wrong] == [case["refused"]]
    else:
        take(case["topic"], case["payload"].encode())


@pytest.mark.vectors("refused.json", "cases")
def test_refused(case: dict[str, Any], payload_of: PayloadOf) -> None:
    """Each bad message is refused with its word, and with a reason fit for a log line."""
    if "by" in case:
        refused_later(case)
        return
    with pytest.raises(Refusal) as caught:
        take(case["topic"], payload_of(case), case.get("limit", codec.LIMIT))
    assert caught.value.word == case["refused"]
    assert 0 < len(caught.value.detail) < 300
    assert caught.value.detail.isprintable()
    if case["refused"] in ("not_utf8", "not_json", "depth"):
        assert exact(payload_of(case)) == case["refused"]


def test_every_word_has_a_vector(vectors: Any) -> None:
    """Each word of B8 has a vector, and no vector uses another word."""
    assert {case["refused"] for case in vectors("refused.json")["cases"]} == set(REFUSALS)


@pytest.mark.vectors("hello.json", "heartbeat.json", "config.json", "messages.json", "decode")
def test_decode(case: dict[str, Any], payload_of: PayloadOf) -> None:
    """Each payload becomes the event of the vectors, or is refused with the path in the reason."""
    if "refused" in case:
        with pytest.raises(Refusal) as caught:
            decode(KINDS[case["kind"]], payload_of(case))
        assert caught.value.word == case["refused"]
        assert case.get("path", "") in caught.value.detail
        return
    event = decode(KINDS[case["kind"]], payload_of(case))
    assert {name: getattr(event, name) for name in case["expect"]} == case["expect"]
    assert event.source == Source()


def test_every_known_kind_has_a_vector(vectors: Any) -> None:
    """No kind of the protocol is without a vector that is taken."""
    files = ("hello.json", "heartbeat.json", "config.json", "messages.json")
    cases = [case for file in files for case in vectors(file)["decode"]]
    assert {case["kind"] for case in cases if "expect" in case} == set(KINDS)


def test_field_traffic_is_taken(field_traffic: list[dict[str, Any]]) -> None:
    """Every message that a real field's nodes sent is taken as it was."""
    sent = [line for line in field_traffic if line["direction"] == "node->backend"]
    assert len(sent) > 100
    for line in sent:
        event = take(line["topic"], line["payload"].encode())
        assert event.kind == line["topic"].rsplit("/", 1)[-1]


def test_hello_keeps_the_spelling_received() -> None:
    """A hardware_id is compared in lower case and published to in the spelling received."""
    payload = b'{"message_type":"node_hello","hardware_id":"ESP32-ABC"}'
    event = decode(NodeHello, payload)
    event.source = Source(payload=payload)
    assert (event.hardware_id, event.spelled) == ("esp32-abc", "ESP32-ABC")
    assert NodeHello(hardware_id="made-here").spelled == "made-here"


@pytest.mark.parametrize("depth", [0, 1, 16, 17, 40])
def test_depth_is_exact(depth: int) -> None:
    """As many levels as allowed are taken and one more is refused, empty inside or not."""
    for inside in (b"", b"1", b'"x"'):
        for left, right in ((b"[", b"]"), (b'{"a":', b"}")):
            if not inside and left != b"[":
                continue
            if depth:
                loads(left * depth + inside + right * depth, depth=depth)
            with pytest.raises(Refusal, match="depth"):
                loads(left * (depth + 1) + inside + right * (depth + 1), depth=depth)


def test_depth_beyond_the_decoder_is_a_word() -> None:
    """A limit above what the decoder can hold ends in `depth`, never in a RecursionError."""
    with pytest.raises(Refusal, match="depth"):
        loads(b"[" * 20_000 + b"]" * 20_000, depth=20_000)


def test_limit_names_the_bytes_over() -> None:
    """Who sends too much learns how much too much."""
    assert loads(b'"' + b"x" * 98 + b'"', limit=100) == "x" * 98
    with pytest.raises(Refusal, match="103 bytes, 3 more than the 100"):
        loads(b'"' + b"x" * 101 + b'"', limit=100)


def test_usual_messages_never_need_the_slow_scan(
    field_traffic: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real traffic is proved quickly: the scan of the text is for doubtful texts only."""

    scanned: list[bytes] = []
    monkeypatch.setattr(codec, "_scan", lambda payload, _depth: scanned.append(payload))
    sent = [line for line in field_traffic if line["direction"] == "node->backend"]
    for line in sent:
        loads(line["payload"].encode())
    assert sent
    assert scanned == []


# --- the quick way and the exact way say the same ------------------------------------------------


def exact(payload: bytes, depth: int = codec.DEPTH) -> str:
    """The word of the exact scan, '' when it takes the text."""
    try:
        codec._scan(payload, depth)
    except Refusal as refusal:
        return refusal.word
    return ""


def quick(payload: bytes, depth: int = codec.DEPTH) -> str:
    """The word of `loads`, '' when it takes the text."""
    try:
        loads(payload, depth=depth)
    except Refusal as refusal:
        return refusal.word
    return ""


def third_opinion(payload: bytes, depth: int = codec.DEPTH) -> bool:
    """Whether Python's own JSON reader, told of our rules, would take the text."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("twice")
        return found

    def whole(digits: str) -> int:
        if len(digits) > 17 or abs(int(digits)) > SAFE_INT:
            raise ValueError("beyond 2^53")
        return int(digits)

    def real(digits: str) -> float:
        if math.isinf(float(digits)):
            raise ValueError("beyond a float")
        return float(digits)

    def never(word: str) -> None:
        raise ValueError(word)

    def levels(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(levels, inner), default=0) if isinstance(value, dict | list) else 0

    try:
        value = json.loads(
            payload.decode(), object_pairs_hook=pairs, parse_int=whole, parse_float=real,
            parse_constant=never,
        )  # fmt: skip
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return levels(value) <= depth


@given(strategies.json_texts(), st.sampled_from([0, 1, 2, 3, 16]))
@example('{"a":1,"\\u0061":2}', 16)
@example('{"a" :"\\":","a":1}', 16)
@example('{"a":":","b" :1,"b":2}', 16)
@example('{"a":{"b":1,"b":2},"c":":"}', 16)
@example('{":":":"}', 16)
@example("9007199254740993", 16)
def test_quick_is_exact_for_any_spelling(text: str, depth: int) -> None:
    """With any white space, escapes and keys that come twice, all three readers agree."""
    payload = text.encode()
    assert quick(payload, depth) == exact(payload, depth)
    assert (quick(payload, depth) == "") == third_opinion(payload, depth)


@given(
    strategies.json_texts(),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from(
                [b"", b'"', b":", b",", b"{", b"}", b"[", b"]", b"\\", b" ", b"0", b"-", b"e9",
                 b"\\ud83d", b"\xff", b"\0", b'"a":1,', b"NaN", b"\xef\xbb\xbf"]
            ),
            st.integers(0, 2),
        ),
        max_size=4,
    ),
)  # fmt: skip
def test_quick_is_exact_for_mutations(text: str, cuts: list[tuple[int, bytes, int]]) -> None:
    """Texts with pieces put in, taken out and overwritten meet the same word in all readers."""
    payload = text.encode()
    for at, piece, gone in cuts:
        at %= len(payload) + 1
        payload = payload[:at] + piece + payload[at + gone :]
    assert quick(payload) == exact(payload)
    assert (quick(payload) == "") == third_opinion(payload)


@given(st.binary(max_size=40))
def test_quick_is_exact_for_noise(payload: bytes) -> None:
    """Bytes without sense are refused with the same word by both."""
    assert quick(payload) == exact(payload)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_halves_of_pairs_never_pass(one: int, two: int) -> None:
    """Two escapes are taken exactly when they are text that UTF-8 can say."""
    payload = f'"\\u{one:04x}\\u{two:04X}"'.encode()
    whole = (one.to_bytes(2, "big") + two.to_bytes(2, "big")).decode("utf-16-be", "replace")
    assert (quick(payload) == "") == ("\ufffd" not in whole or 0xFFFD in (one, two))
    assert quick(payload) == exact(payload)


@given(strategies.messages())
def test_good_messages_are_taken(message: tuple[str, bytes]) -> None:
    """Every message that the protocol allows becomes an event of its kind."""
    kind, payload = message
    assert decode(KINDS[kind], payload).kind == kind


@given(strategies.hostile_payloads(), st.sampled_from(sorted(set(KINDS) - {"lwt"})))
def test_hostile_payloads_meet_their_word(bad: tuple[bytes, str], kind: str) -> None:
    """What is hostile is refused with its word, whatever kind it claims to be."""
    payload, word = bad
    with pytest.raises(Refusal) as caught:
        decode(KINDS[kind], payload)
    assert caught.value.word == word


@given(st.sampled_from(sorted(KINDS)), strategies.documents().map(strategies.compact))
def test_any_object_is_an_event_or_a_refusal(kind: str, payload: bytes) -> None:
    """An object with any content is taken or refused as `schema`, and nothing else happens."""
    word = ""
    try:
        decode(KINDS[kind], payload)
    except Refusal as refusal:
        word = refusal.word
    assert word in ("", "schema")


def test_heartbeat_takes_what_microcontrollers_print() -> None:
    """Seconds may come as a float; a float32 that was printed in full is no error."""
    event = decode(NodeHeartbeat, b'{"uptime":3600.000244140625,"interval_s":15.0}')
    assert (event.uptime, event.interval_s) == (3600.000244140625, 15.0)
