"""What goes onto a board: all of it, and not too much of it."""

from __future__ import annotations

import json
from pathlib import Path

DEVICE = Path(__file__).parents[2] / "device"
FILES = sorted(path for path in DEVICE.glob("gwnode/**/*.py") if path.name != "pc.py")
"""All but the one that no board ever loads."""
MOST_CORE, MOST_MPY = 26_300, 44 * 1024
"""Bytes of what an image has loaded always, and of all of it."""


def test_the_package_names_every_file() -> None:
    """`mpremote mip install device/package.json` brings each file of gwnode, under its own name."""
    package = json.loads((DEVICE / "package.json").read_text())
    names = [path.relative_to(DEVICE).as_posix() for path in FILES]
    assert package["urls"] == [[name, name] for name in names]
    assert [name for name, _version in package["deps"]] == ["umqtt.simple"]


def test_the_package_has_the_version_that_the_node_tells() -> None:
    """Who reads `fw_version` in a hello finds that package."""
    package = json.loads((DEVICE / "package.json").read_text())
    assert f'VERSION = "{package["version"]}"' in (DEVICE / "gwnode/__init__.py").read_text()


def test_an_image_fits_a_board(image: Path) -> None:
    """MicroPython's own compiler takes every file; what every node loads and all of it keep to their
    sums, so that nothing grows unnoticed."""
    sizes = {
        path.relative_to(image).as_posix(): path.stat().st_size for path in image.glob("**/*.mpy")
    }
    assert sum(sizes.values()) <= MOST_MPY, sizes
    assert sizes["gwnode/__init__.mpy"] <= MOST_CORE, sizes


def test_nothing_on_the_signing_path_uses_floats() -> None:
    """A board's floats have 32 bits, so no file that a signature depends on may make one."""
    for name in ("text", "canonical", "number", "protocol", "commands"):
        text = (DEVICE / "gwnode" / f"{name}.py").read_text()
        assert "float(" not in text, name
        assert " / " not in text, name
