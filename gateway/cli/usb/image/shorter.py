"""The same statements in fewer bytes of bytecode.

Rules of this file. Each of these was measured with mpy-cross, and does what was written:

- `a is not b` is computed as `not a is b`, and a branch takes the `not` for nothing;
- `a <= b < c` keeps b aside while it compares; a local or a constant is as quickly read twice;
- a comprehension is a function of its own, and what it takes from around it is a cell in both: a loop
  is neither;
- a function that ends with a call throws the result away and returns None: where nobody looks, it may
  as well return the result.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Set

from gateway.cli.usb.image.places import Place, Places

_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.IsNot: ast.Is, ast.NotIn: ast.In}


class Comparisons(ast.NodeTransformer):
    """Writes comparisons anew."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """One with a `not` in it, or with two operators."""
        self.generic_visit(node)
        match node:
            case ast.Compare(left, [ast.IsNot() | ast.NotIn() as no], right):
                return ast.UnaryOp(ast.Not(), ast.Compare(left, [_OPPOSITE[type(no)]()], right))
            case ast.Compare(left, [low, high], [ast.Name() | ast.Constant() as middle, right]):
                first = ast.Compare(left, [low], [middle])
                return ast.BoolOp(ast.And(), [first, ast.Compare(middle, [high], [right])])
        return node


def loops(function: ast.FunctionDef, changing: Set[str], prefix: str) -> None:
    """Comprehensions of a function as loops, where nothing is computed before them; what they need
    is called `prefix` and a number. Who tries never has half a list in a local of his own."""
    places = Places(function, changing)
    tries = any(isinstance(node, ast.Try) for node in ast.walk(function))
    for number, node in enumerate(list(_comprehensions(function.body))):
        place = places.of(node)
        if not place.is_first:
            continue
        target = None if tries else _target(place, node)
        made = _loop(node, target or f"{prefix}{number}")
        if target is None:
            place.replace(node, ast.Name(f"{prefix}{number}", ast.Load()))
        place.put(*made, instead=target is not None)


def _comprehensions(body: list[ast.stmt]) -> Iterator[ast.ListComp | ast.DictComp]:
    """Those that are no part of another one, of a lambda or of an inner function."""
    left: list[ast.AST] = list(body)
    while left:
        node = left.pop(0)
        if isinstance(node, ast.ListComp | ast.DictComp):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.Lambda | ast.GeneratorExp | ast.SetComp):
            left[:0] = ast.iter_child_nodes(node)


def _target(place: Place, node: ast.ListComp | ast.DictComp) -> str | None:
    """The local that it may become bit by bit: it does not look at it itself."""
    match place.statement:
        case ast.Assign([ast.Name(name)]) if place.is_whole and "." not in name:
            used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            return name if name not in used else None
    return None


def _loop(node: ast.ListComp | ast.DictComp, name: str) -> list[ast.stmt]:
    made = ast.Name(name, ast.Load())
    body: ast.stmt
    empty: ast.expr
    if isinstance(node, ast.ListComp):
        empty = ast.List([], ast.Load())
        body = ast.Expr(ast.Call(ast.Attribute(made, "append", ast.Load()), [node.elt], []))
    else:
        empty = ast.Dict([], [])
        body = ast.Assign([ast.Subscript(made, node.key, ast.Store())], node.value)
    for one in reversed(node.generators):
        for test in reversed(one.ifs):
            body = ast.If(test, [body], [])
        body = ast.For(one.target, one.iter, [body], [])
    return [ast.Assign([ast.Name(name, ast.Store())], empty), body]


def last_calls(trees: Collection[ast.Module], ours: Set[str]) -> None:
    """Return what a function of ours ends with, where nobody looks at what it returns."""
    idle = ours - {name for tree in trees for name in _looked_at(tree)}
    for function in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(function, ast.FunctionDef) and function.name in idle:
            nodes = list(ast.walk(function))
            if not any(isinstance(node, ast.Return) and node.value for node in nodes) and not any(
                isinstance(node, ast.Yield | ast.YieldFrom | ast.Lambda) for node in nodes
            ):
                _end(function.body)


def _looked_at(tree: ast.Module) -> Iterator[str]:
    """Every name that is anything but called, in a statement that is nothing but the call."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    whole = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    called = {call.func for call in calls if call in whole}
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ast.Load()) | ast.Attribute(_, name, ast.Load()):
                if node not in called:
                    yield name
            case ast.alias(name=name, asname=str()):
                yield name


def _end(body: list[ast.stmt]) -> None:
    match body:
        case [*_, ast.Expr(ast.Call() as call)]:
            body[-1] = ast.Return(call)
        case [*_, ast.If(body=yes, orelse=no)]:
            _end(yes)
            _end(no)
