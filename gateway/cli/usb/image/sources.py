"""The node's files as a program: which module binds which name, and what a name of another one means.

Rules of this file. What it does not understand ends the build: a star import, a module that is not
there, a name that a module has not. What only a PC has is gone before anybody looks.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.cli.usb.image.onboard import PC, OnBoard
from gateway.errors import DataError

PACKAGE = "gwnode"


class Origin(NamedTuple):
    """What a name stands for: `ours` (a global of a module), `module`, or `outside` (not of this program)."""

    kind: str
    module: str
    name: str


class Module:
    """One file. `name` is relative to the package: "run", "drivers.sim", "" for the package itself."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        tree = OnBoard().visit(ast.parse(text))
        self.tree: ast.Module = ast.fix_missing_locations(tree)
        self.bound = set(bound(self.tree.body))
        self.rebound = {
            name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Global)
            for name in node.names
        }
        """Globals that a function assigns: nobody may have a copy of one."""

    def refuse(self, node: ast.AST, why: str) -> DataError:
        """An error that names the place."""
        line = getattr(node, "lineno", 0)
        return DataError(
            f"no image can be built of {PACKAGE}/{self.name or '__init__'}.py",
            why=f"line {line}: {why}",
            hint="write it otherwise, or teach gateway/cli/usb/image what it means",
        )

    def base(self, node: ast.ImportFrom) -> str | None:
        """The module that a relative import begins at; None for one that is not relative."""
        if not node.level:
            return None
        package = self.name.split(".")[:-1] if self.name else []
        above = package[: len(package) - node.level + 1] if node.level > 1 else package
        if node.level - 1 > len(package):
            raise self.refuse(node, "it imports from above the package")
        return ".".join([*above, *filter(None, [node.module])])


class Program:
    """All modules; `texts` is module -> source."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.modules = {name: Module(name, text) for name, text in texts.items() if name != PC}
        self.outside: dict[tuple[str, str], tuple[str | None, str]] = {}
        """What a name from outside is: two with the same words are one."""
        self._origins: dict[tuple[str, str], Origin] = {}
        for module in self.modules.values():
            for name in module.bound:
                self.origin(module, name, module.tree)

    def imported(self, module: Module, node: ast.ImportFrom) -> Iterator[tuple[str, Origin]]:
        """(the name here, what it stands for) of a relative import."""
        base = module.base(node)
        assert base is not None
        if base not in self.modules:
            raise module.refuse(node, f"there is no module {base!r}")
        for alias in node.names:
            if alias.name == "*":
                raise module.refuse(node, "a star import")
            inner = f"{base}.{alias.name}" if base else alias.name
            # a file of the package is meant where nothing in it has that name
            if inner in self.modules and alias.name not in self.modules[base].bound:
                found = Origin("module", inner, "")
            else:
                found = self.origin(self.modules[base], alias.name, node, module)
            yield alias.asname or alias.name, found

    def origin(
        self, module: Module, name: str, node: ast.AST, asker: Module | None = None
    ) -> Origin:
        """What a module's global is; `asker` is the module that wants to know, at `node`."""
        if name not in module.bound:
            raise (asker or module).refuse(node, f"{module.name or PACKAGE} has no {name}")
        if (module.name, name) not in self._origins:
            self._origins[module.name, name] = self._look(module, name)
        return self._origins[module.name, name]

    def _look(self, module: Module, name: str) -> Origin:
        for statement in _statements(module.tree.body):
            if isinstance(statement, ast.ImportFrom) and statement.level:
                for here, found in self.imported(module, statement):
                    if here == name:
                        return found
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                for alias in statement.names:
                    if (alias.asname or alias.name.split(".")[0]) == name:
                        self.outside[module.name, name] = (
                            getattr(statement, "module", None),
                            alias.name,
                        )
                        return Origin("outside", module.name, name)
        return Origin("ours", module.name, name)

    def loads(self, name: str) -> Iterator[str]:
        """The modules that one loads when it is loaded itself, in that order."""
        module = self.modules[name]
        for statement in _statements(module.tree.body):
            if isinstance(statement, ast.ImportFrom) and statement.level:
                base = module.base(statement)
                assert base is not None
                yield base
                for _, found in self.imported(module, statement):
                    yield found.module

    def order(self, first: str, chosen: Collection[str]) -> list[str]:
        """`chosen` in the order in which Python would run them, beginning with `first`."""
        done: list[str] = []

        def run(name: str, above: tuple[str, ...]) -> None:
            if name in done or name in above or name not in chosen:
                return
            for other in self.loads(name):
                run(other, (*above, name))
            done.append(name)

        run(first, ())
        for name in sorted(chosen):
            run(name, ())
        return done


def defined(tree: ast.Module) -> Iterator[tuple[ast.Module | ast.ClassDef, ast.FunctionDef]]:
    """Each function of a module, and each method of its classes; first in what it is defined."""
    blocks: list[ast.Module | ast.ClassDef] = [tree]
    blocks += [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for above in blocks:
        for node in above.body:
            if isinstance(node, ast.FunctionDef):
                yield above, node


def mentions(trees: Iterable[ast.Module]) -> Counter[str]:
    """How often each name stands somewhere without being defined there."""
    found: Counter[str] = Counter()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found[name] += 1
    return found


def sets(tree: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes that are set, or deleted, in there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node


def bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a block binds in its own scope."""
    for node in _scope(body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0]


_SCOPES = (
    ast.FunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def _scope(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node of one scope; of an inner scope only the node that opens it."""
    left: list[ast.AST] = list(body)
    while left:
        node = left.pop(0)
        yield node
        if not isinstance(node, _SCOPES):
            left[:0] = list(ast.iter_child_nodes(node))


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    return (node for node in _scope(body) if isinstance(node, ast.stmt))
