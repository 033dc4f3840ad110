"""Real files and real processes: the ring on a disk, what outlives a crash, a driver that misbehaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Start

HEAD = """
import sys
from gwnode import board, config, notes, ring, run
folder = sys.argv[1]
"""


def play(command: Start, folder: Path, body: str) -> list[str]:
    """The lines that a script on the device's files prints; it must end well."""
    script = folder / "script.py"
    words, environment, files, own = command
    script.write_text(own(HEAD + body))
    done = subprocess.run(
        [*words, script, folder],
        env={**environment, "PYTHONPATH": str(files)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder."""
    settings = {"hardware_id": "esp32-a0b1c2d3e4f5", "mqtt": {"host": "127.0.0.1", "port": 1}}
    (tmp_path / "node.json").write_text(json.dumps(settings))
    return tmp_path


def test_the_ring_is_what_it_was_in_the_next_boot(command: Start, folder: Path) -> None:
    """Blocks, their order and the losses, read back from files; a damaged block is passed over."""
    sample = "[[{0}, 0, 'c', '', 1.5], [{0} + 1, 0, 'c', '', 2]]"
    play(
        command,
        folder,
        f"r = ring.Ring(folder, 4)\nfor n in range(1, 13, 2):\n    r.put('b1', {sample.format('n')})",
    )
    assert len(list(folder.glob("ring.*"))) == 4
    (folder / "ring.0").write_bytes(b"torn")
    lines = play(
        command,
        folder,
        "r = ring.Ring(folder, 4)\nprint(r.lost)\nwhile r.count:\n    print(r.fetch())\n    r.drop()",
    )
    assert lines[0] == "[['b1', 1, 4]]"
    told = " ".join(lines[1:])
    assert "[9, 0" in told
    assert "[11, 0" in told
    assert list(folder.glob("ring.[123]")) == []


def test_commands_that_acted_are_known_after_a_reboot(command: Start, folder: Path) -> None:
    """The last sixteen, each with how it ended where that is known."""
    body = "n = notes.Notes(folder, print)\nfor i in range(20):\n    n.remember('c%d' % i, None)\n"
    play(command, folder, body + "n.remember('r', 'DONE')")
    (line,) = play(command, folder, "print(notes.Notes(folder, print).seen())")
    assert "'c4'" not in line
    assert "('c5', ('ERROR', 'command_already_failed'))" in line
    assert "('r', ('DONE', None))" in line


def test_five_crashes_in_a_row_are_safe_mode(command: Start, folder: Path) -> None:
    """A node whose loop raises starts without drivers the sixth time; one long life ends the count."""
    crash = """
def turn(self):
    raise ValueError("a fault of ours")
run.Runner.turn = turn
board.sleep_ms = lambda ms: None
board.restart = lambda: print("restarted")
"""
    body = f"{crash}\nrun.main(folder)\nprint(run.Runner(folder).node.safe_mode)"
    found = [play(command, folder, body)[-1] for _ in range(5)]
    assert found == ["False"] * 4 + ["True"]
    lived = """
r = run.Runner(folder)
assert r.node.safe_mode
r.good_boot()
print(run.Runner(folder).node.safe_mode)
"""
    assert play(command, folder, lived)[-1] == "False"


def test_a_boot_that_lives_ends_the_count(command: Start, folder: Path) -> None:
    """After a minute the crashes before it are forgotten, in one write."""
    body = """
n = notes.Notes(folder, print)
for _ in range(3):
    n.bad_boot()
r = run.Runner(folder)
r.turn()
assert r.notes.bad == 3
real = board.now_ms
board.now_ms = lambda: real() + 61000
r.turn()
print(r.notes.bad, notes.Notes(folder, print).bad)
"""
    assert play(command, folder, body)[-2:][-1:] == ["0 0"]


def test_flash_that_takes_no_note_is_told(command: Start, folder: Path) -> None:
    """The command acts all the same, and the gateway reads of it."""
    body = """
from gwnode import flash
def write(*words):
    raise OSError(28)
flash.write = write
r = run.Runner(folder)
r.remember("c", None)
print(r.events)
"""
    assert "notes not written" in play(command, folder, body)[-1]


def test_a_driver_that_misbehaves_costs_its_own_channel(command: Start, folder: Path) -> None:
    """It raises when it is opened, read, or told to act: an event each, and the other one goes on."""
    body = """
from gwnode import hardware
events = []
made = hardware.Hardware(folder, {"simulate": True}, events)
class Bad:
    def __init__(self, pins, channel):
        if channel["name"] == "worst":
            raise KeyError("no such thing")
    def read(self):
        return 1 // 0
    do = None
from gwnode.drivers import sim
kind = sim.kind
sim.kind = lambda name: Bad if name == "relay" else kind(name)
found = [({"name": name}, "relay") for name in ("worst", "bad")] + [({"name": "good"}, "pwm")]
made.open(found)
for name in ("worst", "bad"):
    made.read(name)
for name in ("worst", "bad", "good"):
    made.drive(name, 1)
made.open([])
for event in events[1:]:
    print(event[1], event[2], bool(event[3]))
"""
    assert play(command, folder, body)[-5:] == [
        "unread worst True",
        "unread bad True",
        "driven worst True",
        "driven bad True",
        "driven good False",
    ]


def test_a_sleeper_on_a_pc_sleeps_and_starts_again(command: Start, folder: Path) -> None:
    """It closes its link, is off for so long, and ends as a restart does; whoever started it starts
    it again."""
    body = """
import time
r = run.Runner(folder)
start = time.time()
try:
    r.sleep(2)
except SystemExit as error:
    print(error.args[0], time.time() - start >= 1)
"""
    assert play(command, folder, body)[-1] == "3 True"


def test_what_finds_no_memory_is_told(command: Start, folder: Path) -> None:
    """A message that is given up for want of memory is a trouble that the gateway reads of, once."""
    body = """
r = run.Runner(folder)
r.events.clear()
step = r.node.step
def hungry(event, now):
    if event[0] == "message":
        raise MemoryError
    return step(event, now)
r.node.step = hungry
for _ in range(3):
    r._step(("message", "t/config", bytearray(b"{}")))
    while r.events:
        r._step(r.events.pop(0))
print(r.node.troubles)
"""
    assert play(command, folder, body)[-1] == "[['memory', 'no memory for: message', False]]"
