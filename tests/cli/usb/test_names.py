"""Short names: the program that comes out does what the one did that went in, or there is none."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.usb.image import build as builder
from gateway.cli.usb.image.explain import MOST
from gateway.cli.usb.image.join import Joined, joined
from gateway.errors import DataError
from tests.cli.usb.small import (
    BARE_LINK,
    LINK,
    PACKAGE,
    PUBLIC,
    REST,
    SMALL,
    UMQTT,
    output,
    words,
    write,
)

ROOT = Path(__file__).resolve().parents[3]
BOARDS = ("machine", "network", "onewire", "ds18x20", "esp32", "micropython", "neopixel", "vfs")


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
    files["link"] = BARE_LINK
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
    """A short name is nothing that Python has and the node uses, nor an attribute of anything else in the
    image, and it stands for so few functions that a traceback can be read."""
    ours = image.names.attributes | {own.name for own in image.names.short}
    theirs = set()
    for text in builder.sources()[0].values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr not in ours:
                theirs.add(node.attr)
            elif isinstance(node, ast.Name) and hasattr(builtins, node.id):
                theirs.add(node.id)
    assert {"append", "len", "isinstance", "publish"} <= theirs
    assert set(image.names.short.values()) & theirs == set()
    assert max(map(len, image.functions.values())) > MOST, "__init__ and others that are kept"
    short = set(image.names.short.values())
    many = [len(places) for name, places in image.functions.items() if name in short]
    assert 1 < max(many) <= MOST
