"""A class and its only heir as one class: it does what the two did."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.cli.usb.small import both

BASE = """
class Base:
    def __init__(self, first, second=2):
        self.first, self.second = first, second
        self.begin()
    def begin(self):
        self.begun = "base"
    def told(self):
        return [self.first, self.second, self.begun, self.kind]
    @property
    def kind(self):
        return "a base"
    def only(self):
        return self.second
    def both(self):
        return "base's"
"""
MIDDLE = """
class Middle(Base):
    def only(self):
        return super().only() + 1
"""
HEIR = """
class Heir(Base):
    count = 3
    both = len
    def __init__(self, first):
        super().__init__(first)
        self.third = self.only() + super().only()
    def begin(self):
        super().begin()
        self.begun += " and heir"
    def told(self):
        return super().told() + [self.third, self.count, super().both(), self.both("two")]
    @property
    def kind(self):
        return "an heir"
"""
MAIN = """
def main(folder):
    one, two = Heir(1), Heir(5)
    print(one.told(), two.told(), one.kind, two.only())
"""
STAY = {
    "a base that is asked for by name": BASE
    + HEIR
    + MAIN
    + "    print(isinstance(one, Base), Base.only(one))\n",
    "a base with an object of its own": BASE.replace("self.kind]", "1]")
    + HEIR
    + MAIN
    + "    print(Base(7).told())\n",
    "two heirs": BASE + HEIR + "class Other(Base):\n    pass\n" + MAIN,
    "a base with more than methods": BASE + "    level = 4\n" + HEIR + MAIN,
}


def classes(text: str) -> int:
    """How many there are."""
    return sum(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("middle", [False, True], ids=["two", "three"])
def test_a_base_and_its_only_heir_are_one(
    micropython: str, tmp_path: Path, *, middle: bool
) -> None:
    """What the heir has wins, and what it asks of `super()` is there; so also over one between them."""
    run = BASE + HEIR + MAIN
    if middle:
        run = BASE + MIDDLE + HEIR.replace("(Base)", "(Middle)") + MAIN
    before, after, made = both(micropython, tmp_path, run)
    assert after == before
    assert "base and heir" in before
    assert classes(made.files[""]) == 2, "umqtt's is one with the link as well"


@pytest.mark.parametrize("what", STAY)
def test_others_stay_two(micropython: str, tmp_path: Path, what: str) -> None:
    """And do the same."""
    before, after, made = both(micropython, tmp_path, STAY[what])
    assert after == before
    assert classes(made.files[""]) > 2
