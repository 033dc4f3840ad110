"""A class with one heir that nobody else asks for is one class with it.

Rules of this file. A class costs a board some 350 bytes of memory by being one. Only where the base is a
list of methods: the heir's come behind them and win, and what the heir asks of `super()` gets a name of
its own. Whoever is not sure leaves two classes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Set

from gateway.cli.usb.image.sources import bound, mentions

Fresh = Callable[[str], str]


def merge_heirs(trees: Collection[ast.Module], ours: Set[str], fresh: Fresh) -> None:
    """Do it in all files. `ours` are the names that nobody has but the image; `fresh` makes an attribute
    that nobody has."""
    uses = mentions(trees)
    for tree in trees:
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        for heir in classes.values():
            match heir.bases:
                case [ast.Name(name)] if name in classes and name in ours and uses[name] == 1:
                    base = classes[name]
                    if _is_plain(base):
                        _merge(base, heir, fresh)
                        tree.body.remove(base)


def _is_plain(base: ast.ClassDef) -> bool:
    """Methods, and no base of its own that they could ask."""
    asks = any(isinstance(node, ast.Name) and node.id == "super" for node in ast.walk(base))
    return not (base.bases or asks) and all(isinstance(one, ast.FunctionDef) for one in base.body)


def _merge(base: ast.ClassDef, heir: ast.ClassDef, fresh: Fresh) -> None:
    own = set(bound(heir.body))
    asked: dict[str, str] = {}
    for method in heir.body:
        for node in ast.walk(method):
            match node:
                case ast.Attribute(ast.Call(ast.Name("super"), []), name) if isinstance(
                    method, ast.FunctionDef
                ):
                    if name in own and name not in asked:
                        asked[name] = fresh(f"{base.name}_{name}")
                    node.attr = asked.get(name, name)
                    node.value = ast.Name(method.args.args[0].arg, ast.Load())
    kept: list[ast.stmt] = []
    for one in base.body:
        assert isinstance(one, ast.FunctionDef)
        one.name = asked.get(one.name, one.name)
        if one.name not in own:
            kept.append(one)
    heir.bases = []
    heir.body[:0] = kept
