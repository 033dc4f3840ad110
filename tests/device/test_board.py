"""What the node does to its board, on both interpreters and as an image: clock, watchdog, causes, crashes."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Start

FAKES = Path(__file__).parent / "fakes"
LATE = 1_999_999_999  # 2033
PLAY = f"""
import sys
sys.path[:0] = [{str(FAKES)!r}, {{files!r}}]
import machine
from gwnode import board, run
folder = {{folder!r}}
{{body}}
"""

Playing = Callable[[str], Any]


@pytest.fixture
def play(command: Start, tmp_path: Path) -> Playing:
    """Run some lines beside a board whose `machine` is ours; what they print last."""
    settings = {"hardware_id": "esp32-1", "mqtt": {"host": "127.0.0.1", "port": 1}}
    (tmp_path / "node.json").write_text(json.dumps(settings))
    words, environment, files, own = command
    if "MICROPYPATH" in environment:
        environment["MICROPYPATH"] = f"{FAKES}:{environment['MICROPYPATH']}"

    def run(body: str) -> Any:
        text = own(PLAY.format(folder=str(tmp_path), files=str(files), body=body))
        done = subprocess.run(
            [*words, "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return ast.literal_eval(done.stdout.splitlines()[-1])

    return run


def test_a_clock_that_is_behind_is_set_to_what_is_past(play: Playing, tmp_path: Path) -> None:
    """Before anything is opened, to the later of what the flashing wrote and what the node kept."""
    (tmp_path / "clock").write_text(f"{LATE}\n")
    made = "r = run.Runner(folder)"
    assert play(f"{made}; print(machine.done)") == [("clock", (2033, 5, 18, 2, 3, 33, 19, 0))]
    later = play(f"{made}; r.storage.keep_time({LATE + 86400}); print(r.storage.known_time())")
    assert later == LATE + 86400
    assert play(f"{made}; print(machine.done)") == [("clock", (2033, 5, 19, 3, 3, 33, 19, 0))]


def test_a_clock_that_is_right_is_left_alone(play: Playing, tmp_path: Path) -> None:
    """What is past is past for a clock that runs."""
    (tmp_path / "clock").write_text("1500000000")
    assert play("run.Runner(folder); print(machine.done)") == []


@pytest.mark.parametrize("content", ["", "soon", "-", "\x00" * 8])
def test_a_floor_that_cannot_be_read_is_none(play: Playing, tmp_path: Path, content: str) -> None:
    """It keeps no node from running."""
    (tmp_path / "clock").write_text(content)
    assert play("run.Runner(folder); print(machine.done)") == []


def test_the_time_is_kept_once_a_day(play: Playing, tmp_path: Path) -> None:
    """Flash wears: a clock that is set every minute is written once in 86,400 s, and only where the
    time came with a receipt or a signature."""
    body = f"""
r = run.Runner(folder)
writes = []
put = r.storage._times.put
r.storage._times.put = lambda content: (writes.append(content), put(content))
for trusted in (False, True):
    r.node.trusted_clock = trusted
    for minute in range(3000):
        r.node.wall = ({LATE} + minute * 60) * 1000 - board.now_ms()
        if r.node.trusted_clock:
            r.keep_time(r.node.unix(board.now_ms()))
print(len(writes))
"""
    assert play(body) == 3
    assert {"clock.a", "clock.b"} <= {path.name for path in tmp_path.iterdir()}


def test_a_hello_names_the_cause_of_the_reset(play: Playing) -> None:
    """A word, not a number that means something else on every board."""
    body = "machine.cause = machine.WDT_RESET; print(board.description()['reset_cause'].encode())"
    assert play(body) == b"wdt"


def test_the_watchdog_begins_with_a_receipt(play: Playing) -> None:
    """The real loop: nothing before a receipt counted, then fed by every round."""
    body = """
r = run.Runner(folder)
for heard in (False, True, True):
    r.node.heard = heard
    r.turn()
print([word for word in machine.done if word in ("watchdog", "feed")])
"""
    assert play(body) == ["watchdog", "feed", "feed"]


def test_behind_a_watchdogs_reset_it_begins_at_once(play: Playing, tmp_path: Path) -> None:
    """What hung may hang again before any receipt; but not where somebody is at work on the board."""
    body = "machine.cause = machine.WDT_RESET; run.Runner(folder); print(machine.done)"
    assert play(body) == ["watchdog", "feed"]
    (tmp_path / "no_watchdog").touch()
    assert play(body) == []


def test_a_message_that_finds_no_memory_costs_the_connection_and_no_more(play: Playing) -> None:
    """Half of it may have been taken in, so the connection begins anew; the node is not reset."""
    body = """
class Full:
    is_open, in_flight = True, 1
    def poll(self, wait_ms):
        raise MemoryError("memory allocation failed")
    def close(self):
        pass
r = run.Runner(folder)
r.node.connected = True
r.link = Full()
r.turn()
print((r.link, r.moved, r.node.connected, r.node.lost_messages, machine.done))
"""
    assert play(body) == (None, False, False, 1, [])


CRASH = """
def turn(self):
    raise ValueError(%s)
turn_, run.Runner.turn = run.Runner.turn, turn
board.sleep_ms = lambda count: None
try:
    run.main(folder)
except SystemExit as error:
    assert error.args == (5,), error
print(machine.done[-1].encode())
"""


def test_a_crash_is_kept_over_the_reset(play: Playing, tmp_path: Path) -> None:
    """The end of the traceback, at most 512 printable bytes; it is told by the next boot, and what is
    there already is not written again."""
    body = CRASH % '"the end ä" + chr(7)'
    assert play(body) == b"reset"
    kept = (tmp_path / "crash").read_text()
    assert kept.rstrip().endswith("ValueError: the end ??")
    assert "Traceback" in kept
    assert len(kept) <= 512
    written = (tmp_path / "crash").stat().st_mtime_ns
    play(body)
    assert (tmp_path / "crash").stat().st_mtime_ns == written
    told = play("r = run.Runner(folder); text = r.node.crash; r.forget_crash(); print([text])")
    assert told == [kept]
    assert not (tmp_path / "crash").exists()


def test_of_a_long_crash_the_end_is_kept(play: Playing, tmp_path: Path) -> None:
    """Whatever an error has to say, it takes no more of the flash and of a message than 512 bytes."""
    assert play(CRASH % '"x" * 3000 + "the end"') == b"reset"
    kept = (tmp_path / "crash").read_bytes()
    assert len(kept) == 512
    assert kept.rstrip().endswith(b"xthe end")


def test_the_light_shows_the_loop_and_a_crash(play: Playing, tmp_path: Path) -> None:
    """The real loop turns it each round; when it crashes it stays on until the board begins anew."""
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "led": "LED"}))
    body = """
class Pin:
    OUT = 1
    def __init__(self, name, mode, value):
        machine.done.append((name, int(value)))
    def value(self, level):
        machine.done.append(int(level))
machine.Pin = Pin
turn, turns = run.Runner.turn, []
def three(self):
    turns.append(1)
    if len(turns) > 3:
        raise ValueError("the end")
    turn(self)
run.Runner.turn = three
board.sleep_ms = lambda count: machine.done.append(("ms", count))
try:
    run.main(folder)
except SystemExit:
    pass
print([word for word in machine.done if word != ("ms", 50)])
"""
    first, *turns, last, pause, reset = play(body)
    assert first == ("LED", 0)
    assert len(turns) == 3
    assert set(turns) <= {0, 1}
    assert (last, pause, reset) == (1, ("ms", 1000), "reset")


def test_boots_are_told_apart(play: Playing) -> None:
    """Also where a board has no source of chance of its own."""
    many = "print(len(set([board.random_bytes(4) for _ in range(50)])))"
    assert play(many) == 50
    without = """
class Without:
    pass
board.os = Without()
"""
    assert play(without + many) >= 40
