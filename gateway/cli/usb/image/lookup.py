"""What a name means at a place of the program, and how the file of the image says that.

Rules of this file. A name of a module is found through its imports, never by its spelling. Modules
of one file see each other's globals; what lies in another file is imported under the same short name.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.cli.usb.image.names import PUBLIC, Names
from gateway.cli.usb.image.sources import PACKAGE, Module, Origin, Program

_LONGEST = 12  # of a text that is cheaper written again than imported


class Local(NamedTuple):
    """What a function calls something: a new name ("" for an import that is not needed), and what
    it stands for where it is imported."""

    name: str
    origin: Origin | None = None


class Scope(NamedTuple):
    """The names of a function, of a comprehension or of a class."""

    names: Mapping[str, Local]
    is_class: bool = False


class Homes:
    """Which module lives in which file of the image, by the name of the file's first module."""

    def __init__(self, program: Program, groups: Sequence[Sequence[str]]) -> None:
        self._home = {name: name for name in program.modules}
        for first, *others in groups:
            for name in others:
                self._home[name] = first
        self.members: dict[str, list[str]] = {}
        for name, home in self._home.items():
            self.members.setdefault(home, []).append(name)
        for module, name in PUBLIC:
            if self._home[module] not in ("", module):
                raise program.modules[module].refuse(
                    ast.Pass(), f"{module}.{name} is called from outside"
                )

    def of(self, module: str) -> str:
        """The file of a module."""
        return self._home[module]


class Constants:
    """Globals that are the same number, text or bytes for ever: the compiler puts them in."""

    def __init__(self, program: Program) -> None:
        self._values: dict[tuple[str, str], ast.expr] = {}
        for module in program.modules.values():
            module.tree.body = [one for node in module.tree.body for one in _apart(node)]
            counts = Counter(
                node.id
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            for node in module.tree.body:
                found = constant(node)
                if found and counts[found[0]] == 1 and (module.name, found[0]) not in PUBLIC:
                    self._values[module.name, found[0]] = found[1]

    def value(self, module: str, name: str) -> ast.expr | None:
        """Its value; None for what is no constant."""
        return self._values.get((module, name))


def constant_name(module: str, name: str) -> str:
    """A name that the compiler keeps to itself, because it begins so."""
    return f"_{(module or PACKAGE).replace('.', '_')}_{name}"


def constant(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """(name, value) of `NAME = const(...)`, and of `NAME = value` where others may read it."""
    match node:
        case ast.Assign([ast.Name(name)], ast.Call(ast.Name("const"), [value])):
            return name, value
        case ast.Assign([ast.Name(name)], ast.Constant(value) as given) if name[0] != "_":
            is_short = isinstance(value, str | bytes) and len(value) <= _LONGEST
            return (name, given) if is_short or type(value) is int else None
    return None


def _apart(node: ast.stmt) -> list[ast.stmt]:
    """`A, B = 1, 2` as two statements."""
    match node:
        case ast.Assign([ast.Tuple(names)], ast.Tuple(values)) if len(names) == len(values):
            if all(isinstance(value, ast.Constant) for value in values):
                return [
                    ast.copy_location(ast.Assign([name], value), node)
                    for name, value in zip(names, values, strict=True)
                ]
    return [node]


class Lookup(ast.NodeTransformer):
    """Writes names anew."""

    def __init__(
        self, program: Program, homes: Homes, names: Names, constants: Constants, home: str
    ) -> None:
        self.program = program
        self.homes = homes
        self.names = names
        self.constants = constants
        self.home = home
        self.module: Module = program.modules[home]
        self.scopes: list[Scope] = []
        self.needed: dict[str, set[str]] = {}
        """File -> what this one needs of it at once."""
        self._meant: dict[str, object] = {}

    def find(self, name: str) -> Local | None:
        """What the functions and classes around here call so."""
        for scope in reversed(self.scopes):
            if name in scope.names and (not scope.is_class or scope is self.scopes[-1]):
                return scope.names[name]
        return None

    def written(self, origin: Origin, node: ast.AST) -> str:
        """A global's name in the image."""
        if origin.kind == "module":
            raise self.module.refuse(node, f"the module {origin.module} as a value")
        if origin.kind == "ours":
            in_class = bool(self.scopes) and self.scopes[-1].is_class
            return self.names.of_global(origin.module, origin.name, in_class=in_class)
        return origin.name

    def of_global(self, origin: Origin, node: ast.AST, ctx: ast.expr_context) -> ast.expr:
        """A global of any module, as this file has it."""
        is_here = self.homes.of(origin.module) == self.home
        value = self.constants.value(origin.module, origin.name)
        if value is not None and is_here:
            return ast.Name(constant_name(origin.module, origin.name), ctx)
        if value is not None:
            if not isinstance(value, ast.Constant):
                raise self.module.refuse(
                    node, f"{origin.name} of {origin.module} is no plain value"
                )
            return value
        name = self.written(origin, node)
        meant = self.program.outside.get((origin.module, origin.name), origin)
        if self._meant.setdefault(name, meant) != meant:
            raise self.module.refuse(node, f"{name} would be two things in one file")
        if not is_here:
            if origin.name in self.program.modules[origin.module].rebound:
                raise self.module.refuse(node, f"{origin.name} of {origin.module} is set later on")
            self.needed.setdefault(self.homes.of(origin.module), set()).add(name)
        return ast.Name(name, ctx)

    def origin(self, node: ast.expr) -> Origin | None:
        """The module or global that a name stands for; None for a local and for what is built in."""
        if not isinstance(node, ast.Name):
            return None
        local = self.find(node.id)
        if local is not None:
            return local.origin
        if node.id in self.module.bound:
            return self.program.origin(self.module, node.id, node)
        return None

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A local, a global, or a name of Python's."""
        local = self.find(node.id)
        if local is not None and local.name:
            if local.origin is not None and local.origin.kind == "module":
                raise self.module.refuse(node, f"the module {local.origin.module} as a value")
            return ast.Name(local.name, node.ctx)
        origin = self.origin(node)
        if origin is not None:
            return self.of_global(origin, node, node.ctx)
        if node.id != "const" and not hasattr(builtins, node.id):
            raise self.module.refuse(node, f"nobody knows the name {node.id}")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """A global of another module, or an attribute of some object."""
        origin = self.origin(node.value)
        if origin is None or origin.kind != "module":
            node.value = self.visit(node.value)
            node.attr = self.names.of_attribute(node.attr)
            return node
        if not isinstance(node.ctx, ast.Load):
            raise self.module.refuse(node, "a global of another module is set")
        found = self.program.origin(
            self.program.modules[origin.module], node.attr, node, self.module
        )
        local = self.find(node.value.id) if isinstance(node.value, ast.Name) else None
        if local is not None and local.name:  # a file that this function loads
            return ast.Attribute(
                ast.Name(local.name, ast.Load()), self.written(found, node), node.ctx
            )
        return self.of_global(found, node, node.ctx)
