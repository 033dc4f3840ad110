"""`gateway run` as a process: its story, its signals and its exit codes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `gateway run ...` without plugins, on a state folder of its own."""
    running: list[subprocess.Popen[str]] = []

    def call(*words: str, **settings: str) -> subprocess.Popen[str]:
        keep = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gateway",
                "--state-dir",
                str(tmp_path / "state"),
                "run",
                *words,
            ],
            cwd=tmp_path,
            env={**keep, "PYTHONPATH": str(ROOT), "GATEWAY_LOAD_PLUGINS": "", **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield call
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], beginning: str) -> list[str]:
    """The lines up to the one that begins like this."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(beginning):
            return lines
    raise AssertionError("\n".join([*lines, process.communicate(timeout=20)[1]]))


def external(port: int) -> dict[str, str]:
    """Settings for a broker of somebody else."""
    return {
        "GATEWAY__BROKER__MODE": "external",
        "GATEWAY__MQTT__HOST": "127.0.0.1",
        "GATEWAY__MQTT__PORT": str(port),
    }


@pytest.fixture
def nobody() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def doorkeeper() -> Iterator[int]:
    """A broker that refuses every login (CONNACK, return code 5)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(1024)
                client.sendall(b"\x20\x02\x00\x05")
                client.recv(1024)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_from_the_first_line_to_the_last(start: Start, number: int, code: int) -> None:
    """The story in order, one line that starts with `ready`, and a stop that tells what it stopped."""
    process = start("--broker", "embedded")
    lines = until(process, "ready")
    assert [line.split()[0] for line in lines] == ["broker", "gateway", "ready"]
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == code
    assert out.startswith("stopping          gateway (0 messages left to do), broker")
    assert "done in" in out


def test_one_wish_that_arrives_twice(start: Start) -> None:
    """A supervisor that signals the process and its group gets one orderly stop."""
    process = start("--broker", "embedded")
    until(process, "ready")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "stopping" in out


def test_two_gateways_on_one_folder(start: Start) -> None:
    """The second one is told who is there, exit code 75."""
    first = start("--broker", "embedded")
    until(first, "ready")
    second = start("--broker", "embedded")
    _, err = second.communicate(timeout=20)
    assert second.returncode == 75
    assert f"another gateway (process {first.pid} on " in err.splitlines()[0]


def test_the_broker_is_away(start: Start, nobody: int) -> None:
    """Said once, in three lines with where the address is from; the gateway waits, and can be stopped."""
    process = start(**external(nobody), GATEWAY__LOG_LEVEL="error")
    assert process.stderr is not None
    lines = [process.stderr.readline().rstrip() for _ in range(3)]
    assert lines[0].startswith(f"error: cannot reach the broker at 127.0.0.1:{nobody}")
    assert lines[1] == (
        "why:   [mqtt] host and port come from environment GATEWAY__MQTT__HOST; "
        '[broker] mode is "external"'
    )
    assert lines[2].startswith("next:  ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")
    assert "ready" not in out


def test_once_gives_up_on_a_broker_that_is_not_there(start: Start, nobody: int) -> None:
    """`--once` ends with exit code 1 and the reason, it does not wait for ever."""
    process = start("--simulate", "1", "--once", "--within", "1", **external(nobody))
    _, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert f"error: cannot reach the broker at 127.0.0.1:{nobody}" in err
    assert err.splitlines()[-1] == "error: no broker within 1.0 s"


def test_the_broker_refuses_us(start: Start, doorkeeper: int) -> None:
    """A refused login ends the run with exit code 77, because only a person can mend it."""
    process = start(**external(doorkeeper))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 77
    assert "refuses our login" in err
    assert "next:  set [mqtt] username and password" in err


def test_wrong_settings(start: Start) -> None:
    """Wrong settings are exit code 78 before anything is started."""
    process = start(GATEWAY__MQTT__PORT="70000")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "70000" in err


def test_once_needs_nodes(start: Start) -> None:
    """`--once` without nodes would never end: a usage error."""
    process = start("--once")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "--simulate N" in err
