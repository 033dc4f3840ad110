"""Whole PUBLISH packets out of a buffer: what a gateway hears all day, without a detour. Pure.

It takes only what is complete and plain. Everything else (a packet that is not all there, another
kind, QoS 2, anything odd) is left where it is for the client library, which also judges it.
"""

from __future__ import annotations

from typing import NamedTuple


class Arrived(NamedTuple):
    """A message as it came in; `mid` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int


# a PUBLISH whose QoS is 0 or 1
_MASK, _PLAIN = 0xF4, 0x30


def take(data: bytes, at: int, most: int, *, properties: bool) -> tuple[list[Arrived], int]:
    """Messages from position `at` on, at most `most`, and the position behind them.

    `properties`: MQTT 5, where a packet has them before its payload.
    """
    found: list[Arrived] = []
    end = len(data)
    while at + 5 <= end and len(found) < most and data[at] & _MASK == _PLAIN:
        length, start = _varint(data, at + 1, end)
        stop = start + length
        if length < 3 or stop > end:
            break
        arrived = _message(data, data[at], start, stop, properties)
        if arrived is None:
            break
        found.append(arrived)
        at = stop
    return found, at


def _message(data: bytes, first: int, start: int, stop: int, properties: bool) -> Arrived | None:
    """The message between `start` and `stop`; None where it is odd."""
    body = start + 2 + (data[start] << 8 | data[start + 1])
    name, mid = data[start + 2 : body], 0
    if first & 0x02:
        mid = int.from_bytes(data[body : body + 2], "big")
        body += 2
        if not mid:
            return None
    if properties:
        length, body = _varint(data, body, stop)
        if length < 0:
            return None
        body += length
    if body > stop or not name:
        return None
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        topic = repr(name)  # the bytes, so that the refusal can be read
    return Arrived(topic, data[body:stop], first >> 1 & 3, bool(first & 1), bool(first & 8), mid)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A variable byte integer and the position behind it; -1 where it is not all there, or wrong."""
    value = shift = 0
    while at < end and shift < 28:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return -1, at
