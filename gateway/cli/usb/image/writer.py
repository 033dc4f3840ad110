"""One file of an image: the modules that live in it, one behind the other, with short names.

Rules of this file. Statements stay in the order in which Python would run them. Nothing changes but
names, and where they are imported from.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.cli.usb.image.lookup import Local, Lookup, Scope, constant, constant_name
from gateway.cli.usb.image.names import PUBLIC
from gateway.cli.usb.image.sources import PACKAGE, Origin, bound

_FIRST = "run"  # what main.py imports, and with it everything that is loaded always
_FORGET = Origin("ours", "", "forget")


class Writer(Lookup):
    """Writes one file."""

    _count = 0

    def write(self) -> ast.Module:
        """The file."""
        members = self.homes.members[self.home]
        body: list[ast.stmt] = []
        self._imported: set[str] = set()
        for name in self.program.order(_FIRST if _FIRST in members else self.home, members):
            self.module = self.program.modules[name]
            body += self._statements(self.module.tree.body)
        if not self.home:
            # who looks for these modules finds them in the package itself
            outside = sorted({module for module, _ in PUBLIC if module in members})
            body.append(ast.Import([ast.alias(PACKAGE, name) for name in outside]))
        return ast.fix_missing_locations(ast.Module([*self._header(), *body], []))

    def _header(self) -> Iterator[ast.stmt]:
        for home, names in sorted(self.needed.items()):
            yield self._import_from(home, [ast.alias(name) for name in sorted(names)])

    def _import_from(self, home: str, names: list[ast.alias]) -> ast.stmt:
        return ast.ImportFrom(home or None, names, self.home.count(".") + 1)

    def _statements(self, body: Iterable[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            one = self.visit(statement)
            made += one if isinstance(one, list) else [one] if one else []
        return made

    # -- statements that name something ----------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> ast.stmt | None:
        """A module from outside the program; once in a file."""
        if self.scopes:
            for alias in node.names:
                alias.asname = self.scopes[-1].names[alias.asname or alias.name].name
            return node
        if any(alias.asname or "." in alias.name for alias in node.names):
            raise self.module.refuse(node, "an import under another name than its own")
        is_sure = node in self.module.tree.body
        node.names = [alias for alias in node.names if alias.name not in self._imported]
        if is_sure:
            self._imported |= {alias.name for alias in node.names}
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt] | None:
        """Of ours: what is in another file, where a function wants it; else the header has it."""
        if not node.level:
            if self.scopes:
                raise self.module.refuse(node, "an import from outside within a function")
            return node
        made: list[ast.stmt] = []
        for here, origin in self.program.imported(self.module, node) if self.scopes else ():
            local = self.scopes[-1].names[here].name
            home = self.homes.of(origin.module)
            if local and origin.kind == "module":
                above, _, last = home.rpartition(".")
                made.append(self._import_from(above, [ast.alias(last, local)]))
            elif local:
                name = self.written(origin, node)
                made.append(self._import_from(home, [ast.alias(name, local)]))
        return made

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        """A constant is one for the compiler too."""
        found = None if self.scopes else constant(node)
        if found and self.constants.value(self.module.name, found[0]) is not None:
            name = ast.Name(constant_name(self.module.name, found[0]), ast.Store())
            value = self.visit(found[1])
            return ast.Assign([name], ast.Call(ast.Name("const", ast.Load()), [value], []))
        self.generic_visit(node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.stmt:
        """Globals of this module that a function sets."""
        if not set(node.names) <= self.module.bound:
            raise self.module.refuse(node, "a global that the module itself does not set")
        node.names = [self.names.of_global(self.module.name, name) for name in node.names]
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.stmt:
        """The node has none."""
        raise self.module.refuse(node, "nonlocal")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Its name is a local one."""
        if node.name:
            local = self.find(node.name)
            if local is None:
                raise self.module.refuse(node, "an exception is kept as a global")
            node.name = local.name
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Who forgets modules, forgets files."""
        if self.origin(node.func) == _FORGET:
            for word in node.args:
                name = word.value if isinstance(word, ast.Constant) else None
                if not isinstance(name, str) or self.homes.of(name) != name:
                    raise self.module.refuse(node, "it forgets what is no file of its own")
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        """A docstring goes."""
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) else node

    # -- scopes ----------------------------------------------------------------------------------

    def _defined(self, name: str) -> str:
        """What a function or class that is defined here is called."""
        local = self.find(name)
        return local.name if local else self.names.of_global(self.module.name, name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        """A function, with locals of its own."""
        node.name = self._defined(node.name)
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        self._enter(node.args, node.body)
        node.body = self._statements(node.body) or [ast.Pass()]
        self.scopes.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """A function of one expression."""
        self._enter(node.args, [])
        node.body = self.visit(node.body)
        self.scopes.pop()
        return node

    def _enter(self, args: ast.arguments, body: list[ast.stmt]) -> None:
        """The scope of a function. Parameters are stored in the file, so they all share a few names;
        other locals are not."""
        args.defaults = [self.visit(one) for one in args.defaults]
        if args.kwonlyargs or args.posonlyargs:
            raise self.module.refuse(args, "parameters of a kind that the node has not used yet")
        names: dict[str, Local] = {}
        is_inner = any(not scope.is_class for scope in self.scopes)
        shared = list(self.names.of_parameters([arg.arg for arg in args.args]))
        for number, arg in enumerate(args.args):
            is_shared = not is_inner and number < len(shared)
            names[arg.arg] = Local(shared[number]) if is_shared else self._local()
            arg.arg = names[arg.arg].name
        for more in filter(None, (args.vararg, args.kwarg)):
            names[more.arg] = self._local()
            more.arg = names[more.arg].name
        declared = {n for one in body for g in _globals(one) for n in g.names}
        imports = dict(self._imports(body))
        for name in bound(body):
            if name not in declared and name not in names:
                origin = imports.get(name)
                is_here = origin is not None and self.homes.of(origin.module) == self.home
                names[name] = Local("" if is_here else self._local().name, origin)
        self.scopes.append(Scope(names))

    def _imports(self, body: list[ast.stmt]) -> Iterator[tuple[str, Origin]]:
        for statement in body:
            for one in ast.walk(statement):
                if isinstance(one, ast.ImportFrom) and one.level:
                    yield from self.program.imported(self.module, one)

    def _local(self) -> Local:
        self._count += 1
        return Local(f"_{self._count}")

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        """What a class binds are attributes."""
        if node.keywords:
            raise self.module.refuse(node, "a class with keywords")
        node.name = self._defined(node.name)
        node.bases = [self.visit(one) for one in node.bases]
        names = {name: Local(self.names.of_attribute(name)) for name in bound(node.body)}
        self.scopes.append(Scope(names, is_class=True))
        node.body = self._statements(node.body) or [ast.Pass()]
        self.scopes.pop()
        return node

    def _comprehension(self, node: Any) -> Any:
        node.generators[0].iter = self.visit(node.generators[0].iter)
        targets = [n for one in node.generators for n in ast.walk(one.target)]
        names = {one.id: self._local() for one in targets if isinstance(one, ast.Name)}
        self.scopes.append(Scope(names))
        for number, generator in enumerate(node.generators):
            generator.target = self.visit(generator.target)
            if number:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(one) for one in generator.ifs]
        for field in ("elt", "key", "value"):
            if hasattr(node, field):
                setattr(node, field, self.visit(getattr(node, field)))
        self.scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def _globals(node: ast.AST) -> Iterator[ast.Global]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Global))
