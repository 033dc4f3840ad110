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
A function and a method never get the same short name: a traceback can be turned back.
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
from collections.abc import Iterator, Set
from typing import NamedTuple

from gateway.cli.usb.image.sources import Module, Program, bound

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

_PARAMETERS = "abcdefghijk"
_LOOKS = ("getattr", "hasattr", "setattr", "delattr")


class Own(NamedTuple):
    """A name that is ours: a global of `module`, or an attribute where that is None."""

    module: str | None
    name: str


class Names:
    """The decisions. Whoever asks is counted: what is written most often gets the shortest names."""

    def __init__(self, program: Program) -> None:
        self._functions = dict(_functions(program))
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
        self._uses: Counter[Own] = Counter()
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

    def asked(self) -> set[str]:
        """The stand-ins that were given out before anything was settled."""
        return {f"{own.module}.{own.name}" for own in self._uses}

    def _of(self, own: Own) -> str:
        self._uses[own] += 1
        return self.short.get(own, f"{own.module}.{own.name}")

    def settle(self, taken: Set[str]) -> None:
        """All uses are counted: give the short names out. Globals and attributes share them."""
        columns: list[list[Own]] = [[], [], [], []]
        shared = [own for own, _ in self._uses.most_common() if own not in self._alone]
        for own in shared:
            is_function = own in self._functions
            columns[2 * (own.module is None) + is_function].append(own)
        data, functions, fields, methods = columns
        pairs = [
            *_pairs(functions, fields),
            *_pairs(methods, data),
            *([own] for own in self._alone),
        ]
        pairs.sort(key=lambda pair: (-sum(self._uses[own] for own in pair), str(pair)))
        for pair, short in zip(pairs, _pool(taken | self._kept | set(_PARAMETERS)), strict=False):
            self.short.update(dict.fromkeys(pair, short))

    def functions(self) -> dict[str, list[str]]:
        """What a function or method is called in the image -> where it may be from."""
        found: dict[str, list[str]] = {}
        for own, places in self._functions.items():
            found.setdefault(self.short.get(own, own.name), []).extend(places)
        return found


def _pairs(first: list[Own], second: list[Own]) -> list[list[Own]]:
    return [[own for own in pair if own] for pair in itertools.zip_longest(first, second)]


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


def _functions(program: Program) -> Iterator[tuple[Own, list[str]]]:
    """Each function and method, with the places where one of its kind is defined."""
    methods: dict[str, list[str]] = {}
    for module in program.modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for one in node.body:
                    if isinstance(one, ast.FunctionDef):
                        place = f"{module.name}.{node.name}.{one.name}"
                        methods.setdefault(one.name, []).append(place)
        for one in module.tree.body:
            if isinstance(one, ast.FunctionDef):
                yield Own(module.name, one.name), [f"{module.name}.{one.name}".lstrip(".")]
    for name, places in methods.items():
        yield Own(None, name), places


def _attributes(program: Program) -> Iterator[str]:
    """Attributes that a class of ours defines, or that anybody sets."""
    for _, node in _nodes(program):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ClassDef):
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
