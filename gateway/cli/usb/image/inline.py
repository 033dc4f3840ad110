"""A function that is called from one place only stands in that place: it costs some 20 bytes to be one.

Rules of this file. What comes out computes the same in the same order, or the function stays one: its
parameters are computed first, its locals get names of their own, and a `return` within a loop or a `try`
is only taken over where it ends the caller too. A caller that runs for ever takes in nothing but expressions:
it would keep for ever what a function forgets when it ends.

Functions that stood in the same caller share the names of their locals, so that the caller's frame is as
large as that of the largest.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set

from gateway.cli.usb.image.places import Place, Places
from gateway.cli.usb.image.sources import bound, defined, mentions

Make = Callable[[ast.expr], list[ast.stmt]]
Function = ast.FunctionDef


class _StaysError(Exception):
    """It stays a function."""


_FOR_EVER = ("main", "run")
"""The functions of the node that end with it."""


def inline(trees: Collection[ast.Module], ours: Set[str], changing: Set[str]) -> None:
    """Do it in all files of an image. `ours` are the names that nobody has but the image."""
    uses = mentions(trees)
    times = Counter(one.name for tree in trees for _, one in defined(tree))
    once = {name for name in ours if uses[name] == times[name] == 1}
    for tree in trees:
        _File(tree, once, changing).run()


class _File:
    def __init__(self, tree: ast.Module, once: Set[str], changing: Set[str]) -> None:
        self._changing = changing
        self._block = {one: above.body for above, one in defined(tree)}
        self._methods = {one for one, block in self._block.items() if block is not tree.body}
        self._candidates = {one.name: one for one in self._block if one.name in once}
        self._slots: dict[Function, list[str]] = {}
        self._begun: set[Function] = set()
        self._complete: set[Function] = set()
        self._results = 0

    def run(self) -> None:
        """Whatever calls something."""
        for function in list(self._block):
            self._finish(function)

    def _finish(self, caller: Function) -> None:
        """Take in what is called here, after what is called there."""
        if caller in self._begun:
            return
        self._begun.add(caller)
        for node in list(ast.walk(caller)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                func = node.func
                name = func.id if isinstance(func, ast.Name) else func.attr
                callee = self._candidates.get(name)
                if callee is not None:
                    self._finish(callee)
                    self._try(caller, node, callee)
        self._complete.add(caller)

    def _try(self, caller: Function, call: ast.Call, callee: Function) -> None:
        if callee not in self._complete:
            return  # it calls itself, if by way of others
        try:
            self._put(caller, call, callee, self._given(call, callee))
        except _StaysError:
            return
        block = self._block.pop(callee)
        block.remove(callee)
        if not block:
            block.append(ast.Pass())

    def _given(self, call: ast.Call, callee: Function) -> dict[str, ast.expr]:
        """Parameter -> what it is here."""
        args = callee.args
        if (
            callee.decorator_list
            or args.vararg
            or args.kwarg
            or call.keywords
            or _is_closed(callee)
        ):
            raise _StaysError
        given = list(call.args)
        if callee in self._methods:
            if not isinstance(call.func, ast.Attribute):
                raise _StaysError
            if "super()" in ast.unparse(call.func):
                raise _StaysError
            given.insert(0, call.func.value)
        missing = len(args.args) - len(given)
        given += args.defaults[len(args.defaults) - missing :]
        if any(isinstance(one, ast.Starred) for one in given) or len(given) != len(args.args):
            raise _StaysError
        if not all(isinstance(one, ast.Constant | ast.Name) for one in args.defaults):
            raise _StaysError
        return {arg.arg: one for arg, one in zip(args.args, given, strict=True)}

    def _put(
        self, caller: Function, call: ast.Call, callee: Function, given: dict[str, ast.expr]
    ) -> None:
        """The statements of `callee` where `caller` calls it. Raises _StaysError."""
        places = Places(caller, self._changing)
        place = places.of(call)
        own = set(bound(callee.body)) - {n for one in _globals(callee) for n in one.names}
        asked = {
            name: one for name, one in given.items() if places.is_plain(one) and name not in own
        }
        match callee.body:
            case [ast.Return(ast.expr() as value)] if len(asked) == len(given):
                place.replace(call, _Renamed(asked).visit(value))
                return
        if not place.is_first or place.function is not caller or caller.name in _FOR_EVER:
            raise _StaysError
        computed = [name for name in given if name not in asked]
        slots = self._slots_of(caller, [*computed, *sorted(own - set(given))])
        renamed = _Renamed({**asked, **slots})
        body = [
            renamed.visit(copy.deepcopy(one))
            for one in callee.body
            if not isinstance(one, ast.Global)
        ]
        instead = _instead(place, body, places) if place.is_whole else None
        found = self._before(body) if instead is None else (instead, None)
        made, result = found
        first = [ast.Assign([ast.Name(slots[n].id, ast.Store())], given[n]) for n in computed]
        place.put(*first, *made, instead=instead is not None)
        if result is not None:
            place.replace(call, result)
        caller.body[:0] = _globals(callee)

    def _before(self, body: list[ast.stmt]) -> tuple[list[ast.stmt], ast.expr]:
        """What stands in front of the statement, and what in the place of the call."""
        match body, _returns(body):
            case _, []:
                return body, ast.Constant(None)
            case [*others, ast.Return(value) as last], [only] if only is last:
                return others, value or ast.Constant(None)
        self._results += 1
        name = f"_result_{self._results}"
        made = _settled(body, lambda value: [ast.Assign([ast.Name(name, ast.Store())], value)])
        return made, ast.Name(name, ast.Load())

    def _slots_of(self, caller: Function, names: Sequence[str]) -> dict[str, ast.Name]:
        """Names in the caller for these of the callee: those that others had before, and new ones."""
        slots = self._slots.setdefault(caller, [])
        while len(slots) < len(names):
            slots.append(f"_in_{caller.name.replace('.', '_')}_{len(slots)}")
        return {name: ast.Name(slot, ast.Load()) for name, slot in zip(names, slots, strict=False)}


def _instead(place: Place, body: list[ast.stmt], places: Places) -> list[ast.stmt] | None:
    """What stands in the place of a statement that is nothing but the call, and what is done with it."""
    match place.statement:
        case ast.Return():
            return body if _ends(body) else [*body, ast.Return(None)]
        case ast.Expr() as statement:
            if places.ends(statement) and not any(one.value for one in _returns(body)):
                return body
            return _settled(body, lambda value: [] if _is_idle(value) else [ast.Expr(value)])
        case ast.Assign([ast.Name() | ast.Tuple() as target]):
            return _settled(body, lambda value: [ast.Assign([target], value)])
    return None


def _is_closed(function: Function) -> bool:
    """Something in it belongs to the function itself."""
    return any(
        isinstance(node, ast.Yield | ast.YieldFrom | ast.Lambda)
        or (isinstance(node, Function) and node is not function)
        or (isinstance(node, ast.Name) and node.id == "super")
        or (isinstance(node, ast.Global) and node not in function.body)
        for node in ast.walk(function)
    )


def _is_idle(value: ast.expr) -> bool:
    """Nothing happens when it is computed."""
    return isinstance(value, ast.Constant | ast.Name)


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Nothing comes behind it."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=yes, orelse=no):
            return _ends(yes) and _ends(no)
    return False


def _settled(body: Sequence[ast.stmt], make: Make) -> list[ast.stmt]:
    """With what `make` makes of a value instead of each `return`. Raises _StaysError where one stands
    in a loop or in a `try`: what comes behind it could not be left out."""
    for number, one in enumerate(body):
        before, rest = list(body[:number]), body[number + 1 :]
        match one:
            case ast.Return(value):
                return [*before, *make(value or ast.Constant(None))]
            case ast.Raise():
                return [*before, one]
            case ast.If(test, yes, no) if _returns([one]):
                if _ends(yes):
                    no = [*no, *rest]
                elif _ends(no):
                    yes = [*yes, *rest]
                elif rest:
                    raise _StaysError
                return [*before, _either(test, _settled(yes, make), _settled(no, make))]
            case _ if _returns([one]):
                raise _StaysError
    return [*body, *make(ast.Constant(None))]


def _either(test: ast.expr, yes: list[ast.stmt], no: list[ast.stmt]) -> ast.stmt:
    if yes or not no:
        return ast.If(test, yes or [ast.Pass()], no)
    return ast.If(ast.UnaryOp(ast.Not(), test), no, [])


def _returns(body: Sequence[ast.stmt]) -> list[ast.Return]:
    return [node for one in body for node in ast.walk(one) if isinstance(node, ast.Return)]


def _globals(function: Function) -> list[ast.Global]:
    """Its declarations. They are right where the caller begins, too: its own names are other ones."""
    return [one for one in function.body if isinstance(one, ast.Global)]


class _Renamed(ast.NodeTransformer):
    """What a function calls its own, in its caller."""

    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A local."""
        match self._names.get(node.id):
            case None:
                return node
            case ast.Name(name):
                return ast.Name(name, node.ctx)
            case value:
                return value

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """The name of an exception."""
        node.name = self._name(node.name)
        self.generic_visit(node)
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        """What is imported."""
        here = node.asname or node.name.partition(".")[0]
        if self._name(here) != here:
            node.asname = self._name(here)
        return node

    def _name(self, name: str | None) -> str | None:
        match self._names.get(name or ""):
            case ast.Name(new):
                return new
        return name
