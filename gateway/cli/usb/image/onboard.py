"""What is known of a node's file before it runs: it runs on a board, and of umqtt it wants two methods.

Rules of this file. Branches for a PC go, with pc.py and what it gives; `micropython.const` is the
compiler's. Of umqtt.simple goes what link.py does not inherit, as its head says; a use of what is gone
ends the build.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from gateway.errors import DataError

PC = "pc"
UMQTT = "umqtt"
_INHERITED = ("__init__", "set_last_will")
"""What the node calls of what link.py inherits: it gets its messages from poll(), not by a callback."""


class OnBoard(ast.NodeTransformer):
    """A board is MicroPython, and has no `pc`."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """`sys.implementation.name == "micropython"` and `pc is None` are true."""
        if ast.unparse(node) == "sys.implementation.name == 'micropython'":
            return ast.Constant(True)
        self.generic_visit(node)
        if isinstance(node.ops[0], ast.Is) and _is_none(node.left, node.comparators[0]):
            return ast.Constant(True)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """`pc` is None."""
        return ast.Constant(None) if node.id == PC and isinstance(node.ctx, ast.Load) else node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        """... and nobody has to say so."""
        if [ast.unparse(target) for target in node.targets] == [PC]:
            return None
        self.generic_visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        """Nothing comes from pc.py; umqtt.simple is a module of the program."""
        if node.module == PC and node.level:
            return None
        if node.module == "umqtt.simple":
            return ast.copy_location(ast.ImportFrom(UMQTT, node.names, 1), node)
        names = [alias for alias in node.names if alias.name not in (PC, "const")]
        made = ast.ImportFrom(node.module, names, node.level) if names else None
        return made and ast.copy_location(made, node)

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt] | None:
        """A condition that is known is no condition."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse or None
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """The same within an expression."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """`None or x` is x, and `None and x` is None."""
        self.generic_visit(node)
        if isinstance(node.op, ast.And) and _is_none(node.values[0]):
            return ast.Constant(None)
        if isinstance(node.op, ast.Or) and _is_none(node.values[0]):
            return node.values[1] if len(node.values) == 2 else ast.BoolOp(node.op, node.values[1:])
        return node


def _is_none(*nodes: ast.expr) -> bool:
    return all(isinstance(node, ast.Constant) and node.value is None for node in nodes)


def inherited(umqtt: str, link: str) -> str:
    """The part of umqtt.simple's source that link.py's source inherits. Raises DataError."""
    client = _class(umqtt, "umqtt.simple", lambda node: node.name == "MQTTClient")
    ours = _class(link, "link.py", lambda node: "MQTTClient" in map(ast.unparse, node.bases))
    kept = [one for one in client.body if _name(one) in _INHERITED]
    gone = {_name(one) for one in client.body} - {*_INHERITED, *map(_name, ours.body), ""}
    used = {
        node.attr
        for body in (kept, ours.body)
        for one in body
        for node in ast.walk(one)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()")
    }
    if len(kept) != len(_INHERITED) or used & gone:
        raise DataError(
            "no image can be built with this umqtt.simple",
            why=f"link.py needs {', '.join(sorted(used & gone) or _INHERITED)} of it",
            hint="UMQTT_DIR names the folder of another one (1.3.4 to 1.8.0 are known)",
        )
    client.body = kept
    return ast.unparse(client)


def _name(node: ast.stmt) -> str:
    return node.name if isinstance(node, ast.FunctionDef) else ""


def _class(text: str, where: str, wanted: Callable[[ast.ClassDef], bool]) -> ast.ClassDef:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and wanted(node):
            return node
    raise DataError(
        f"{where} has no MQTTClient", hint="fetch it again: python tools/fetch_umqtt.py"
    )
