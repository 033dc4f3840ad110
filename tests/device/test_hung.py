"""A loop that hangs in a driver: the watchdog ends it, and the next boot makes the actuators safe first.

Real MicroPython and a real broker. The watchdog is ours: the stand-in for `machine` writes down each
feeding, and this file kills the interpreter when none came in its time, as the chip's own would.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from gwnode import protocol

from gateway.testing.broker import Mosquitto
from gateway.testing.process import Peer, until

ROOT = Path(__file__).parents[2]
NAME = "esp32-a0b1c2d3e4f5"
SECRET = "s" * 64
TEMP = f"hydro/gh-temp/zn-temp/{NAME}"
PUMP, PROBE = 5, 26
DOG = 1.5
"""Seconds; a board's has eight."""
MACHINE = """
import os, sys, time
WDT_RESET, PWRON_RESET = 3, 1
def told(text):
    with open("machine.log", "a") as file:
        file.write(text + "\\n")
def reset_cause():
    return WDT_RESET if "hung" in os.listdir() else PWRON_RESET
def reset():
    sys.exit(3)
class WDT:
    def __init__(self, timeout):
        told("dog")
    def feed(self):
        with open("fed", "w") as file:
            file.write(".")
class Pin:
    OUT = 1
    def __init__(self, number, mode=None, value=None):
        self.number = number
        if value is not None:
            self.value(value)
    def value(self, level):
        told("pin %d %d" % (self.number, level))
class ADC:
    def __init__(self, pin):
        if "hang_at_once" in os.listdir():
            told("hangs")
            while True:
                pass
    def read_u16(self):
        if "hang" in os.listdir():
            told("hangs")
            while True:
                pass
        return 1
"""


class Board:
    """The interpreter in a folder, under a watchdog that is not in it."""

    def __init__(self, micropython: str, places: list[Path], folder: Path, port: int) -> None:
        folder.mkdir()
        self.folder = folder
        self._micropython = micropython
        (folder / "machine.py").write_text(MACHINE)
        settings = {
            "hardware_id": NAME,
            "mqtt": {"host": "127.0.0.1", "port": port},
            "interval_s": 1,
            "simulate": False,
        }
        (folder / "node.json").write_text(json.dumps(settings))
        self._main = places[0] / "main.py"
        self._path = ":".join(map(str, [folder, *places, ".frozen"]))
        self._process: subprocess.Popen[bytes] | None = None
        self.resets = 0

    def boot(self) -> None:
        """Power, or the end of a reset."""
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._micropython, "-X", "heapsize=256k", self._main, "--dir", "."],
                cwd=self.folder,
                env={"MICROPYPATH": self._path},
                stdout=log,
                stderr=log,
            )

    def said(self) -> list[str]:
        """What was done to `machine`, oldest first."""
        path = self.folder / "machine.log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def watch(self) -> bool:
        """Reset it where the watchdog runs and was not fed; True where that happened."""
        assert self._process is not None
        lines = self.said()
        latest = max(i for i, line in enumerate(["boot", *lines]) if line == "boot")
        if "dog" not in lines[latest:]:
            return False
        files = (self.folder / "fed", self.folder / "machine.log")
        if time.time() - max(p.stat().st_mtime for p in files if p.exists()) < DOG:
            return False
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        (self.folder / "hung").touch()
        with (self.folder / "machine.log").open("a") as log:
            log.write("boot\n")
        self.resets += 1
        self.boot()
        return True

    def off(self) -> None:
        """No power."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)


def answer(peer: Peer, done: set[tuple[str, int]]) -> None:
    """The gateway: a receipt for each hello, signed where the node has its secret."""
    for hello in peer.heard("node_hello"):
        one = (hello["boot_id"], hello["seq"])
        if one in done:
            continue
        done.add(one)
        ack = {"hardware_id": NAME, "boot_id": one[0], "seq": one[1], "uid": "nd-1"}
        ack |= {"unix_ts": int(time.time()), "config_revision": 1}
        parts = [ack[name] for name in ("hardware_id", "boot_id", "seq", "unix_ts")]
        ack["sig"] = protocol.sign(SECRET, "hello_ack", *parts, 1)
        peer.say(f"{TEMP}/hello_ack", ack)


def config(channels: list[dict[str, object]], revision: int) -> dict[str, object]:
    """A signed envelope."""
    doc = {
        "node_id": "nd-1",
        "version": 3,
        "type": "ph",
        "gh_uid": "gh-temp",
        "zone_uid": "zn-temp",
    }
    doc |= {"mqtt": {"configured": True}, "wifi": {"configured": True}}
    text = json.dumps({**doc, "channels": channels, "node_secret": SECRET})
    sha = protocol.sha256_hex(text.encode())
    made = {"message_type": "config", "revision": revision, "sha256": sha, "doc": text}
    sig = protocol.sign(SECRET, "config", NAME, revision, sha)
    return {**made, "key": "open" if revision == 1 else "secret", "sig": sig}


PUMP_CHANNEL = {
    "name": "pump", "type": "ACTUATOR", "actuator_type": "RELAY", "relay_type": "NO", "pin": PUMP,
}  # fmt: skip
PROBE_CHANNEL = {"name": "probe", "type": "SENSOR", "pin": PROBE, "poll_interval_ms": 100}


def states(peer: Peer) -> list[tuple[int, str]]:
    """How far each config came."""
    return [(m["revision"], m["state"]) for m in peer.heard("config_report") if "state" in m]


@pytest.mark.timeout(300)
def test_a_loop_that_hangs_ends_with_its_actuators_safe(
    micropython: str, node_files: Path, umqtt: Path, tmp_path: Path
) -> None:
    """The pump runs when a sensor's driver never comes back: the watchdog resets the board, and the
    first thing that the next boot does to any pin is to put the pump into its safe state, before it
    has a connection. Five such boots, and it runs without drivers."""
    with Mosquitto(tmp_path / "broker") as broker:
        peer = Peer(broker.port).listen("hydro/#")
        board, done = (
            Board(micropython, [node_files, umqtt], tmp_path / "board", broker.port),
            set[tuple[str, int]](),
        )
        board.boot()

        def live(condition: object) -> bool:
            answer(peer, done)
            board.watch()
            return bool(condition() if callable(condition) else condition)

        try:
            until(lambda: live(lambda: done), 60, "a hello")
            peer.say(f"{TEMP}/config", config([PUMP_CHANNEL, PROBE_CHANNEL], 1))
            until(lambda: live(lambda: (1, "verified") in states(peer)), 60, "the config")
            command = {"cmd": "set_relay", "cmd_id": "on", "params": {"state": True}}
            command["ts"] = int(time.time())
            command["sig"] = protocol.sign_command(SECRET, json.dumps(command).encode())
            peer.say(f"{TEMP}/pump/command", command)
            until(lambda: live(lambda: board.said()[-1] == f"pin {PUMP} 1"), 30, "the pump runs")
            (board.folder / "hang").touch()
            until(lambda: live(lambda: board.resets == 1), 60, "the watchdog")
            until(lambda: live(lambda: board.said().index("boot") + 2 < len(board.said())), 60)
            after = board.said()[board.said().index("boot") + 1 :]
            assert next(line for line in after if line.startswith("pin")) == f"pin {PUMP} 0"
            assert f"pin {PUMP} 1" not in after
            until(lambda: live(lambda: peer.heard("node_hello", safe_mode=True)), 120, "safe mode")
            assert board.resets == 5
        finally:
            board.off()
            peer.close()


@pytest.mark.timeout(300)
def test_a_config_whose_driver_hangs_at_once_is_left(
    micropython: str, umqtt: Path, tmp_path: Path
) -> None:
    """It hangs before anything of the boot is connected, in each boot of its trial: the watchdog ends
    them, and the config before it runs again."""
    with Mosquitto(tmp_path / "broker") as broker:
        peer = Peer(broker.port).listen("hydro/#")
        board, done = (
            Board(micropython, [ROOT / "device", umqtt], tmp_path / "board", broker.port),
            set[tuple[str, int]](),
        )
        board.boot()

        def live(condition: object) -> bool:
            answer(peer, done)
            board.watch()
            return bool(condition() if callable(condition) else condition)

        try:
            until(lambda: live(lambda: done), 60, "a hello")
            peer.say(f"{TEMP}/config", config([PUMP_CHANNEL], 1))
            until(lambda: live(lambda: (1, "verified") in states(peer)), 60, "the good config")
            (board.folder / "hang_at_once").touch()
            peer.say(f"{TEMP}/config", config([PUMP_CHANNEL, PROBE_CHANNEL], 2))
            until(lambda: live(lambda: (2, "rolled_back") in states(peer)), 120, "rolled back")
            assert 3 <= board.resets <= 5
        finally:
            board.off()
            peer.close()
