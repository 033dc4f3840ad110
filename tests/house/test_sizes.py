"""Rooms stay small: budgets for modules, classes, functions and their parameters.

Who needs more stands in `MORE` with the reason; an entry that is not needed any more fails too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from conftest import House, Source

MODULE, CLASS, FUNCTION, PARAMETERS = 300, 200, 40, 6
DEVICE_MODULE = 300

MORE: dict[str, tuple[int, str]] = {
    "gateway/api.py publish_json() parameters": (
        8,
        "topic, payload, and the six options of an outbox row",
    ),
    "gateway/hooks/tx.py publish_json() parameters": (8, "implements the one above"),
}
"""`path`, `path Class`, `path function()` or that and `parameters` -> what it may have, and why."""


class Measure(NamedTuple):
    """Something with a size."""

    what: str
    unit: str
    size: int
    budget: int


def measures(source: Source) -> Iterator[Measure]:
    """Everything in a file that has a budget."""
    budget = DEVICE_MODULE if source.path.startswith("device/") else MODULE
    yield Measure(source.path, "lines", source.text.count("\n"), budget)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            yield Measure(f"{source.path} {node.name}", "lines", length(node), CLASS)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            what = f"{source.path} {node.name}()"
            yield Measure(what, "lines", length(node), FUNCTION)
            yield Measure(f"{what} parameters", "", parameters(node), PARAMETERS)


def length(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the `def` or `class` to the end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many values a caller may pass; `self` and `cls` are nobody's choice."""
    args = node.args
    named = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    own = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - own


def test_nothing_outgrows_its_budget(house: House) -> None:
    """Modules, classes, functions and parameter lists of the product keep to their budgets."""
    wrong = [
        f"{what}: {size} {unit}; {MORE.get(what, (budget,))[0]} allowed"
        for source in house.under("gateway", "plugins", "device")
        if not source.file.name.startswith("test_")
        for what, unit, size, budget in measures(source)
        if size > MORE.get(what, (budget,))[0]
    ]
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed(house: House) -> None:
    """An exception that is not used any more goes."""
    over = {
        what
        for source in house.under("gateway", "plugins", "device")
        for what, _unit, size, budget in measures(source)
        if size > budget
    }
    assert set(MORE) - over == set()


def test_every_test_says_what_must_hold(house: House) -> None:
    """A test function has a docstring of one paragraph that ends like a sentence."""
    wrong = []
    for source in house.under("tests", "plugins"):
        if not source.file.name.startswith("test_"):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                text = ast.get_docstring(node) or ""
                if not text.split("\n\n")[0].rstrip().endswith((".", "?", "!", "`")):
                    wrong.append(f"{source.path}:{node.lineno}: {node.name}")
    assert not wrong, "\n".join(wrong)
