"""Short names: the program that comes out does what the one did that went in, or there is none."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.usb.image import build as builder
from gateway.cli.usb.image.join import GROUPS, Joined, joined
from gateway.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
BOARDS = ("machine", "network", "onewire", "ds18x20", "esp32", "micropython", "neopixel", "vfs")
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
del SMALL["umqtt"]


def write(folder: Path, files: dict[str, str]) -> None:
    """As a package in a folder."""
    (folder / "gwnode").mkdir(parents=True)
    for name, text in files.items():
        (folder / "gwnode" / f"{name or '__init__'}.py").write_text(text)


def output(micropython: str, folder: Path) -> str:
    """What main() prints in MicroPython."""
    done = subprocess.run(
        [micropython, "-c", "from gwnode import run; run.main('f')"],
        env={"MICROPYPATH": f"{folder}:.frozen"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_program_does_the_same_under_short_names(micropython: str, tmp_path: Path) -> None:
    """Locals, closures, comprehensions, constants, globals that change, classes, properties, late
    imports, names for getattr: what it prints is the same, and its names are gone."""
    write(tmp_path / "before", SMALL)
    (tmp_path / "before/umqtt").mkdir()
    (tmp_path / "before/umqtt/simple.py").write_text(UMQTT)
    before = output(micropython, tmp_path / "before")
    made = joined(SMALL, UMQTT)
    write(tmp_path / "after", made.files)
    assert output(micropython, tmp_path / "after") == before
    assert len(before.splitlines()) == 3
    text = "\n".join(made.files.values())
    for name in ("add_all", "total", "_kept", "is_open", "window", "_SECRET", "publish", "Checked"):
        assert name not in words(text), name
    for name in ("on_tick", "keepalive", "clock", "main", "value"):
        assert name in words(text), name


def words(text: str) -> set[str]:
    """Every name in a source."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        found |= {getattr(node, field, None) for field in ("id", "attr", "name", "arg")}
    return {word for word in found if isinstance(word, str)}


@pytest.mark.parametrize(
    ("module", "text", "why"),
    [
        ("flash", "from .text import *\n", "a star import"),
        ("flash", "from .nowhere import x\n", "there is no module 'nowhere'"),
        ("flash", "from .text import nothing\n", "text has no nothing"),
        ("flash", "from ... import board\n", "it imports from above the package"),
        ("flash", "def f():\n    return unheard_of\n", "nobody knows the name unheard_of"),
        ("flash", "def f(a):\n    return getattr(a, f)\n    f = getattr(a, f())\n", "neither end"),
        ("flash", "from . import log\nx = [log]\n", "the module log as a value"),
        ("flash", "from . import log\nlog.is_quiet = True\n", "of another module is set"),
        (
            "flash",
            "def f():\n    a = 1\n    def g():\n        nonlocal a\n        a = 2\n",
            "nonlocal",
        ),
        ("flash", "import json as j\n", "under another name"),
        ("flash", "def f(a, *, b):\n    return b\n", "parameters of a kind"),
        ("flash", "def f():\n    global gone\n    gone = 1\n", "does not set"),
        ("notes", "from time import sleep\ndef f():\n    return sleep\n", "two things"),
        ("flash", "from . import forget\nforget('text')\n", "no file of its own"),
        ("led", "from .flash import _n\ndef f():\n    return _n\n", "is set later on"),
    ],
)
def test_what_is_not_understood_ends_the_build(module: str, text: str, why: str) -> None:
    """No image, and the file, the line and the reason."""
    others = {
        "board": "from machine import sleep\ndef hardware_id():\n    return sleep\n",
        "flash": "_n = 0\ndef f():\n    global _n\n    _n = 1\n",
    }
    files = {**REST, **PUBLIC, "": PACKAGE, "run": "def main():\n    pass\n", **others}
    files["link"] = "from umqtt.simple import MQTTClient\nclass Link(MQTTClient):\n    pass\n"
    del files["umqtt"]
    with pytest.raises(DataError) as caught:
        joined({**files, module: text}, UMQTT)
    assert caught.value.what == f"no image can be built of gwnode/{module}.py"
    assert why in caught.value.why


def test_files_that_need_each_other_at_once_end_the_build() -> None:
    """Neither could be loaded first on the board."""
    needs = "from .check import look\ndef read():\n    return look\n"
    with pytest.raises(DataError) as caught:
        joined({**SMALL, "text": needs}, UMQTT)
    assert "it needs a file at once that needs it at once" in caught.value.why


def test_what_link_inherits_is_in_umqtt() -> None:
    """A method of umqtt.simple that link.py uses and an image would not have ends the build."""
    uses = LINK + "    def send(self):\n        self.publish('t')\n"
    with pytest.raises(DataError) as caught:
        joined({**SMALL, "link": uses}, UMQTT)
    assert "publish" in caught.value.why


@pytest.fixture(scope="module")
def image() -> Joined:
    """The node itself."""
    subprocess.run([sys.executable, ROOT / "tools/fetch_umqtt.py", "--quiet"], check=True)
    texts, umqtt = builder.sources()
    return joined(texts, umqtt)


def test_no_name_of_a_board_is_given_up(image: Joined) -> None:
    """What the type stubs of a board's modules have a name for, keeps it: nobody takes `wlan.scan()` for
    a method of ours."""
    stubs = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    known = set()
    for module in BOARDS:
        for path in [*stubs.glob(f"{module}.pyi"), *stubs.glob(f"{module}/**/*.pyi")]:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    known.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    known.add(node.target.id)
    assert {"scan", "duty_u16", "isconnected", "read_temp", "Pin", "PULL_UP"} <= known
    ours = {name for name in image.names.attributes if not name.startswith("_")}
    assert ours & known == set()


def test_what_is_asked_of_a_module_from_outside_keeps_its_name() -> None:
    """Also where no list knows it, and a class of ours has an attribute of that name."""
    text = "import machine\nclass Blinker:\n    level = hue = 1\n"
    text += "def f():\n    return machine.Lamp(1).level, Blinker().hue\n"
    names = joined({**SMALL, "text": text}, UMQTT).names
    assert "hue" in names.attributes
    assert "level" not in names.attributes


def test_no_short_name_is_somebody_elses(image: Joined) -> None:
    """An attribute's short name is no attribute that anything else in the image has; a function and a
    method never share one."""
    short = {own.name: new for own, new in image.names.short.items() if own.module is None}
    assert len(set(short.values())) == len(short)
    texts, _umqtt = builder.sources()
    others = (
        words("\n".join(texts.values()))
        - image.names.attributes
        - {own.name for own in image.names.short}
    )
    assert not {new for new in short.values() if len(new) > 1} & others
    places = image.names.functions()
    mixed = {
        name: found
        for name, found in places.items()
        if len({place.count(".") for place in found if "drivers" not in place}) > 1
        and name in image.names.short.values()
    }
    assert mixed == {}
