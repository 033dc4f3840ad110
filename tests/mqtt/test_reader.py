"""The short way of a PUBLISH through the buffer, beside packets that a broker would send."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mqtt.reader import Arrived, take

MESSAGES = st.builds(
    lambda topic, payload, qos, retain, dup, mid: Arrived(
        topic, payload, qos, retain, dup and bool(qos), mid if qos else 0
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    st.one_of(st.binary(max_size=100), st.binary(min_size=100, max_size=17_000)),
    st.integers(0, 1),
    st.booleans(),
    st.booleans(),
    st.integers(1, 65_535),
)


def varint(value: int) -> bytes:
    """MQTT's variable byte integer."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(message: Arrived, properties: bytes | None = None) -> bytes:
    """As a broker writes it; `properties` for MQTT 5."""
    name = message.topic.encode()
    body = len(name).to_bytes(2, "big") + name
    if message.qos:
        body += message.mid.to_bytes(2, "big")
    if properties is not None:
        body += varint(len(properties)) + properties
    body += message.payload
    first = 0x30 | message.dup << 3 | message.qos << 1 | message.retain
    return bytes([first]) + varint(len(body)) + body


@given(st.lists(MESSAGES, max_size=8), st.one_of(st.none(), st.binary(max_size=300)))
def test_what_is_whole_is_taken(messages: list[Arrived], properties: bytes | None) -> None:
    """Every message comes out as it went in, and the position is behind the last one."""
    data = b"".join(packet(message, properties) for message in messages)
    found, at = take(data, 0, 100, properties=properties is not None)
    assert found == messages
    assert at == len(data)


@given(st.lists(MESSAGES, min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_left(messages: list[Arrived], data: st.DataObject) -> None:
    """Of a stream that ends anywhere only whole packets are taken, and the rest stays where it is."""
    packets = [packet(message) for message in messages]
    whole = b"".join(packets)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found, at = take(whole[:cut], 0, 100, properties=False)
    assert found == messages[: len(found)]
    assert at == sum(map(len, packets[: len(found)]))
    rest, _ = take(whole, at, 100, properties=False)
    assert found + rest == messages


@given(st.binary(max_size=400), st.booleans())
@example(b"\x30\xff\xff\xff\xff\x7f", False)
@example(b"\x32\x05\x00\x01a\x00", True)
def test_rubbish_harms_nobody(data: bytes, properties: bool) -> None:
    """Whatever comes, it raises nothing and never goes behind the end."""
    found, at = take(data, 0, 100, properties=properties)
    assert 0 <= at <= len(data)
    assert all(m.topic and m.qos in (0, 1) and bool(m.mid) == bool(m.qos) for m in found)


@given(st.lists(MESSAGES, min_size=3, max_size=6), st.integers(1, 3))
def test_a_burst_is_bounded(messages: list[Arrived], most: int) -> None:
    """No more than asked for is taken at once, and it goes on where it stopped."""
    data = b"".join(map(packet, messages))
    found: list[Arrived] = []
    at = 0
    while at < len(data):
        some, at = take(data, at, most, properties=False)
        assert 0 < len(some) <= most
        found += some
    assert found == messages


@pytest.mark.parametrize(
    "odd",
    [
        b"\xd0\x00\xd0\x00\xd0\x00",
        b"\x40\x02\x00\x01\x40\x02\x00\x01",
        b"\x34\x06\x00\x01a\x00\x01x",
        b"\x36\x06\x00\x01a\x00\x01x",
        b"\x32\x06\x00\x01a\x00\x00x",
        b"\x30\x03\x00\x00x",
        b"\x30\x04\x00\x09ab",
        b"\x30\x80\x80\x80\x80\x01",
    ],
    ids=["ping", "puback", "qos 2", "qos 3", "no id", "no topic", "topic too long", "length"],
)
def test_what_is_odd_is_left_to_the_library(odd: bytes) -> None:
    """Other kinds, QoS 2, and what is wrong: a message before it is taken, the odd one is not."""
    good = Arrived("a", b"1", 0, False, False, 0)
    assert take(packet(good) + odd, 0, 100, properties=False) == ([good], len(packet(good)))


def test_a_topic_that_is_no_text_can_still_be_refused() -> None:
    """A topic that is not UTF-8 comes as the picture of its bytes."""
    (found,), _ = take(b"\x30\x05\x00\x02\xff\xfeX", 0, 1, properties=False)
    assert found.topic == repr(b"\xff\xfe")
