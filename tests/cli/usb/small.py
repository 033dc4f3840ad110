"""A small program in the places of the node's files, run as it is and as an image makes it."""

from __future__ import annotations

import ast
from pathlib import Path

from gateway.cli.usb.image.join import GROUPS, Joined, joined
from tests.interpreter import played

UMQTT = """
class MQTTClient:
    def __init__(self, client_id, server, keepalive=0):
        self.client_id, self.server, self.keepalive = client_id, server, keepalive
    def set_last_will(self, topic, msg):
        self.lw_topic = topic
    def set_callback(self, f):
        self.cb = f
    def publish(self, topic):
        assert 0
"""
LINK = """
from umqtt.simple import MQTTClient
from . import const, flash
_DEEP = const(7)
class Link(MQTTClient):
    window = 8
    def __init__(self, name, **more):
        self.clock = more.pop("clock")
        super().__init__(name, "here", **more)
        self._kept = [_DEEP, flash.read()]
    @property
    def is_open(self):
        return self._kept
    def on_tick(self, a, b=2):
        return "tick", a + b
"""
FLASH = """
from . import const
WIDE, FAR = 3, b"far"
LONG = "a text that is too long to be written twice"
_count = 0
def read():
    global _count
    _count += 1
    return _count
def add(number=WIDE):
    total = [number + n for n in range(WIDE) if n]
    def inner(step, *others):
        return [step * total[i] + number for i in range(len(total))], others
    number += 1
    return inner(number + 5, *total), sorted(total, key=lambda number: -number)
"""
RUN = """
import sys
from . import VERSION, const, flash, forget
from .flash import FAR, add as more
from .link import Link
from .notes import told
_SECRET = const("s")
def take(event, out):
    try:
        return getattr(Link("n", clock=1), "on_" + event[0])(*out)
    except (AttributeError, TypeError) as error:
        return type(error).__name__
def late():
    from . import check
    from .check import Checked as There
    found = check.look(There().value), check.WORDS["take"]
    forget("check")
    return found, "gwnode.check" in sys.modules
def main(folder=""):
    link = Link("me", clock=5, keepalive=9)
    link.set_last_will("t", "m")
    print([link.window, link.clock, link.is_open, link.keepalive, link.lw_topic, folder, VERSION])
    print([take(("tick",), (1,)), take(("tock",), ()), take(("tick",), ()), more(), add_all(), FAR])
    print([{k: v for k, v in {"main": main and 1}.items()}, late(), late(), _SECRET, Plan().on_late(), told()])
class Plan:
    clock, window, wide = FAR, 1, flash.WIDE
    on_read, kept, last = flash.read, more, 3
    def on_late(self, number=flash.LONG, found=more):
        return self.kept is found and self.wide and number, self.last
def add_all():
    return [flash.read(), sum([a * b for a, b in zip((1, 2), (3, 4))]), flash.WIDE, flash.LONG]
"""
CHECK = """
from . import const, flash
from .run import take
WORDS = {"take": take(("tick",), (5, 6))}
class Checked:
    value = 4
    double = value * 2
    def __init__(self):
        self.value = self.double + flash.WIDE
def look(value):
    return value, len(flash.LONG)
"""
PACKAGE = """
import sys
VERSION = "1.0"
if sys.implementation.name == "micropython":
    from micropython import const
    pc = None
else:
    from .pc import const as const
def forget(*names):
    for name in names:
        sys.modules.pop("gwnode." + name, None)
        globals().pop(name, None)
"""
_MANY = range(40)
NOTES = "".join(f"def f{n}():\n    return {n}\n" for n in _MANY) + "class Many:\n"
NOTES += "".join(f"    x{n} = f{39 - n}\n" for n in _MANY) + "def told():\n    return "
NOTES += str([f"Many.x{n}()" for n in _MANY]).replace("'", "") + "\n"
"""A class whose body uses as many globals as it has attributes."""
REST = dict.fromkeys({name for group in GROUPS for name in group} | {"settings"}, "")
PUBLIC = {
    "board": "def hardware_id():\n    return 1\n",
    "log": "is_quiet = False\n",
    "settings": "class SettingsError(Exception):\n    pass\ndef load():\n    pass\n",
}
SMALL = {**REST, **PUBLIC, "": PACKAGE, "run": RUN, "link": LINK, "flash": FLASH, "notes": NOTES}
SMALL["check"] = CHECK
BARE_LINK = "from umqtt.simple import MQTTClient\nclass Link(MQTTClient):\n    pass\n"
del SMALL["umqtt"]


def write(folder: Path, files: dict[str, str]) -> None:
    """As a package in a folder."""
    (folder / "gwnode").mkdir(parents=True)
    for name, text in files.items():
        (folder / "gwnode" / f"{name or '__init__'}.py").write_text(text)


def output(micropython: str, folder: Path) -> str:
    """What main() prints in MicroPython."""
    return played(micropython, "-c", "from gwnode import run; run.main('f')", path=str(folder))


def words(text: str) -> set[str]:
    """Every name in a source."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        found |= {getattr(node, field, None) for field in ("id", "attr", "name", "arg")}
    return {word for word in found if isinstance(word, str)}


def program(run: str, **more: str) -> dict[str, str]:
    """The files of a program with this run.py."""
    texts = {**REST, **PUBLIC, "": PACKAGE, "link": BARE_LINK, "run": run, **more}
    del texts["umqtt"]
    return texts


def both(micropython: str, folder: Path, run: str, **more: str) -> tuple[str, str, Joined]:
    """What a program with this run.py prints, before and after, and what was made of it."""
    texts = program(run, **more)
    write(folder / "before", texts)
    (folder / "before/umqtt").mkdir()
    (folder / "before/umqtt/simple.py").write_text(UMQTT)
    made = joined(texts, UMQTT)
    write(folder / "after", made.files)
    return output(micropython, folder / "before"), output(micropython, folder / "after"), made


def functions(made: Joined) -> set[str]:
    """What is a function in the image: "run.main", "link.Link.poll"."""
    return {place for places in made.functions.values() for place in places}
