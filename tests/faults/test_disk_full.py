"""A disk that is full: nothing is acknowledged, nothing is lost, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Three megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this container may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_acknowledgements_and_nothing_else(
    tmp_path: Path, small_disk: Path
) -> None:
    """While the disk is full no hello is registered, it is said once, `status` still shows its screen
    and the disk on it, and when there is space again all twenty are registered by themselves."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        GatewayProcess(small_disk / "state", broker.port) as gateway,
    ):
        peer = Peer(broker.port)
        peer.say("hydro/node_hello", hello("before"))
        until(lambda: gateway.node("before"))
        fill = (small_disk / "fill").open("wb", buffering=0)
        with suppress(OSError):
            while True:
                fill.write(b"x" * 4096)
        for number in range(20):
            peer.say("hydro/node_hello", hello(f"full{number}"))
        gateway.wait_for("store")
        assert gateway.rows("SELECT count(*) FROM nodes") == [(1,)]
        shown = gateway.command("status")
        assert "the broker keeps the rest (max_queued_messages, 1,000" in shown.stdout
        assert "FREE in" in shown.stdout, shown
        assert shown.returncode in (69, 74)
        assert "1: 1 online" in shown.stdout
        fill.close()
        (small_disk / "fill").unlink()
        until(lambda: gateway.rows("SELECT count(*) FROM nodes") == [(21,)])
        until(lambda: "can be written again" in gateway.output)
        assert gateway.output.count("cannot be written") == 1
        peer.close()
