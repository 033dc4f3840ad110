"""The load: raw MQTT in a process of its own, packets built beforehand, joined writes.

python -m bench.load PORT COUNT NODES        publish beats with QoS 1 as fast as they are taken
python -m bench.load PORT hellos COUNT RATE  say hello at a rate, print latencies to the receipt
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

CHUNK = 200


def connect(port: int, client_id: str) -> socket.socket:
    """CONNECT with a clean session."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + _text(client_id.encode())
    sock.sendall(b"\x10" + _length(len(body)) + body)
    assert sock.recv(4)[:2] == b"\x20\x02"
    return sock


def publish(topic: str, payload: bytes, mid: int) -> bytes:
    """A PUBLISH packet with QoS 1."""
    body = _text(topic.encode()) + struct.pack(">H", mid) + payload
    return b"\x32" + _length(len(body)) + body


def beats(port: int, count: int, nodes: int) -> None:
    """Publish `count` beats of `nodes` nodes; every one is acknowledged."""
    sock = connect(port, "bench-load")
    packets = []
    for number in range(count):
        node = number % nodes
        payload = json.dumps(
            {
                "uptime": number,
                "free_heap": 102000,
                "rssi": -62,
                "fw_version": "1.0.0",
                "boot_id": f"{node:08x}",
                "seq": number // nodes + 1,
                "interval_s": 15,
            },
            separators=(",", ":"),
        )
        topic = f"hydro/gh-temp/zn-temp/bench-{node}/heartbeat"
        packets.append(publish(topic, payload.encode(), number % 65535 + 1))
    for start in range(0, count, CHUNK):
        part = packets[start : start + CHUNK]
        sock.sendall(b"".join(part))
        _read_acks(sock, 4 * len(part))
    sock.close()


def hellos(port: int, count: int, rate: float, prefix: str) -> None:
    """Say hello `count` times at `rate` a second; print JSON with the latencies in ms."""
    sock = connect(port, "bench-hello")
    body = struct.pack(">H", 1) + _text(b"hydro/gh-temp/zn-temp/+/hello_ack") + b"\x00"
    sock.sendall(b"\x82" + _length(len(body)) + body)
    sock.recv(64)
    sent: dict[str, float] = {}
    got: dict[str, float] = {}
    buffer = b""
    begin = time.monotonic()
    number = 0
    sock.setblocking(False)
    while len(got) < count and time.monotonic() - begin < 60 + count / rate:
        if number < count and time.monotonic() - begin >= number / rate:
            name = f"{prefix}-{number}"
            hello = {
                "message_type": "node_hello",
                "hardware_id": name,
                "boot_id": "0000000a",
                "seq": 1,
            }
            sent[name] = time.monotonic()
            packet = publish("hydro/node_hello", json.dumps(hello).encode(), number % 65535 + 1)
            sock.setblocking(True)
            sock.sendall(packet)
            sock.setblocking(False)
            number += 1
        try:
            buffer += sock.recv(65536)
        except BlockingIOError:
            time.sleep(0.0002)
            continue
        now = time.monotonic()
        while b'"hardware_id":"' in buffer:
            _, _, rest = buffer.partition(b'"hardware_id":"')
            if b'"' not in rest:
                break
            name, _, buffer = rest.partition(b'"')
            got.setdefault(name.decode(), now)
    late = sorted((got[name] - at) * 1000 for name, at in sent.items() if name in got)
    print(json.dumps({"sent": len(sent), "receipts": len(late), "ms": late}))


def _read_acks(sock: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(sock.recv(65536))


def _text(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _length(size: int) -> bytes:
    out = b""
    while True:
        size, low = divmod(size, 128)
        out += bytes([low | (0x80 if size else 0)])
        if not size:
            return out


if __name__ == "__main__":
    if sys.argv[2] == "hellos":
        hellos(int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
    else:
        beats(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
