"""The source tree as the house tests see it: read from disk, never from a list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Import(NamedTuple):
    """`from module import name` (name "" for `import module`) that runs when the code runs."""

    line: int
    module: str
    name: str

    @property
    def top(self) -> str:
        """The first part of the module's name."""
        return self.module.partition(".")[0]


class Source:
    """One Python file; `path` is relative to the repository, `module` its dotted name."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.path = file.relative_to(ROOT).as_posix()
        self.text = file.read_text("utf-8")
        self.tree = ast.parse(self.text)
        parts = file.relative_to(ROOT).with_suffix("").parts
        self.package = parts[:-1]
        self.module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self) -> Iterator[Import]:
        """Every import outside of `if TYPE_CHECKING:`, those inside of functions included."""
        for node in _running(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(node.lineno, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if node.level:
                    above = self.package[: len(self.package) - node.level + 1]
                    module = ".".join((*above, *filter(None, [module])))
                yield from (Import(node.lineno, module, alias.name) for alias in node.names)

    def __repr__(self) -> str:
        return self.path


class House:
    """The repository."""

    root = ROOT

    def __init__(self) -> None:
        self._sources: dict[Path, Source] = {}

    def under(self, *folders: str) -> list[Source]:
        """The Python files below these folders of the repository."""
        files = sorted(
            file
            for folder in folders
            for file in (ROOT / folder).rglob("*.py")
            if not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
        )
        for file in files:
            if file not in self._sources:
                self._sources[file] = Source(file)
        return [self._sources[file] for file in files]

    def folders(self) -> list[str]:
        """The folders of the repository that hold Python."""
        found = [f.name for f in ROOT.iterdir() if f.is_dir() and not f.name.startswith((".", "_"))]
        return sorted(name for name in found if self.under(name))

    def plugin_packages(self) -> dict[str, list[Source]]:
        """The import packages of the shelf `plugins/`, with their files."""
        packages = sorted((ROOT / "plugins").glob("*/gateway_*/"))
        return {one.name: self.under(one.relative_to(ROOT).as_posix()) for one in packages}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree without those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


@pytest.fixture(scope="session")
def house() -> House:
    """The repository, each file read once."""
    return House()
