"""docs/node says what is so: its pictures come from the table, and every line of the log stands in it."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gwnode import led

ROOT = Path(__file__).parents[2]
sys.path.append(str(Path(__file__).parent))
states = importlib.import_module("states")
DOCS = ROOT / "docs" / "node"


@pytest.mark.parametrize("name", ["CONNECTION", "CONFIG"])
def test_the_pictures_are_made_from_the_table(name: str) -> None:
    """states.md holds both pictures and both tables as tests/device/states.py makes them."""
    text = (DOCS / "states.md").read_text()
    table = getattr(states, name)
    for made in (states.picture(table), states.listing(table)):
        assert made in text, f"docs/node/states.md wants:\n{made}"


def said(tree: ast.AST) -> Iterator[str]:
    """The texts that a file of the node logs, as they stand there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            ours = isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
            if ours and node.func.attr in ("info", "error"):
                yield from texts(node.args[0])
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value == "log":
                yield from texts(node.elts[1])


def texts(node: ast.AST) -> Iterator[str]:
    """Its literal, or the literals of both branches."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.BinOp):
        yield from texts(node.left)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)


def test_every_line_of_the_log_is_explained() -> None:
    """What the node prints has a row in log.md that begins as the line does."""
    manual = (DOCS / "log.md").read_text()
    found = {
        text
        for path in (ROOT / "device" / "gwnode").rglob("*.py")
        for text in said(ast.parse(path.read_text()))
    }
    assert len(found) > 15
    beginnings = {text.split("%")[0].split("\n")[0].strip() for text in found} - {""}
    missing = [b for b in beginnings if f"`{b}" not in manual and f"`error: {b}" not in manual]
    assert missing == []


def test_every_pattern_of_the_light_is_in_the_manual() -> None:
    """led.md shows each pattern beside the state that has it, and no pattern that is none."""
    rows = [
        line.split(" | ") for line in (DOCS / "led.md").read_text().splitlines() if " | " in line
    ]
    shown = {row[1]: row[0].strip("| `") for row in rows if "#" in row[0]}
    assert shown == led.PATTERNS
    assert "heard" in {row[1] for row in rows}
