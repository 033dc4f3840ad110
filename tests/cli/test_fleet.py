"""Simulated nodes as processes, with a stand-in for the device's main.py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import fleet
from gateway.cli.parts import Parts

BROKER = fleet.Broker("127.0.0.1", 1883, "node", "pw")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A device whose main.py lives until it is told to end, under CPython."""
    device = tmp_path / "device"
    device.mkdir()
    (device / "main.py").write_text("import sys, time\nprint('up', sys.argv)\ntime.sleep(600)\n")
    return Parts(device, tmp_path / "umqtt", None)


@pytest.fixture
def nodes(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fleet.Fleet]:
    """Two nodes that are not started yet."""
    monkeypatch.setattr(fleet, "find_parts", lambda: parts)
    found = fleet.Fleet(tmp_path / "nodes", 2, BROKER)
    yield found
    found.stop()


def test_the_same_hardware_is_found_again(tmp_path: Path) -> None:
    """A second run gets the folders of the first, and more only where it wants more."""
    first = fleet.make_folders(tmp_path, 2, BROKER)
    assert fleet.make_folders(tmp_path, 2, BROKER) == first
    assert fleet.make_folders(tmp_path, 4, BROKER)[:2] == first
    assert fleet.make_folders(tmp_path, 1, BROKER) == first[:1]
    assert len({folder.name for folder in tmp_path.iterdir()}) == 4


def test_many_nodes_have_many_names(tmp_path: Path) -> None:
    """255 nodes are 255 pieces of hardware with names that the protocol knows."""
    names = {folder.name for folder in fleet.make_folders(tmp_path, 255, BROKER)}
    assert len(names) == 255
    assert all(name.startswith("esp32-") and len(name) == 18 for name in names)


def test_a_node_keeps_what_it_was_given(tmp_path: Path) -> None:
    """The next run changes where the broker is, and nothing else."""
    (folder,) = fleet.make_folders(tmp_path, 1, BROKER)
    path = folder / "node.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"claim_key": "k", "node_type": "ec"}))
    fleet.make_folders(tmp_path, 1, BROKER._replace(port=18831))
    found = json.loads(path.read_text())
    assert found["mqtt"]["port"] == 18831
    assert (found["claim_key"], found["node_type"]) == ("k", "ec")
    assert path.stat().st_mode & 0o077 == 0


def test_the_start_line(tmp_path: Path) -> None:
    """MicroPython gets a board's heap and its path, CPython the same files."""
    plain = Parts(Path("/d"), Path("/u"), None)
    command, environment = fleet.start_line(plain, tmp_path)
    assert command[-3:] == ["/d/main.py", "--dir", str(tmp_path)]
    assert environment["UMQTT_DIR"] == "/u"
    command, environment = fleet.start_line(plain._replace(micropython=Path("/m")), tmp_path)
    assert command == ["/m", "-X", "heapsize=192k", "/d/main.py", "--dir", str(tmp_path)]
    assert environment["MICROPYPATH"] == "/d:/u:.frozen"


def test_nodes_start_and_stop(nodes: fleet.Fleet) -> None:
    """Every node is a process of its own, and none is left when the fleet has stopped."""
    nodes.start()
    processes = [node.process for node in nodes._nodes]
    assert all(process is not None and process.poll() is None for process in processes)
    nodes.stop()
    assert all(process is not None and process.poll() is not None for process in processes)


def test_a_node_that_ends_is_started_again(nodes: fleet.Fleet) -> None:
    """A node that ends comes back after a pause, as a board's reset would."""
    nodes.start()
    first = nodes._nodes[0].process
    assert first is not None
    os.kill(first.pid, 9)
    first.wait()
    assert nodes.tend(100.0) == []
    assert nodes._nodes[0].process is first
    nodes.tend(102.0)
    assert nodes._nodes[0].process is not first
    assert nodes.restarts(nodes.hardware_ids[0]) == 1


def test_a_node_that_keeps_ending_is_given_up(nodes: fleet.Fleet, parts: Parts) -> None:
    """After many ends in a row the node is named with its last words."""
    (parts.device / "main.py").write_text("raise SystemExit('no heap')\n")
    nodes.start()
    said: list[str] = []
    for turn in range(60):
        for node in nodes._nodes:
            if node.process is not None:
                node.process.wait()
        said += nodes.tend(turn * 10.0)
    assert len(said) == 2
    assert said[0] == f"{nodes.hardware_ids[0]} keeps ending: no heap"
