"""MQTT 3.1.1 packets for the load: built beforehand, taken apart without a client library. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
_COMPACT = (",", ":")


def connect(client_id: str, *, clean: bool = True, keepalive: int = 0) -> bytes:
    """CONNECT."""
    flags = 2 if clean else 0
    return _packet(
        0x10, b"\x00\x04MQTT\x04" + struct.pack(">BH", flags, keepalive) + _text(client_id)
    )


def subscribe(pattern: str, qos: int = 1) -> bytes:
    """SUBSCRIBE to one filter."""
    return _packet(0x82, b"\x00\x01" + _text(pattern) + bytes([qos]))


def publish(topic: str, payload: bytes, mid: int) -> bytes:
    """PUBLISH with QoS 1."""
    return _packet(0x32, _text(topic) + struct.pack(">H", mid % 65535 + 1) + payload)


def puback(mid: int) -> bytes:
    """PUBACK."""
    return b"\x40\x02" + struct.pack(">H", mid)


def packets(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take whole packets out of the buffer: type, flags, body."""
    at = 0
    while at + 2 <= len(buffer):
        size, shift, start = 0, 0, at + 1
        while start < len(buffer):
            byte = buffer[start]
            size |= (byte & 0x7F) << shift
            shift += 7
            start += 1
            if byte < 0x80:
                break
        else:
            break
        if start + size > len(buffer):
            break
        yield buffer[at] >> 4, buffer[at] & 15, bytes(buffer[start : start + size])
        at = start + size
    del buffer[:at]


def message(flags: int, body: bytes) -> tuple[bytes, int, bytes]:
    """Topic, packet id (0 for QoS 0) and payload of a PUBLISH."""
    end = 2 + int.from_bytes(body[:2], "big")
    if not flags & 6:
        return body[2:end], 0, body[end:]
    return body[2:end], int.from_bytes(body[end : end + 2], "big"), body[end + 2 :]


def hello(name: str, mid: int = 0) -> bytes:
    """The first hello of a node that nobody knows."""
    said = {
        "message_type": "node_hello",
        "protocol": 1,
        "hardware_id": name,
        "node_type": "climate",
        "fw_version": "1.0.0",
        "boot_id": "0000000a",
        "seq": 1,
    }
    return publish("hydro/node_hello", json.dumps(said, separators=_COMPACT).encode(), mid)


def beat(node: str, seq: int, mid: int = 0, boot: int = 10) -> bytes:
    """A beat as our nodes send it, about 120 bytes."""
    said = {
        "uptime": seq * 15,
        "free_heap": 102000,
        "rssi": -62,
        "fw_version": "1.0.0",
        "boot_id": f"{boot:08x}",
        "seq": seq,
        "interval_s": 15,
    }
    body = json.dumps(said, separators=_COMPACT).encode()
    return publish(f"hydro/gh-temp/zn-temp/{node}/heartbeat", body, mid)


def status(node: str, seq: int, mid: int = 0, boot: int = 10) -> bytes:
    """A status as our nodes send it."""
    said = {"status": "ONLINE", "ts": 1780000000 + seq, "boot_id": f"{boot:08x}", "seq": seq}
    body = json.dumps(said, separators=_COMPACT).encode()
    return publish(f"hydro/gh-temp/zn-temp/{node}/status", body, mid)


def tally(node: str, seq: int, mid: int = 0, boot: int = 10) -> bytes:
    """What a plugin of the fault lab counts."""
    said = {"n": seq, "boot_id": f"{boot:08x}", "seq": seq}
    body = json.dumps(said, separators=_COMPACT).encode()
    return publish(f"hydro/gh-1/zn-1/{node}/tally", body, mid)


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _length(size: int) -> bytes:
    out = b""
    while True:
        size, low = divmod(size, 128)
        out += bytes([low | (0x80 if size else 0)])
        if not size:
            return out
