"""Which names of the node are its own, and the short ones that stand for them in an image.

Rules of this file. A name is only given up where it is surely ours; whoever could be somebody else's
keeps it. An attribute is known by its name alone, so an attribute keeps the name

- that Python, its types and modules have for something (`BUILT_IN`, asked of this very Python),
- that a board's modules have for something (`BOARD`),
- that is asked of a module from outside, or of what comes from one (`machine.Pin.OUT`),
- that stands anywhere in a string: a key on the wire, a name for getattr, a file,
- that begins or ends as a getattr wants it ("on_" + event),
- that is written as a keyword in any call, as a parameter does.

A module's global is known for sure, and keeps its name only where people and programs call it from
outside (`PUBLIC`), or where its module is loaded by a name made at run time (a driver).
Which names may be the same short one says sharing.py.
"""

from __future__ import annotations

import ast
import builtins
import errno
import gc
import hashlib
import io
import itertools
import json
import keyword
import os
import select
import socket
import ssl
import string
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

from gateway.cli.usb.image.sharing import GLOBALS, Families, Rooms, Words
from gateway.cli.usb.image.sources import Module, Program, bound, defined, sets

_THINGS: tuple[object, ...] = (
    *(builtins, errno, gc, hashlib, io, json, os, select, socket, ssl, struct, sys, time),
    *(str, bytes, bytearray, memoryview, dict, list, set, tuple, int, float, type, OSError),
    *(io.StringIO, io.FileIO, io.BufferedRandom, io.TextIOWrapper, socket.socket, select.poll()),
    *(
        hashlib.sha256(),
        ssl.SSLContext,
        ssl.SSLSocket,
        property(),
        UnicodeError,
        sys.implementation,
    ),
)
BUILT_IN = frozenset(name for thing in _THINGS for name in dir(thing))

_WORDS = """
init deinit value on off toggle irq mode pull drive high low read read_u16 read_uv freq duty
duty_u16 duty_ns scan start stop readfrom readfrom_into writeto writevto readfrom_mem
readfrom_mem_into writeto_mem readinto write write_readinto any txdone sendbreak flush feed
datetime memory callback alarm alarm_left invert reset soft_reset reset_cause wake_reason
unique_id idle sleep lightsleep deepsleep disable_irq enable_irq time_pulse_us bitstream active
connect disconnect isconnected status config ifconfig ipconfig country hostname readbit readbyte
writebit writebyte select_rom crc8 convert_temp read_scratch write_scratch read_temp measure
temperature humidity fill buf bpp timing ticks_ms ticks_us ticks_cpu ticks_add ticks_diff
sleep_ms sleep_us threshold mem_free mem_alloc mount umount ioctl readblocks writeblocks
ilistdir const schedule
block channel run
"""
BOARD = frozenset(_WORDS.split())
"""What boards' modules have names for; a test holds the image against their type stubs."""

PUBLIC = {
    ("run", "main"): "main.py starts it",
    ("board", "hardware_id"): "`gateway node provision` asks it",
    ("settings", "load"): "`gateway node provision` judges node.json with it",
    ("settings", "SettingsError"): "the same",
    ("log", "is_quiet"): "whoever wants silence sets it",
}
_READ = frozenset(("why",))
"""Attributes that the same callers read."""

_STATIC = """
any builtins bytecode callable classmethod copy divmod end eval exec extend format from_bytes
hash index insert isalpha isdigit islower isspace issubclass isupper items iter keys little locals
lstrip map micropython next object ord pow readline replace reverse rindex round rsplit self sep
setdefault sort staticmethod step sum super throw to_bytes zip
"""
"""Words that every MicroPython knows by a number: a file has the number, and no board stores the word. None
is an attribute of an exception, of which some of our classes are."""

_PARAMETERS = "abcdefghijk"
_LOOKS = ("getattr", "hasattr", "setattr", "delattr")


class Own(NamedTuple):
    """A name that is ours: a global of `module`, or an attribute where that is None."""

    module: str | None
    name: str


_NOBODY = Own("", "")


class Names:
    """The decisions. Until `settle` every name that is ours is written as its stand-in."""

    def __init__(self, program: Program) -> None:
        self._families = Families(program)
        self._functions = Counter(_functions(program))
        self.keywords = {
            word.arg
            for _, node in _nodes(program)
            if isinstance(node, ast.Call)
            for word in node.keywords
            if word.arg
        }
        attributes = {name for name in _attributes(program) if not name.startswith("__")}
        self._kept = BUILT_IN | BOARD | _READ | self.keywords | _kept(program, attributes)
        self.attributes = attributes - self._kept
        """The attributes that are ours alone."""
        self._own: dict[str, Own] = {}
        self._alone: set[Own] = set()
        self.short: dict[Own, str] = {}

    def of_attribute(self, name: str) -> str:
        """What an attribute is called in the image."""
        return self._of(Own(None, name)) if name in self.attributes else name

    def of_global(self, module: str, name: str, *, in_class: bool = False) -> str:
        """What a module's global is called in the image. One that a class's body itself uses is never
        called like an attribute, which stands there too."""
        by_name = "." in module and not name.startswith("_")
        if by_name or (module, name) in PUBLIC:
            return name
        if in_class:
            self._alone.add(Own(module, name))
        return self._of(Own(module, name))

    def of_parameters(self, given: list[str]) -> Iterator[str]:
        """Names for a function's parameters; those that anybody writes as a keyword stay."""
        for name, new in zip(given, _PARAMETERS, strict=False):
            yield name if name in self.keywords else new

    def _of(self, own: Own) -> str:
        stand_in = f"{own.module}.{own.name}"
        self._own[stand_in] = own
        return self.short.get(own, stand_in)

    def fresh(self, name: str) -> str:
        """The stand-in of a method that no class has yet."""
        self._functions[Own(None, name)] = 1
        self.attributes |= {name}
        return self.of_attribute(name)

    @property
    def stand_ins(self) -> Set[str]:
        """All that were written."""
        return self._own.keys()

    def settle(self, files: Mapping[str, Counter[str]]) -> None:
        """All is written, each file with these uses: give the short names out, the shortest to what
        stands in most files."""
        uses = sum(files.values(), Counter())
        words = Words([_homes(files, letter) for letter in _PARAMETERS])
        numbers: dict[Own, int] = {}
        for stand_in, _ in sorted(uses.items(), key=lambda item: (-item[1], item[0])):
            own = self._own.get(stand_in)
            if own is not None:
                homes = _homes(files, stand_in)
                numbers[own] = words.choose(self._rooms(own), homes, self._functions[own])
        written = set(_PARAMETERS) | (uses.keys() - self._own.keys())
        pool = itertools.chain(
            (word for word in _STATIC.split() if word not in written), _pool(self._kept | written)
        )
        first = range(len(_PARAMETERS))
        short = dict(zip(first, _PARAMETERS, strict=True))
        rest = sorted(set(numbers.values()) - set(first), key=lambda n: (-words.files(n), n))
        short |= zip(rest, pool, strict=False)
        self.short = {own: short[number] for own, number in numbers.items()}

    def _rooms(self, own: Own) -> Rooms:
        if own in self._alone:
            return self._families.everywhere | {GLOBALS}
        return frozenset({GLOBALS}) if own.module is not None else self._families.rooms(own.name)

    def short_of(self, word: str) -> str:
        """What is written instead of a stand-in, and of every other word itself."""
        return self.short.get(self._own.get(word, _NOBODY), word)

    def place(self, home: str, word: str, of_class: str = "") -> str:
        """Where a function is from, in the words of the node's files: "link.Link.poll"."""
        if of_class:
            name = self._own[word].name if word in self._own else word
            return f"{self.place(home, of_class)}.{name}"
        if word in self._own:
            return word.lstrip(".")
        return f"{next((module for module, name in PUBLIC if name == word), home)}.{word}"


def _homes(files: Mapping[str, Counter[str]], word: str) -> set[str]:
    return {home for home, uses in files.items() if uses[word]}


class Settled(ast.NodeTransformer):
    """Writes the short names instead of their stand-ins."""

    def __init__(self, names: Names) -> None:
        self._short_of = names.short_of

    def visit(self, node: ast.AST) -> Any:
        """Whatever names something."""
        for field in ("id", "attr", "name", "asname"):
            word = getattr(node, field, None)
            if isinstance(word, str):
                setattr(node, field, self._short_of(word))
        if isinstance(node, ast.Global):
            node.names = [self._short_of(word) for word in node.names]
        return self.generic_visit(node)


def _pool(taken: Set[str]) -> Iterator[str]:
    for size in itertools.count(1):
        for parts in itertools.product(string.ascii_letters, repeat=size):
            name = "".join(parts)
            if name not in taken and not keyword.iskeyword(name):
                yield name


def _nodes(program: Program) -> Iterator[tuple[Module, ast.AST]]:
    for module in program.modules.values():
        for node in ast.walk(module.tree):
            yield module, node


def _functions(program: Program) -> Iterator[Own]:
    """Each function, and each method of each class."""
    for module in program.modules.values():
        for above, node in defined(module.tree):
            yield Own(module.name if above is module.tree else None, node.name)


def _attributes(program: Program) -> Iterator[str]:
    """Attributes that a class of ours defines, or that anybody sets."""
    for module in program.modules.values():
        yield from (node.attr for node in sets(module.tree))
    for _, node in _nodes(program):
        if isinstance(node, ast.ClassDef):
            yield from bound(node.body)


def _kept(program: Program, attributes: set[str]) -> set[str]:
    """What strings say, and what a getattr may ask for."""
    kept = {
        name for module in program.modules.values() if "." in module.name for name in module.bound
    }
    outside = {name for _module, name in program.outside}
    for module, node in _nodes(program):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            kept.add(node.value)
        elif isinstance(node, ast.Attribute) and outside & set(_below(node)):
            kept.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in _LOOKS:
            start, end = _asked(module, node)
            if start or end:
                kept |= {
                    name for name in attributes if name.startswith(start) and name.endswith(end)
                }
    return kept


def _below(node: ast.Attribute) -> Iterator[str]:
    """The names of which an attribute is asked: b and a of `a.b.c`."""
    value: ast.expr = node.value
    while isinstance(value, ast.Attribute | ast.Call):
        if isinstance(value, ast.Attribute):
            yield value.attr
        value = value.value if isinstance(value, ast.Attribute) else value.func
    if isinstance(value, ast.Name):
        yield value.id


def _asked(module: Module, call: ast.Call) -> tuple[str, str]:
    """How a name begins and ends that a getattr asks for; "" twice where it stands in a string."""
    match call.args[1]:
        case ast.Constant() | ast.Name() | ast.Subscript():
            return "", ""
        case ast.BinOp(left=ast.Constant(value=str(start)), op=ast.Add()):
            return start, ""
        case ast.BinOp(op=ast.Add(), right=ast.Constant(value=str(end))):
            return "", end
    raise module.refuse(call, "a name for getattr of which neither end is known")
