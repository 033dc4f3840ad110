"""docs/promises.md names tests, and each of them exists; every promise of the house has some."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_exists(path: str, name: str) -> None:
    """A test that is renamed or removed takes its line of the page with it."""
    tree = ast.parse((ROOT / path).read_text())
    functions = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert name in functions


def test_every_promise_has_a_test_and_a_limit() -> None:
    """Eight promises, each with a test that tries to break it and with what is not promised."""
    promises = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [text[:2] for text in promises] == [f"{number}." for number in range(1, 9)]
    for text in promises:
        head = text.splitlines()[0]
        assert "::test_" in text, head
        assert "Not promised" in text, head
