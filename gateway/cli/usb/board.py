"""A board on USB: everything that is said to it goes through the real `mpremote`, as a subprocess.

Rules of this file. Paths on the board are relative: a board's working folder is its root. A call begins
with Ctrl+C and a soft reset, so a node that runs is stopped by it; `listen` alone disturbs nothing.
What mpremote prints when it fails becomes an error that says what to type next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Timer
from typing import Any, NamedTuple

from gateway.cli.usb.advice import Port, explained
from gateway.errors import BoardError

NO_WATCHDOG = "no_watchdog"
"""The file that keeps a node from beginning its watchdog, which nobody can stop once it runs."""

_PATIENCE = 15.0  # seconds for one call; mpremote itself waits for ever where nobody answers
_ONE_FILE = 10.0  # and so many more for each file of a copy
_FAILED = "the board does not do what it should"
_AWAY = 20.0  # seconds that a board may be away for a reset
_HELPERS = """
import os, sys, json
def read(path):
    with open(path) as file:
        return file.read()
def kept(path):
    try:
        return read(path)
    except OSError:
        return None
def tell(value):
    print(json.dumps(value))
"""
_LOOK = """
import binascii, hashlib
def digest(path):
    made, part = hashlib.sha256(), bytearray(512)
    with open(path, "rb") as file:
        count = file.readinto(part)
        while count:
            made.update(memoryview(part)[:count])
            count = file.readinto(part)
    return binascii.hexlify(made.digest()).decode()
hashes = {}
for path in PATHS:
    try:
        hashes[path] = digest(path)
    except OSError:
        pass
disk = os.statvfs("/")
tell({"machine": getattr(sys.implementation, "_machine", sys.platform),
      "version": ".".join([str(n) for n in sys.implementation.version[:3]]),
      "free": disk[0] * disk[3], "hashes": hashes, "node": kept("node.json"),
      "ours": kept("main.py") is not None})
"""


class Facts(NamedTuple):
    """What a board says about itself."""

    machine: str
    version: str
    free: int
    hashes: dict[str, str]
    settings: dict[str, Any]
    has_node: bool


def ports() -> list[Port]:
    """The serial ports of boards on USB, as `mpremote connect list` tells them."""
    found = []
    for line in mpremote("connect", "list").splitlines():
        device, _serial, usb, *about = line.split(" ")
        if usb != "0000:0000":  # a port of the machine's own
            found.append(Port(device, usb, " ".join(w for w in about if w != "None")))
    return found


def choose(given: str | None) -> Port:
    """The port that was named, else the only one there is. Raises BoardError."""
    if given is not None:
        return next((port for port in ports() if port.device == given), Port(given, "", ""))
    found = ports()
    if len(found) == 1:
        return found[0]
    if not found:
        raise BoardError(
            "no board is plugged in",
            why="mpremote finds no serial port on USB (some cables only charge)",
            hint="plug it in, then: gateway node ports",
        )
    raise BoardError(
        f"{len(found)} boards are plugged in",
        why=", ".join(port.device for port in found),
        hint=f"say which: --port {found[0].device}",
    )


class Board:
    """One board."""

    def __init__(self, port: Port) -> None:
        self.port = port

    def run(self, script: str) -> Any:
        """Run MicroPython on the board; returns what the script told with `tell`. Raises BoardError."""
        printed = self._call("exec", _HELPERS + script)
        line = printed.strip().rpartition("\n")[2]
        return json.loads(line) if line else None

    def look(self, paths: Sequence[str] = ()) -> Facts:
        """Who it is, and the SHA-256 of those of the files that it has."""
        found = self.run(f"PATHS = {list(paths)!r}\n{_LOOK}")
        try:
            settings = json.loads(found["node"] or "{}")
        except ValueError:
            settings = {}
        kept = settings if isinstance(settings, dict) else {}
        return Facts(
            found["machine"], found["version"], found["free"], found["hashes"], kept, found["ours"]
        )

    def copy(self, files: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Copy (from here, to there) in one call; yields each name on the board when its turn comes."""
        if not files:
            return
        folders = sorted({parent for _, there in files for parent in _parents(there)})
        self.run(
            f"for folder in {folders!r}:\n"
            "    try:\n        os.mkdir(folder)\n    except OSError:\n        pass\n"
        )
        words = ["connect", self.port.device, "resume"]
        for here, there in files:
            words += ["fs", "cp", here, f":{there}", "+"]
        process = subprocess.Popen(  # noqa: S603 - our own Python and our own words
            [*_command(), *words[:-1]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with process, _ended_after(_PATIENCE + len(files) * _ONE_FILE, process):
            assert process.stdout is not None
            line = ""
            for line in process.stdout:
                if line.startswith("cp "):
                    yield line.rstrip("\n").rpartition(" :")[2]
        if process.returncode:
            failed = BoardError(_FAILED, why=line.strip().removeprefix("mpremote: "))
            raise explained(failed, self.port)

    def can_import(self, module: str) -> bool:
        """True where it lies on the board or is part of its firmware. Raises BoardError."""
        script = (
            f"try:\n    import {module}\n    tell(True)\nexcept ImportError:\n    tell(False)\n"
        )
        return bool(self.run(script))

    def install(self, package: str) -> None:
        """`NAME@VERSION` of micropython-lib into `lib`, by way of this machine's network. Raises
        BoardError."""
        try:
            self._call("mip", "install", "--target", "lib", package)
        except BoardError as error:
            raise BoardError(
                f"{package} could not be fetched for the board",
                why=error.why,
                hint="connect this machine to the internet, or run this in a clone after make run",
            ) from error

    def reset(self) -> None:
        """A hard reset, as if power had come; returns at once."""
        self._call("resume", "reset")

    def come_back(self) -> None:
        """Wait until the board answers again. Raises BoardError."""
        deadline = time.monotonic() + _AWAY
        while True:
            try:
                self.run("")
            except BoardError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _call(self, *words: str) -> str:
        try:
            return mpremote("connect", self.port.device, *words)
        except BoardError as error:
            raise explained(error, self.port) from error


def listening(device: str) -> tuple[subprocess.Popen[bytes], int]:
    """mpremote as somebody who only reads the serial line: (the process, what keeps it from ending).

    Its stdin is a terminal on which nobody types; without one it does not start.
    """
    keyboard, its_end = os.openpty()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own Python and a port
            [*_command(), "connect", device, "resume", "repl"],
            stdin=its_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(its_end)
    return process, keyboard


def repl_command(device: str) -> list[str]:
    """The command that gives a person the board's prompt."""
    return [*_command(), "connect", device, "resume", "repl"]


@contextmanager
def _ended_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[None]:
    """A board that falls silent in the middle must not hold us for ever."""
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if process.poll() is None:
            process.terminate()


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _command() -> list[str]:
    if find_spec("mpremote") is None:
        raise BoardError(
            "mpremote is not installed",
            why="it is what talks to boards, and comes with the extra [device]",
            hint=f"{sys.executable} -m pip install mpremote",
        )
    return [sys.executable, "-m", "mpremote"]


def mpremote(*words: str) -> str:
    """What it printed. Raises BoardError with its last line as `why`."""
    try:
        done = subprocess.run(  # noqa: S603 - our own Python and our own words
            [*_command(), *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BoardError(
            "the board does not answer", why=f"nothing within {_PATIENCE:.0f} s"
        ) from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = (
            said[-1].removeprefix("mpremote: ")
            if said
            else f"mpremote ended with {done.returncode}"
        )
        raise BoardError(_FAILED, why=why)
    return done.stdout
