"""Where an expression stands in a function, and whether it may be computed in a statement before that.

Rules of this file. It may where nothing that could notice is computed before it: constants, locals and
functions' own names are the same before and after. Whoever is not sure says no.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Set
from typing import NamedTuple

from gateway.cli.usb.image.sources import defined, sets

_FIRST = {
    **{ast.Expr: "value", ast.Return: "value", ast.Assign: "value", ast.If: "test"},
    **{ast.For: "iter", ast.Raise: "exc", ast.Compare: "left", ast.BinOp: "left"},
    **{ast.UnaryOp: "operand", ast.Subscript: "value", ast.Attribute: "value", ast.IfExp: "test"},
}
"""What is computed first of a statement or an expression."""


class Place(NamedTuple):
    """Where an expression stands: `parent` holds it, `block` the statement that it is a part of, and
    `function` that block."""

    parent: ast.AST
    statement: ast.stmt
    block: list[ast.stmt]
    function: ast.FunctionDef
    is_first: bool

    @property
    def is_whole(self) -> bool:
        """The statement is nothing but this expression, and what is done with it."""
        return self.parent is self.statement

    def replace(self, old: ast.expr, new: ast.expr) -> None:
        """Put another expression in its place."""
        for field, value in ast.iter_fields(self.parent):
            if value is old:
                setattr(self.parent, field, new)
            elif isinstance(value, list) and old in value:
                value[value.index(old)] = new

    def put(self, *statements: ast.stmt, instead: bool = False) -> None:
        """Statements in front of this one, or instead of it."""
        at = self.block.index(self.statement)
        self.block[at : at + instead] = statements
        if not self.block:
            self.block.append(ast.Pass())


def changing(trees: Iterable[ast.Module]) -> set[str]:
    """The attributes that anybody sets, or that are computed when they are looked at."""
    found: set[str] = set()
    for tree in trees:
        found |= {node.attr for node in sets(tree)}
        found |= {function.name for _, function in defined(tree) if function.decorator_list}
    return found


class Places:
    """The places of one function; no attribute in `changing` is surely a method."""

    def __init__(self, function: ast.FunctionDef, changing: Set[str]) -> None:
        self._parents = {
            child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)
        }
        self._changing = changing
        self.local = locals_of(function)

    def of(self, node: ast.expr) -> Place:
        """The place of an expression."""
        parent = up = self._parents[node]
        below: ast.AST = node
        is_first = True
        while True:
            is_first = is_first and self._begins(up, below)
            if isinstance(up, ast.stmt):
                break
            below, up = up, self._parents[up]
        block = next(
            value
            for _, value in ast.iter_fields(self._parents[up])
            if isinstance(value, list) and up in value
        )
        function: ast.AST = up
        while not isinstance(function, ast.FunctionDef):
            function = self._parents[function]
        return Place(parent, up, block, function, is_first)

    def is_plain(self, node: ast.expr) -> bool:
        """It is the same whenever it is computed: a constant, or a local."""
        is_local = isinstance(node, ast.Name) and node.id in self.local
        return is_local or isinstance(node, ast.Constant)

    def ends(self, statement: ast.stmt) -> bool:
        """Behind this statement the function is over."""
        node: ast.AST = statement
        while True:
            up = self._parents.get(node)
            blocks = (
                [value for _, value in ast.iter_fields(up) if isinstance(value, list)] if up else []
            )
            if not any(block and block[-1] is node for block in blocks):
                return False
            if isinstance(up, ast.FunctionDef):
                return True
            if not isinstance(up, ast.If):
                return False
            node = up

    def _begins(self, up: ast.AST, below: ast.AST) -> bool:
        """Nothing of `up` that could notice is computed before `below`."""
        match up:
            case ast.Call(func, args):
                return func is below or (self._is_fixed(func) and self._is_next(args, below))
            case ast.Tuple(elts) | ast.List(elts):
                return self._is_next(elts, below)
            case ast.BoolOp(values=[first, *_]):
                return first is below
            case ast.Assign(targets=targets) if len(targets) != 1:
                return False
            case _:
                field = _FIRST.get(type(up))
                return field is not None and getattr(up, field) is below

    def _is_fixed(self, func: ast.expr) -> bool:
        match func:
            case ast.Name():
                return True
            case ast.Attribute(value, name):
                return name not in self._changing and self.is_plain(value)
        return False

    def _is_next(self, parts: list[ast.expr], below: ast.AST) -> bool:
        return below in parts and all(map(self.is_plain, parts[: parts.index(below)]))


def locals_of(function: ast.FunctionDef) -> set[str]:
    """The names that belong to a function, and to what is defined in it."""
    names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    names |= {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return names - {
        name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names
    }
