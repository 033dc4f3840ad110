"""A hook, its page, its test and a real user cannot drift apart: everything here is read from the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from gateway import Tx, hookspecs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins" / "hooks.md").read_text()
SPECS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function)
    and getattr(function, f"{hookspecs.NAME}_spec", None) is not None
}
TESTS = "\n".join(
    path.read_text()
    for folder in ("tests", "plugins")
    for path in (ROOT / folder).rglob("test_*.py")
    if path.name != Path(__file__).name
)
BUNDLED = "\n".join(path.read_text() for path in (ROOT / "plugins").glob("*/gateway_*/*.py"))


def test_there_are_hooks() -> None:
    """The list that the other tests go through is not empty."""
    assert "node_hello" in SPECS


@pytest.mark.parametrize("name", SPECS)
def test_parameters_are_plain(name: str) -> None:
    """pluggy does not see keyword-only parameters, so there are none, and none has a default."""
    for parameter in inspect.signature(SPECS[name]).parameters.values():
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert parameter.default is inspect.Parameter.empty


@pytest.mark.parametrize("name", SPECS)
def test_the_page_has_its_heading(name: str) -> None:
    """`docs/plugins/hooks.md` has a heading with the hook's exact signature."""
    arguments = ", ".join(inspect.signature(SPECS[name]).parameters)
    assert f"\n## `{name}({arguments})`\n" in PAGE


def test_the_page_has_no_heading_without_a_hook() -> None:
    """A hook that is gone leaves no page behind."""
    assert set(re.findall(r"^## `(\w+)\(", PAGE, re.MULTILINE)) == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_the_docstring_says_what_an_author_must_know(name: str) -> None:
    """When, where, what may be returned, and what a failure does."""
    text = inspect.getdoc(SPECS[name]) or ""
    for word in ("When:", "Where:", "Returns:", "On failure:"):
        assert word in text, f"{name} does not say {word}"


@pytest.mark.parametrize("name", SPECS)
def test_a_bundled_plugin_uses_it(name: str) -> None:
    """Every hook has a real user."""
    assert re.search(rf"@hookimpl\n(?:async )?def {name}\(", BUNDLED), f"nobody implements {name}"


@pytest.mark.parametrize("name", SPECS)
def test_a_test_names_it(name: str) -> None:
    """Every hook has a test that has its name."""
    assert re.search(rf"def test_\w*{name}", TESTS), f"no test is called test_...{name}..."


def test_the_page_has_what_a_transaction_can_do() -> None:
    """The table of `tx` has a row for each of its methods, and no other."""
    methods = {name for name, one in vars(Tx).items() if inspect.isfunction(one)} - {"__init__"}
    rows = set(re.findall(r"^\| `tx\.(\w+)\(", PAGE, re.MULTILINE))
    assert rows == {name for name in methods if not name.startswith("_")}
