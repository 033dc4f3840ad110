"""What a person does to a board by hand: the prompt, the list of ports, `mip`, and a broker's CA.

The real mpremote on the real MicroPython interpreter behind a PTY.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

import pytest

from gateway.cli.usb.advice import Port
from gateway.cli.usb.node import _about
from gateway.testing.process import GatewayProcess, until
from gateway.testing.usb import UsbBoard

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def board(micropython: str, tmp_path: Path) -> Iterator[UsbBoard]:
    """A board with MicroPython and nothing else."""
    with UsbBoard(Path(micropython), tmp_path / "board") as found:
        yield found


def test_mip_puts_every_file_in_its_place(board: UsbBoard, tmp_path: Path) -> None:
    """`mpremote mip install device/package.json`, as the README says it: each file of gwnode, byte for
    byte. Its one dependency comes from micropython.org, which no test asks: it is left out here, and
    so is the search for `lib`, which only a board's own path has in absolute form."""
    copy = tmp_path / "clone" / "device"
    shutil.copytree(ROOT / "device", copy, ignore=shutil.ignore_patterns("__pycache__"))
    package = json.loads((copy / "package.json").read_text())
    assert package.pop("deps") == [["umqtt.simple", "1.8.0"]]
    (copy / "package.json").write_text(json.dumps(package))
    words = ["mip", "install", "--target", "lib", "device/package.json"]
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.device, *words],
        cwd=copy.parent,
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, _ in package["urls"]:
        assert (board.folder / "lib" / name).read_bytes() == (copy / name).read_bytes()


class Shelf:
    """micropython-lib's index on this machine, with the one package that the node needs."""

    def __init__(self, folder: Path) -> None:
        content = ((ROOT / ".cache/umqtt") / "umqtt/simple.py").read_bytes()
        digest = sha256(content).hexdigest()[:8]
        facts = {"v": 1, "version": "1.8.0", "hashes": [["umqtt/simple.py", digest]]}
        self.content = content
        files = {
            f"file/{digest[:2]}/{digest}": content,
            # 6: the bytecode of the interpreter that answers; mpremote asks it
            "package/6/umqtt.simple/1.8.0.json": json.dumps(facts).encode(),
        }
        for name, content in files.items():
            path = folder / "index" / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder / "index"))
        )
        # mpremote has no setting for its index: the Python that runs it is told where it is
        (folder / "sitecustomize.py").write_text(
            "from mpremote import mip\n"
            f"mip._PACKAGE_INDEX = 'http://127.0.0.1:{self._server.server_port}'\n"
        )

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_umqtt_is_fetched_by_mip_where_this_machine_has_none(
    board: UsbBoard, tmp_path: Path
) -> None:
    """A gateway that was installed with pip has no umqtt.simple: mpremote's `mip` brings the version of
    device/package.json. A board that has it asks nobody again, and an index that does not answer is
    said, with what to do."""
    (tmp_path / "node.json").write_text('{"hardware_id": "esp32-1", "mqtt": {"host": "pi.local"}}')
    words = ["node", "deploy", "--settings", str(tmp_path / "node.json"), "--wait", "0"]
    words += ["--port", board.device]
    nowhere = {"UMQTT_DIR": str(tmp_path / "none"), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    gateway = GatewayProcess(tmp_path / "state", 1, env=nowhere)
    with Shelf(tmp_path) as shelf:
        done = gateway.command(*words, timeout=200)
        assert done.returncode == 0, done.stderr
        assert (board.folder / "lib/umqtt/simple.py").read_bytes() == shelf.content
    again = gateway.command(*words, timeout=200)
    assert again.returncode == 0, again.stderr
    (board.folder / "lib/umqtt/simple.py").unlink()
    failed = gateway.command(*words, timeout=200)
    assert failed.returncode == 69
    assert "error: umqtt.simple@1.8.0 could not be fetched for the board" in failed.stderr
    assert "Connection refused" in failed.stderr
    assert "next:  connect this machine to the internet" in failed.stderr


def test_a_row_of_the_list_of_ports(board: UsbBoard) -> None:
    """Which MicroPython and which node a board has; one that does not answer says so."""
    row = _about(Port(board.device, "2e8a:0005", "Board in FS mode"))
    assert row["micropython"].count(".") == 2
    assert (row["port"], row["node"]) == (board.device, None)
    (board.folder / "main.py").write_text("print('a node')\n")
    (board.folder / "node.json").write_text('{"node_type": "ph"}')
    assert _about(Port(board.device, "2e8a:0005", ""))["node"] == "ph"
    gone = _about(Port("/dev/ttyNONE", "2e8a:0005", "gone"))
    assert (gone["micropython"], gone["error"]) == (None, "/dev/ttyNONE cannot be opened")


def test_the_prompt_is_the_boards_own(board: UsbBoard) -> None:
    """What is typed is run there, what it prints is shown, and Ctrl-X leaves with exit code 0."""
    keyboard, terminal = os.openpty()
    command = [sys.executable, "-m", "gateway", "node", "repl", "--port", board.device]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = b""
    with subprocess.Popen(
        command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        os.set_blocking(keyboard, False)

        def heard(text: bytes) -> bool:
            nonlocal said
            with contextlib.suppress(OSError):  # nothing yet
                said += os.read(keyboard, 4096)
            return text in said

        until(lambda: heard(b"Ctrl-X leaves"), 60)
        until(lambda: heard(b"to exit this shell"), 60)
        os.write(keyboard, b"print(6 * 7, 'is it')\r")
        until(lambda: heard(b"42 is it"), 60)
        os.write(keyboard, b"\x18")
        until(lambda: heard(b"never") or process.poll() is not None, 60)
        assert process.returncode == 0
    os.close(keyboard)


def test_the_brokers_ca_goes_with_a_node_that_uses_tls(board: UsbBoard, tmp_path: Path) -> None:
    """[mqtt] tls_ca, a PEM file, lies on the board as ca.der; without TLS there is none."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca"
    words += " -keyout ca.key -out ca.pem"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    pem = tmp_path / "ca.pem"
    gateway = GatewayProcess(tmp_path / "state", 1, env={"GATEWAY__MQTT__TLS_CA": str(pem)})
    for tls in (False, True):
        settings = {"hardware_id": "esp32-1", "mqtt": {"host": "pi.local", "tls": tls}}
        (tmp_path / "node.json").write_text(json.dumps(settings))
        given = ("--settings", str(tmp_path / "node.json"), "--wait", "0", "--port", board.device)
        done = gateway.command("node", "deploy", *given, timeout=200)
        assert done.returncode == 0, done.stderr
        assert (board.folder / "ca.der").exists() is tls
    assert (board.folder / "ca.der").read_bytes() == ssl.PEM_cert_to_DER_cert(pem.read_text())
