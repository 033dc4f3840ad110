"""The node's files as few files with short names: what an image is compiled from.

Rules of this file. What is loaded always is one file, the package itself: each name is stored once, and
what a module wanted of another one is its own. What is loaded seldom stays a file, so that it costs no
memory before it is needed and can be forgotten again. Whatever is not understood ends the build.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Mapping, Set
from typing import NamedTuple

from gateway.cli.usb.image.explain import Functions
from gateway.cli.usb.image.heirs import merge_heirs
from gateway.cli.usb.image.inline import inline
from gateway.cli.usb.image.lookup import Constants, Homes
from gateway.cli.usb.image.names import Names, Settled
from gateway.cli.usb.image.onboard import UMQTT, inherited
from gateway.cli.usb.image.places import changing
from gateway.cli.usb.image.shorter import Comparisons, last_calls, loops
from gateway.cli.usb.image.sources import Program, defined
from gateway.cli.usb.image.writer import Writer

_ALWAYS = (
    *("", "run", "keeper", "way", "board", "log", "node", "say", "greeting", "trial", "follow"),
    *("config", "document", "protocol", "text", "storage", "flash", "notes", "watchdog"),
    *("link", "wire", "packets", "flight", UMQTT),
)
GROUPS = (
    _ALWAYS,
    ("channels", "actuators", "samples", "hardware", "ring", "commands"),
    ("canonical", "number"),
)
"""The modules that share a file; whoever stands in no group has one of his own."""

_ONE_BYTE = 128  # names with a number below this take one byte where they are written
_INTERNED = 10  # a text that is no longer is stored as a name


class Joined(NamedTuple):
    """`files`: file -> source ("" is the package itself); `names`: what they are called there;
    `functions`: what explain.py turns a traceback back with."""

    files: dict[str, str]
    names: Names
    functions: Functions


def joined(modules: Mapping[str, str], umqtt: str, keep: Set[str] = frozenset()) -> Joined:
    """From the sources of the node's modules ("run", "drivers.sim", "") and of umqtt.simple. Functions
    called as in `keep` stay functions. Raises DataError for what is not understood."""
    texts = {**modules, UMQTT: inherited(umqtt, modules["link"])}
    names = Names(Program(texts))
    trees = _written(texts, names)
    places = _places(trees, names)
    _shorten(trees.values(), names, keep)
    names.settle({home: _uses(tree) for home, tree in trees.items()})
    functions = _functions(trees, names, places)
    settled = Settled(names)
    files = {home: ast.unparse(_sorted(settled.visit(tree))) for home, tree in trees.items()}
    return Joined(files, names, functions)


def _places(trees: Mapping[str, ast.Module], names: Names) -> dict[ast.FunctionDef, str]:
    """Each function of the node's files, and where it is from."""
    return {
        node: names.place(home, node.name, getattr(above, "name", ""))
        for home, tree in trees.items()
        for above, node in defined(tree)
    }


def _functions(
    trees: Mapping[str, ast.Module], names: Names, places: Mapping[ast.FunctionDef, str]
) -> Functions:
    """Short name -> what it may be -> the short names of functions that stand in that one."""
    left = [node for tree in trees.values() for _, node in defined(tree)]
    words = {node.name for node in left}
    found: Functions = {}
    for node in left:
        said = {word for one in node.body for word in _uses(one)} & words
        short = found.setdefault(names.short_of(node.name), {})
        short[places[node]] = sorted(map(names.short_of, said))
    return found


def _shorten(files: Collection[ast.Module], names: Names, keep: Set[str]) -> None:
    """The same in fewer bytes."""
    merge_heirs(files, names.stand_ins, names.fresh)
    moving = changing(files)
    functions = [
        node
        for file in files
        for node in ast.walk(Comparisons().visit(file))
        if isinstance(node, ast.FunctionDef)
    ]
    for number, function in enumerate(functions):
        loops(function, moving, f"_list_{number}_")
    kept = {name for name in names.stand_ins if name.rpartition(".")[2] in keep}
    inline(files, names.stand_ins - kept, moving)
    last_calls(files, names.stand_ins)
    for file in files:
        ast.fix_missing_locations(file)


def _written(texts: Mapping[str, str], names: Names) -> dict[str, ast.Module]:
    program = Program(texts)
    groups = [[name for name in group if name in texts] for group in GROUPS]
    constants, homes = Constants(program), Homes(program, groups)
    trees, needed = {}, {}
    for home in homes.members:
        writer = Writer(program, homes, names, constants, home)
        trees[home] = writer.write()
        needed[home] = set(writer.needed)
    for home in needed:
        if home in _reached(home, needed):
            why = (
                "it needs a file at once that needs it at once: put both into one group of join.py"
            )
            raise program.modules[home].refuse(trees[home], why)
    return trees


def _reached(home: str, needed: Mapping[str, set[str]]) -> set[str]:
    """All files that are loaded with this one."""
    found: set[str] = set()
    left = [home]
    while left:
        fresh = needed[left.pop()] - found
        found |= fresh
        left += fresh
    return found


def _uses(tree: ast.AST) -> Counter[str]:
    """How often each name is written in there that the file has to store."""
    uses: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                uses[name] += 1
            case ast.FunctionDef(name=name):
                uses[name] += 2
            case ast.ClassDef(name=name):
                uses.update((*(name,) * 4, "__name__", "__module__", "__qualname__"))
            case ast.alias(name=name, asname=None):
                uses[name] += 3
            case ast.alias(name=name):
                uses[name] += 2
            case ast.AugAssign(ast.Attribute(attr=name)):
                uses[name] += 1
            case ast.Name(id=name) if name[0] != "_" and name != "const":
                uses[name] += 1
            case ast.Constant(value=str(name)) if len(name) <= _INTERNED:
                uses[name] += 1
    return uses


def _sorted(tree: ast.Module) -> ast.Module:
    """What is written most comes first: the compiler numbers names as they come, and a small number
    is one byte each time. What stands behind a `break` is numbered, and makes no code."""
    uses = _uses(tree)
    if len(uses) > _ONE_BYTE:
        first = [name for name, _ in uses.most_common(_ONE_BYTE) if name.isidentifier()]
        tree.body[:0] = ast.parse(f"while True:\n    break\n    _.{'.'.join(first)}").body
    return tree
