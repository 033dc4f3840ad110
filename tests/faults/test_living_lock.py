"""Two gateways on one store: real processes, and what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.store.lock import NAME, holder, who
from gateway.testing.broker import free_port
from gateway.testing.process import GatewayProcess, until


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two gateways for one folder, the first of which runs; a lock needs no broker."""
    port = free_port()
    first, second = (GatewayProcess(tmp_path / "state", port) for _ in range(2))
    run(first)
    yield first, second
    for each in (first, second):
        with suppress(ProcessLookupError):
            if each.process is not None:
                each.process.send_signal(signal.SIGCONT)
                each.kill()


def run(gateway: GatewayProcess) -> int:
    """Start it, and wait until it holds the folder."""
    gateway.start(wait=False)
    assert gateway.process is not None
    pid = gateway.process.pid
    until(lambda: holder(gateway.state_dir) == pid, what=f"the lock: {gateway.output}")
    return pid


def test_the_second_refuses_and_names_the_first(
    pair: tuple[GatewayProcess, GatewayProcess],
) -> None:
    """Exit 75 and three lines with the first one's process, host and time; the first runs on."""
    first, second = pair
    assert first.process is not None
    done = second.command("run")
    assert done.returncode == 75
    found = who(first.state_dir)
    assert found is not None
    assert found.since[:4].isdigit()
    words = f"(process {first.process.pid} on {socket.gethostname()} since {found.since})"
    assert done.stderr.startswith(f"error: another gateway {words} uses ")
    assert f"kill {first.process.pid}" in done.stderr.splitlines()[2]
    assert first.process.poll() is None


def test_a_gateway_that_stands_still_holds_its_store(
    pair: tuple[GatewayProcess, GatewayProcess],
) -> None:
    """One that was stopped (SIGSTOP) is not gone: it may go on at any moment."""
    first, second = pair
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    assert second.command("run").returncode == 75


def test_a_killed_gateway_lets_go(pair: tuple[GatewayProcess, GatewayProcess]) -> None:
    """After SIGKILL the folder is free at once, and the file names the new one."""
    first, second = pair
    first.kill()
    assert holder(first.state_dir) is None
    assert (first.state_dir / NAME).read_text().startswith(f"{first.process.pid} ")  # type: ignore[union-attr] # it ran
    pid = run(second)
    assert (second.state_dir / NAME).read_text().startswith(f"{pid} ")


@pytest.mark.parametrize("left", ["{alive} elsewhere 2020-01-01", "4711", "", "\0\0junk"])
def test_a_stale_lock_keeps_nobody_out(tmp_path: Path, left: str) -> None:
    """Whatever a dead gateway left in the file, even the number of a process that lives again."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / NAME).write_text(left.format(alive=os.getpid()))
    gateway = GatewayProcess(tmp_path / "state", free_port())
    run(gateway)
    gateway.kill()
