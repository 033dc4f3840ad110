"""Which of the node's names are one short name: those that never meet.

Rules of this file. A name lives in rooms: a global in the one that all globals share, an attribute in
those of the classes that may have it. Two names with no room in common may be the same word. Classes
that inherit from one another are one family, and an attribute that anybody sets from outside may be on
any object. What is written most chooses first.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from gateway.cli.usb.image.explain import MOST
from gateway.cli.usb.image.sources import Program, bound, sets

Rooms = frozenset[str]
GLOBALS = "globals"


class Words:
    """Short names, each with the rooms in which it is somebody's."""

    def __init__(self, parameters: Sequence[set[str]]) -> None:
        # a function's parameters hide a global of that name, but no attribute
        self._taken: list[set[str]] = [{GLOBALS} for _ in parameters]
        self._homes = [set(homes) for homes in parameters]
        self._functions = [0 for _ in parameters]

    def choose(self, rooms: Rooms, homes: set[str], functions: int) -> int:
        """The number of a word that is free in all these rooms, best one that most of these files have
        already. One name stands for at most so many functions, so that a traceback can be read."""
        best, fewest = len(self._taken), len(homes)
        for number, taken in enumerate(self._taken):
            if rooms & taken or (functions and self._functions[number] + functions > MOST):
                continue
            fresh = len(homes - self._homes[number])
            if fresh < fewest:
                best, fewest = number, fresh
        if best == len(self._taken):
            self._taken.append(set())
            self._homes.append(set())
            self._functions.append(0)
        self._taken[best] |= rooms
        self._homes[best] |= homes
        self._functions[best] += functions
        return best

    def files(self, number: int) -> int:
        """In how many files this word is stored."""
        return len(self._homes[number])


class Families:
    """The rooms of a program's attributes."""

    def __init__(self, program: Program) -> None:
        self._above: dict[str, str] = {}
        classes = list(_classes(program))
        bases: dict[str, Sequence[str]] = {}
        by_name: dict[str, list[str]] = defaultdict(list)
        for place, node in classes:
            bases[place] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            by_name[node.name].append(place)
        for place, names in bases.items():
            for base in (found for name in names for found in by_name[name]):
                self._above[self._family(place)] = self._family(base)
        self.everywhere = frozenset(self._family(place) for place, _ in classes)
        """Every family's."""
        self._rooms: Mapping[str, set[str]] = defaultdict(set)
        for place, node in classes:
            for name in (*bound(node.body), *(one.attr for one in _set_on_self(node))):
                self._rooms[name].add(self._family(place))
        for name in _set_from_outside(program):
            self._rooms[name] |= self.everywhere

    def _family(self, place: str) -> str:
        while self._above.get(place, place) != place:
            place = self._above[place]
        return place

    def rooms(self, attribute: str) -> Rooms:
        """Where an attribute may be met."""
        return frozenset(self._rooms.get(attribute, self.everywhere))


def _classes(program: Program) -> Iterator[tuple[str, ast.ClassDef]]:
    for module in program.modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                yield f"{module.name}.{node.name}", node


def _set_on_self(node: ast.ClassDef) -> Iterator[ast.Attribute]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.args.args:
            this = method.args.args[0].arg
            yield from (one for one in sets(method) if ast.unparse(one.value) == this)


def _set_from_outside(program: Program) -> Iterator[str]:
    inside = {one for _, node in _classes(program) for one in _set_on_self(node)}
    for module in program.modules.values():
        yield from (one.attr for one in sets(module.tree) if one not in inside)
