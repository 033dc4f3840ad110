"""The least heap in which a node lives, by bisection, for docs/figures.md.

python tests/device/least.py [--kind KIND ...] [--config BYTES] [--hours 2] [--times 3]

romfs is an image in place, mpy one in the heap, files the node's files as `gateway node deploy` copies them,
frozen an interpreter with the node in it, built with what `gateway node image --kind frozen` makes. MICROPYTHON
names another interpreter than the one of this environment, as for the tests. A heap is enough where it was
so each of several times: chance decides where in it the pieces lie.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "device")]

import test_sizes as sizes  # noqa: E402 - the node's files come first
from authority import new_ca, sign  # noqa: E402 - the same
from in_image import InImage, made_image  # noqa: E402 - the same

from gateway.cli.parts import find_parts  # noqa: E402 - the same

KINDS = ("romfs", "mpy", "files", "frozen")
LEAST, MOST = 16, 256  # KB


class Row(NamedTuple):
    """A node: the core alone or with eight channels, with or without TLS."""

    name: str
    channels: list[dict[str, Any]]
    secure: bool


ROWS = (
    Row("core", [], False),
    Row("eight channels", sizes.SENSORS + sizes.ACTUATORS, False),
    Row("core over TLS", [], True),
    Row("eight channels over TLS", sizes.SENSORS + sizes.ACTUATORS, True),
)


class Lab:
    """The node in one kind, an authority and the interpreter, in a folder that goes away."""

    def __init__(self, folder: Path, kind: str, times: int) -> None:
        parts = find_parts()
        assert parts.micropython is not None
        self._folder = folder
        self._times = times
        self._micropython = str(parts.micropython)
        self._node = folder / f"node.{kind}"
        if kind == "files":
            shutil.copytree(parts.device, self._node)
            shutil.copytree(parts.umqtt / "umqtt", self._node / "umqtt")
        elif kind == "frozen":
            self._node.mkdir()
        else:
            made_image(kind, parts.umqtt, self._node)
        text = (Path(__file__).parent / "sizes_driver.py").read_text()
        self._driver = folder / "sizes_driver.py"
        self._driver.write_text(text if kind == "files" else InImage(parts.umqtt)(text))
        self._keys = folder / "keys"
        self._keys.mkdir()
        new_ca(self._keys, "ca")
        sign(self._keys, "good", "ca", 2)

    def fits(self, row: Row, heap_kb: int) -> bool:
        """A node lives through its hours in so much, each time."""
        return all(self._lives(row, heap_kb) for _ in range(self._times))

    def _lives(self, row: Row, heap_kb: int) -> bool:
        keys = self._keys if row.secure else None
        with tempfile.TemporaryDirectory(dir=self._folder) as day:
            words = (self._micropython, self._driver, Path(day), self._node)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    sizes.day(*words, heap_kb, row.channels, keys)
            except AssertionError:
                return False
        return True

    def least(self, row: Row) -> str:
        """The smallest heap, in words."""
        low, high = LEAST, MOST
        if not self.fits(row, high):
            return f"more than {MOST} KB"
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.fits(row, middle) else (middle, high)
        return f"{high} KB"


def main() -> None:
    """One line for each node of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kind", action="append", choices=KINDS, help="romfs and mpy, if none is named"
    )
    parser.add_argument("--config", type=int, default=sizes.LARGEST, help="bytes of its config")
    parser.add_argument("--hours", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    sizes.HOURS, sizes.LARGEST = options.hours, options.config
    for kind in options.kind or KINDS[:2]:
        with tempfile.TemporaryDirectory() as folder:
            lab = Lab(Path(folder), kind, options.times)
            for row in ROWS:
                print(f"{kind:<7} {row.name:<24} {lab.least(row)}", flush=True)


if __name__ == "__main__":
    main()
