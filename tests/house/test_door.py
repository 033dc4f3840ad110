"""A bundled plugin has no key that a stranger's plugin lacks: all of them come in by the door."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway.protocol.messages import KNOWN

if TYPE_CHECKING:
    from conftest import House, Source

LIBRARIES = {"msgspec", "click"}
"""What a bundled plugin may use besides the standard library."""

CLOSED = {"sqlite3", "socket", "threading"}
"""Of the standard library: what a plugin gets from `tx`, `Host` and jobs instead."""

FOR_APPLICATIONS = {"Gateway", "load_settings"}
"""Names for those who embed the gateway; they come in by the same door."""


def strangers(house: House) -> list[Source]:
    """The plugins of the shelf and the fixtures that play a stranger's plugin."""
    shelf = [source for sources in house.plugin_packages().values() for source in sources]
    return shelf + house.under("tests/fixtures/plugins")


def test_plugins_import_only_the_door(house: House) -> None:
    """A plugin imports names from `gateway` itself, never from one of its rooms."""
    names = set(gateway.__all__)
    wrong = [
        f"{source.path}:{found.line}: {found.module} {found.name}"
        for source in strangers(house)
        for found in source.imports()
        if found.top == "gateway" and not (found.module == "gateway" and found.name in names)
    ]
    assert not wrong, "\n".join(wrong)


def test_plugins_never_import_each_other(house: House) -> None:
    """Plugins meet in events, in `nodes` and nowhere else."""
    packages = house.plugin_packages()
    wrong = [
        f"{source.path}:{found.line}: {found.module}"
        for package, sources in packages.items()
        for source in sources
        for found in source.imports()
        if found.top in packages and found.top != package
    ]
    assert not wrong, "\n".join(wrong)


def test_plugins_bring_no_libraries(house: House) -> None:
    """No database, no socket, no thread, and no library beyond those of the types and the CLI."""
    ours = {"gateway", *house.plugin_packages()}
    wrong = [
        f"{source.path}:{found.line}: {found.top}"
        for source in strangers(house)
        for found in source.imports()
        if found.top not in LIBRARIES | ours
        if found.top in CLOSED or found.top not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def test_every_name_of_the_door_has_a_user(house: House) -> None:
    """A name at the door is used by a plugin, is a message of the protocol, or is for applications."""
    used = {
        alias.name
        for source in [*strangers(house), *house.under("plugins", "gateway/testing")]
        for node in ast.walk(source.tree)  # also what only type checkers see
        if isinstance(node, ast.ImportFrom) and node.module == "gateway"
        for alias in node.names
    }
    events = {cls.__name__ for cls in KNOWN}
    assert set(gateway.__all__) - used - events - FOR_APPLICATIONS == set()


def test_the_door_lists_what_it_hands_out(house: House) -> None:
    """`__all__` is sorted, and what type checkers see is what an import finds."""
    (door,) = [source for source in house.under("gateway") if source.path == "gateway/__init__.py"]
    seen = {
        alias.asname or alias.name
        for node in ast.walk(door.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway")
        for alias in node.names
    }
    assert seen == set(gateway.__all__)
    assert sorted(gateway.__all__, key=sort_key) == gateway.__all__
    assert [name for name in gateway.__all__ if not hasattr(gateway, name)] == []


def sort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_every_name_of_the_door_is_explained(house: House) -> None:
    """Classes and functions have a docstring, constants a string behind their assignment."""
    explained = {
        name for source in house.under("gateway") for name in documented_constants(source.tree)
    }
    wrong = []
    for name in gateway.__all__:
        value = getattr(gateway, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            base = inspect.getdoc(value.__base__) if inspect.isclass(value) else None
            if not inspect.getdoc(value) or inspect.getdoc(value) == base:
                wrong.append(name)
        elif name not in explained and type(value).__module__ == "builtins":
            wrong.append(name)
    assert not wrong, "\n".join(wrong)


def documented_constants(tree: ast.Module) -> set[str]:
    """Names that are assigned in a module and have a string right behind."""
    found = set()
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            targets = (
                node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            )
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_the_door_costs_nothing_until_it_is_used() -> None:
    """`import gateway` loads none of the rooms and no library."""
    heavy = "('gateway.', 'msgspec', 'pluggy')"
    code = f"import sys, gateway; print(*(m for m in sys.modules if m.startswith({heavy})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The door says that it has no such name, like any module."""
    module = importlib.import_module("gateway")
    with pytest.raises(AttributeError, match="hookimp"):
        _ = module.hookimp
