"""What a node is made of on this machine: the device's files, umqtt.simple, and the interpreter.

Rules of this file. What the environment names (UMQTT_DIR, MICROPYTHON) comes before what lies around. What is
not there is said with the way to get it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from gateway.errors import GatewayError

_LEAST_MICROPYTHON = (1, 24)


class Parts(NamedTuple):
    """What a node is made of on this machine."""

    device: Path
    umqtt: Path
    micropython: Path | None

    @property
    def kind(self) -> str:
        """`real MicroPython` or `CPython`, for the story."""
        return "real MicroPython" if self.micropython else "CPython"


def find_device() -> Path:
    """The folder of the node's files. Raises GatewayError."""
    package, source = _places()
    device = next((d for d in (package / "_device", source / "device") if _is_device(d)), None)
    if device is None:
        raise GatewayError(
            "the node's files are not here",
            why=f"neither {package / '_device'} nor {source / 'device'} has a main.py",
            hint="install the gateway again, or run this in its source folder",
        )
    return device


def find_umqtt() -> Path | None:
    """The folder that holds `umqtt/simple.py`, None where nobody fetched it."""
    given = os.environ.get("UMQTT_DIR")
    places = [Path(given)] if given else [Path(".cache/umqtt"), _places()[1] / ".cache/umqtt"]
    return next((p.resolve() for p in places if (p / "umqtt" / "simple.py").is_file()), None)


def find_micropython() -> Path | None:
    """The interpreter that MICROPYTHON names, else the one beside our Python, None where there is none.
    Raises GatewayError where the one that is named is no MicroPython that the node runs on."""
    given = os.environ.get("MICROPYTHON")
    if given:
        found = shutil.which(given) or given  # a name alone is looked up as a shell does
        _check_micropython(found)
        return Path(found).absolute()
    place = Path(sys.executable).parent / "micropython"
    return place if os.access(place, os.X_OK) else None


def _check_micropython(given: str) -> None:
    words = [given, "-c", "import sys; print(sys.implementation.name, *sys.implementation.version)"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - whoever starts us names it
        name, *version = done.stdout.split() or [f"nothing ({done.stderr.strip()[:80]})"]
        why = f"it says that it is {' '.join([name, *version[:3]])}"
        good = name == "micropython" and tuple(map(int, version[:2])) >= _LEAST_MICROPYTHON
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        good, why = False, str(error)
    if not good:
        raise GatewayError(
            f"MICROPYTHON names no MicroPython that the node runs on: {given}",
            why=why,
            hint="name MicroPython 1.24 or later for this machine, or unset MICROPYTHON",
        )


def find_parts() -> Parts:
    """The device files, umqtt and MicroPython. Raises GatewayError naming what is missing."""
    device, umqtt = find_device(), find_umqtt()
    if umqtt is None:
        raise GatewayError(
            "umqtt.simple is not here, and a node in a process of its own needs it",
            why="it is in a clone's .cache/umqtt after make run, and UMQTT_DIR may name its folder",
            hint="in a clone: python tools/fetch_umqtt.py; "
            "gateway simulate without --micropython needs none",
        )
    return Parts(device, umqtt, find_micropython())


def _places() -> tuple[Path, Path]:
    """(the package, the folder it lies in)."""
    import gateway

    package = Path(gateway.__file__).parent
    return package, package.parent


def _is_device(folder: Path) -> bool:
    return (folder / "main.py").is_file()
