"""TLS with a CA of our own, on a real mosquitto and both interpreters: who is believed, and who is not."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from authority import broker_lines, new_ca, sign

from gateway.testing.broker import Mosquitto
from gateway.testing.process import until

if TYPE_CHECKING:
    from conftest import Player, Start


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CAs; certificates for `localhost`: good, expired; one for a node."""
    folder = tmp_path_factory.mktemp("keys")
    for ca in ("ca", "stranger"):
        new_ca(folder, ca)
    for name, ca, days in (("good", "ca", 2), ("expired", "ca", 0), ("node", "ca", 2)):
        sign(folder, name, ca, days)
    made = time.time()  # the last second in which it counts, and Mbed TLS lets all of it pass
    until(lambda: time.time() > made + 1.5, what="the expiry")
    return folder


@contextmanager
def server(keys: Path, folder: Path, name: str = "good", *more: str) -> Iterator[int]:
    """A mosquitto with this certificate; its port."""
    lines = ["allow_anonymous true", *broker_lines(keys, name), *more]
    with Mosquitto(folder / "broker", lines=lines) as broker:
        yield broker.port


def board(keys: Path, folder: Path, ca: str = "ca", *, client: bool = False) -> Path:
    """What lies in a board's root folder."""
    root = folder / "board"
    root.mkdir()
    (root / "ca.der").write_bytes((keys / f"{ca}.der").read_bytes())
    if client:
        (root / "cert.der").write_bytes((keys / "node.der").read_bytes())
        (root / "key.der").write_bytes((keys / "node.key.der").read_bytes())
    return root


def connect(play: Player, root: Path, port: int, host: str = "localhost") -> None:
    """What the node does when mqtt.tls is on."""
    play(f"connect({port}, host={host!r}, ssl=tls.context({str(root)!r}))")


def test_the_right_ca(play: Player, keys: Path, tmp_path: Path) -> None:
    """Messages go both ways, the largest that a node takes included, and no step takes 2 s."""
    with server(keys, tmp_path) as port:
        connect(play, board(keys, tmp_path), port)
        play("subscribe(['a'])")
        play("link.send('a', b'x' * 4608), link.send('a', b'y')")
        assert [len(payload) for _topic, payload in play("gather(2)")] == [4608, 1]
        play("settle()")
        assert play("longest") < 2000


@pytest.mark.parametrize(
    ("ca", "certificate", "host"),
    [
        ("stranger", "good", "localhost"),
        ("ca", "expired", "localhost"),
        ("ca", "good", "127.0.0.1"),
    ],
    ids=["another CA", "expired", "another name"],
)
def test_who_is_not_believed(
    play: Player, keys: Path, tmp_path: Path, ca: str, certificate: str, host: str
) -> None:
    """A broker of another CA, with an expired certificate, or under another name gets no CONNECT, and
    the reason speaks of TLS and of the certificate, in one line."""
    with server(keys, tmp_path, certificate) as port:
        root = board(keys, tmp_path, ca)
        with pytest.raises(Exception, match=r"LinkError: no TLS: .*certificate.*$"):
            connect(play, root, port, host)
        assert play("link.is_open") is False
    assert "player" not in (tmp_path / "broker" / "log").read_text()


def test_a_broker_without_tls(play: Player, keys: Path, broker: Mosquitto, tmp_path: Path) -> None:
    """A port that speaks no TLS hears nothing of ours in clear."""
    with pytest.raises(Exception, match="LinkError: "):
        connect(play, board(keys, tmp_path), broker.port)


def test_a_client_certificate(play: Player, keys: Path, tmp_path: Path) -> None:
    """A broker that wants to know us by a certificate is shown cert.der; without one it hangs up."""
    with server(keys, tmp_path, "good", "require_certificate true") as port:
        root = board(keys, tmp_path, client=True)
        connect(play, root, port)
        play("link.send('a', b'1'), settle()")
        (root / "cert.der").unlink()
        with pytest.raises(Exception, match="LinkError: "):
            connect(play, root, port)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ca.der", None, "ca.der is not there"),
        ("ca.der", b"-----BEGIN CERTIFICATE-----", "ca.der is no certificate in DER form"),
        ("key.der", b"junk", "cert.der and key.der are no pair in DER form"),
    ],
)
def test_files_that_are_not_usable(
    play: Player, keys: Path, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    """The error names the file."""
    root = board(keys, tmp_path, client=True)
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    with pytest.raises(Exception, match=words):
        play(f"tls.context({str(root)!r})")


@pytest.mark.parametrize("ca", ["ca", "stranger"])
def test_a_node_with_tls(command: Start, keys: Path, tmp_path: Path, ca: str) -> None:
    """A real node with `mqtt.tls` reaches the broker it can check, and tells why it does not reach
    another, again and again, and never in clear."""
    root = board(keys, tmp_path, ca)
    with server(keys, tmp_path) as port:
        mqtt = {"host": "localhost", "port": port, "tls": True}
        (root / "node.json").write_text(json.dumps({"hardware_id": "esp32-1", "mqtt": mqtt}))
        words, environment, files, _own = command
        log = tmp_path / "node.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [*words, files / "main.py", "--dir", root],
                env={**environment, "PATH": os.environ["PATH"]},
                stdout=out,
                stderr=out,
            )
        good, bad = "hello sent seq=1", "broker not reached (no TLS: "
        try:
            until(lambda: (good if ca == "ca" else bad) in log.read_text(), 30)
        finally:
            process.terminate()
            process.wait(10)
        assert (good in log.read_text()) == (ca == "ca")
