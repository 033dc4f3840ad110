"""`python -m bench.shutdown`: what a nats-server keeps that is ended by SIGTERM, and by SIGKILL.

In each round a subscriber with a session is away and 100 messages for it are acknowledged; eight clients with
clean sessions come and go while the broker ends. After its next start the subscriber comes back. This is why
the embedded broker is always killed (gateway/broker/embedded.py).
"""

from __future__ import annotations

import argparse
import signal
import socket
import struct
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from gateway.testing.broker import Nats
from gateway.testing.process import Peer

_MESSAGES, _GUESTS, _PATIENCE = 100, 8, 40.0
"""The broker brings again what it had brought after 30 s."""


def _packet(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((kind, len(body))) + body


def _text(text: bytes) -> bytes:
    return struct.pack("!H", len(text)) + text


def _guest(port: int, name: bytes, over: threading.Event) -> None:
    """Connect with a clean session, subscribe, go; again."""
    hello = _packet(0x10, _text(b"MQTT"), b"\x04\x02\x00\x3c", _text(name))
    hello += _packet(0x82, b"\x00\x01", _text(b"guests/" + name + b"/#"), b"\x01")
    while not over.is_set():
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 2) as connection,
        ):
            connection.settimeout(2)
            connection.sendall(hello)
            connection.recv(4)
            connection.recv(5)
        over.wait(0.002)


def kept(folder: Path, ending: signal.Signals) -> int:
    """How many of the messages come after an end by this signal."""
    with Nats(folder) as broker:
        Peer(broker.port, "reader", clean=False).listen("bench/#").close()
        broker.publish_many("bench/x", [str(n) for n in range(_MESSAGES)])
        over = threading.Event()
        guests = [
            threading.Thread(target=_guest, args=(broker.port, b"guest%d" % n, over))
            for n in range(_GUESTS)
        ]
        for guest in guests:
            guest.start()
        time.sleep(0.3)
        assert broker.process is not None
        broker.process.send_signal(ending)
        broker.process.wait(20)
        over.set()
        for guest in guests:
            guest.join()
        broker.start()
        reader = Peer(broker.port, "reader", clean=False)
        deadline = time.monotonic() + _PATIENCE
        while len(reader.got) < _MESSAGES and time.monotonic() < deadline:
            time.sleep(0.05)
        reader.close()
        return len({payload for _, payload, _ in reader.got})


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of each signal (20)")
    rounds = parser.parse_args().rounds
    found: dict[str, list[int]] = {"SIGTERM": [], "SIGKILL": []}
    for _ in range(rounds):
        for name, counts in found.items():
            with tempfile.TemporaryDirectory() as folder:
                counts.append(kept(Path(folder) / "broker", signal.Signals[name]))
    print("| ended by | rounds | rounds that lost | messages lost |\n|---|---|---|---|")
    for name, counts in found.items():
        lost = [_MESSAGES - count for count in counts if count < _MESSAGES]
        print(
            f"| {name} | {len(counts)} | {len(lost)} | {sum(lost)} of {len(counts) * _MESSAGES:,} |"
        )


if __name__ == "__main__":
    main()
