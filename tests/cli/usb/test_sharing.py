"""Names that share a word in an image: nobody who may be met in the same place does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.usb.image import build as builder
from gateway.cli.usb.image.join import Joined, joined
from gateway.cli.usb.image.names import Own
from gateway.cli.usb.image.onboard import UMQTT, inherited
from gateway.cli.usb.image.sharing import Families
from gateway.cli.usb.image.sources import Program
from tests.cli.usb.small import UMQTT as SMALL_UMQTT
from tests.cli.usb.small import both, program

ROOT = Path(__file__).resolve().parents[3]


RUN = """
class Base:
    def __init__(self):
        self.first, self.second = 1, 2
    def third(self):
        return self.first * 10 + self.second
class Child(Base):
    def __init__(self):
        super().__init__()
        self.fourth = 4
    def fifth(self):
        return self.third() * 10 + self.fourth
class Stranger:
    sixth = 6
    def seventh(self):
        self.eighth, self.tenth = 8, 10
        return self.sixth * 10 + self.eighth
def main(folder):
    for made in (Child(), Stranger(), Base()):
        made.ninth, made.tenth = 9, 11
        print(made.ninth, made.tenth, getattr(made, "none", None))
    child, other = Child(), Stranger()
    for found in (child.fifth(), child.third(), other.seventh(), child.fourth, other.eighth):
        print(found, child.second, other.sixth, other.tenth)
"""


def test_classes_share_and_a_family_does_not(micropython: str, tmp_path: Path) -> None:
    """Attributes of classes that have nothing to do with one another may be the same word; those of a
    class, of what it inherits and of whoever sets one from outside may not."""
    before, after, made = both(micropython, tmp_path, RUN)
    assert after == before
    short = {own.name: word for own, word in made.names.short.items() if own.module is None}
    family = [short[name] for name in ("first", "second", "fourth", "ninth", "tenth")]
    assert len(set(family)) == 5
    stranger = [short[name] for name in ("sixth", "eighth", "ninth", "tenth")]
    assert len(set(stranger)) == 4
    assert set(stranger[:2]) & set(family), "a stranger's are some of the same words"


def test_what_is_set_from_outside_may_be_anywhere() -> None:
    """Nobody knows on which object: also where one class sets it itself."""
    texts = program(RUN)
    families = Families(Program({**texts, UMQTT: inherited(SMALL_UMQTT, texts["link"])}))
    assert families.rooms("tenth") == families.rooms("ninth") == families.everywhere
    assert families.rooms("eighth") == {"run.Stranger"}
    assert families.rooms("first") == families.rooms("fifth") != families.rooms("eighth")


@pytest.fixture(scope="module")
def image() -> Joined:
    """The node itself."""
    subprocess.run([sys.executable, ROOT / "tools/fetch_umqtt.py", "--quiet"], check=True)
    return joined(*builder.sources())


def test_no_class_of_the_node_has_a_word_twice(image: Joined) -> None:
    """Counted anew from the sources: what a class and its bases bind, and what is set on `self`."""
    texts, umqtt = builder.sources()
    texts = {**texts, UMQTT: inherited(umqtt, texts["link"])}
    classes = {
        f"{module}.{node.name}": node
        for module, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }
    short, checked = image.names.short, 0
    for name, node in classes.items():
        names = own(node)
        for base in (ast.unparse(base).rpartition(".")[2] for base in node.bases):
            names |= {
                n for other in classes if other.endswith(f".{base}") for n in own(classes[other])
            }
        words = [short[Own(None, n)] for n in names if Own(None, n) in short]
        assert len(set(words)) == len(words), name
        checked += len(words)
    assert checked > 150


def own(node: ast.ClassDef) -> set[str]:
    """The attributes that a class gives its objects."""
    names = {
        n.id
        for one in node.body
        if isinstance(one, ast.Assign)
        for n in ast.walk(one.targets[0])
        if isinstance(n, ast.Name)
    }
    for one in ast.walk(node):
        if isinstance(one, ast.FunctionDef):
            names.add(one.name)
        elif isinstance(one, ast.Attribute) and ast.unparse(one.value) == "self":
            names.add(one.attr)
    return names
