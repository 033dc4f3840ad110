"""Plugins are found, and whatever a stranger's module does when it is imported stays its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shelf

GOOD = """
@hookimpl
def node_hello(event): ...
"""


def test_a_file_in_a_folder_is_a_plugin(shelf: Shelf) -> None:
    """A file is loaded under the name `gateway_local.<stem>`, with its path as its origin."""
    path = shelf.drop("door.py", GOOD)
    plugin = shelf.load().plugins["door"]
    assert (plugin.state, plugin.origin, plugin.group) == ("ready", f"file {path}", "door")
    assert plugin.hooks["node_hello"].function.__module__ == "gateway_local.door"


def test_a_package_in_a_folder_is_a_plugin(shelf: Shelf) -> None:
    """A folder with `__init__.py` is loaded, and may import its own files relatively."""
    shelf.drop("gateway_door/rules.py", "ANSWER = 42")
    shelf.drop("gateway_door/__init__.py", f"from .rules import ANSWER\n{GOOD}")
    plugin = shelf.load().plugins["door"]
    assert plugin.state == "ready", plugin.error


def test_other_things_in_a_folder_are_no_plugins(shelf: Shelf) -> None:
    """Tests, private files, data and folders without `__init__.py` are left alone."""
    for name in ("test_door.py", "_draft.py", "conftest.py", "notes.txt", "door_migrations/1.sql"):
        shelf.drop(name, "raise SystemExit")
    assert shelf.load().plugins == {}


def test_the_import_path_stays_as_it_is(shelf: Shelf) -> None:
    """A neighbour file cannot shadow a library: `sys.path` is not touched."""
    shelf.drop("json.py", GOOD)
    before = list(sys.path)
    shelf.drop("door.py", f"import json\nassert json.dumps\n{GOOD}")
    assert shelf.load().plugins["door"].state == "ready"
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("import os; os.exit", "AttributeError: "),
        ("def broken(:", "SyntaxError: "),
        ("raise BaseException", "BaseException"),
    ],
)
def test_a_failing_import_is_a_report(error_of: Callable[[str], str], text: str, said: str) -> None:
    """An import that raises, `SystemExit` included, becomes the plugin's error."""
    assert error_of(text).startswith(f"its import failed: {said}")


def test_a_failing_import_harms_no_other(shelf: Shelf) -> None:
    """The plugins before and behind a broken one are ready."""
    shelf.drop("aaa.py", GOOD)
    shelf.drop("bbb.py", "raise SystemExit(3)")
    shelf.drop("ccc.py", GOOD)
    assert [plugin.name for plugin in shelf.load().ready()] == ["aaa", "ccc"]


def test_a_failed_import_leaves_nothing_behind(shelf: Shelf) -> None:
    """A module that failed half-way is not found by a later import."""
    shelf.drop("half.py", "VALUE = 1\nraise ValueError")
    shelf.load()
    assert "gateway_local.half" not in sys.modules


def test_an_interrupt_is_no_plugin_failure(shelf: Shelf) -> None:
    """Ctrl+C during an import ends the start, as the person wants."""
    shelf.drop("slow.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        shelf.load()


def test_a_folder_that_everybody_may_write_is_refused(shelf: Shelf) -> None:
    """Nothing in a world-writable folder is imported, and the report says what to type."""
    shelf.drop("door.py", "raise AssertionError('imported')")
    shelf.dirs.chmod(0o777)
    (plugin,) = shelf.load().plugins.values()
    assert plugin.state == "failed"
    assert f"chmod o-w {shelf.dirs}" in plugin.error


def test_a_file_that_everybody_may_write_is_refused(shelf: Shelf) -> None:
    """A world-writable file in a good folder is not imported."""
    shelf.drop("door.py", "raise AssertionError('imported')").chmod(0o666)
    assert "chmod o-w" in shelf.load().plugins["door"].error


def test_a_missing_folder_is_a_report(shelf: Shelf) -> None:
    """A folder that is not there is told under its own path; the gateway starts."""
    shelf.dirs.rmdir()
    (plugin,) = shelf.load().plugins.values()
    assert plugin.name == str(shelf.dirs)
    assert "no such folder" in plugin.error


def test_an_installed_plugin_is_found_by_its_entry_point(shelf: Shelf) -> None:
    """The origin names distribution and version, and the version is the plugin's."""
    shelf.install("acme 1.4", "door", GOOD)
    plugin = shelf.load().plugins["door"]
    assert (plugin.state, plugin.origin) == ("ready", "entry point acme 1.4")
    assert (plugin.version, plugin.group) == ("1.4", "door")


def test_ours_come_first_and_share_a_thread(shelf: Shelf) -> None:
    """Plugins of the distribution hellogate are the group `bundled`."""
    shelf.install("acme 1.0", "aaa", GOOD)
    shelf.install("hellogate 0.1", "zzz", GOOD)
    ours, theirs = shelf.load().ready()
    assert (ours.name, ours.origin, ours.group) == ("zzz", "bundled", "bundled")
    assert (theirs.name, theirs.group) == ("aaa", "aaa")


def test_two_distributions_with_one_name(shelf: Shelf) -> None:
    """The first stays, the second is an error that names both."""
    shelf.install("acme 1.0", "door", GOOD)
    shelf.install("bcme 2.0", "door", "raise AssertionError('imported')")
    first, second = shelf.load().plugins.values()
    assert (first.name, first.state) == ("door", "ready")
    assert second.state == "failed"
    assert "acme 1.0" in second.error
    assert "bcme 2.0" in second.error


def test_a_file_cannot_take_the_place_of_ours(shelf: Shelf) -> None:
    """A dropped-in `hello.py` is refused, and our own works on."""
    shelf.install("hellogate 0.1", "hello", GOOD)
    path = shelf.drop("hello.py", GOOD)
    registry = shelf.load()
    assert registry.plugins["hello"].origin == "bundled"
    assert str(path) in registry.plugins[f"hello of file {path}"].error


def test_a_failing_entry_point_ends_no_loop(shelf: Shelf) -> None:
    """One installed plugin that cannot be imported does not hide those behind it."""
    shelf.install("acme 1.0", "aaa", "raise SystemExit")
    shelf.install("bcme 1.0", "bbb", GOOD)
    registry = shelf.load()
    assert registry.plugins["aaa"].error == "its import failed: SystemExit"
    assert registry.plugins["bbb"].state == "ready"


def test_disabled_plugins_are_not_imported(shelf: Shelf) -> None:
    """`[plugins] disabled` stops a plugin before its import; it stays in the list."""
    shelf.drop("door.py", "raise AssertionError('imported')")
    plugin = shelf.load(disabled=("door",)).plugins["door"]
    assert (plugin.state, plugin.error) == ("disabled", "switched off by [plugins] disabled")


@pytest.mark.parametrize(
    ("only", "ready"), [("", []), ("aaa", ["aaa"]), (" aaa, ccc ", ["aaa", "ccc"])]
)
def test_the_environment_chooses(shelf: Shelf, only: str, ready: list[str]) -> None:
    """GATEWAY_LOAD_PLUGINS names the only ones that are imported; empty means none."""
    for name in ("aaa", "bbb", "ccc"):
        shelf.drop(f"{name}.py", GOOD)
    registry = shelf.load(only=only)
    assert [plugin.name for plugin in registry.ready()] == ready
    assert registry.plugins["bbb"].state == "disabled"


def test_names_that_fit_no_plugin_are_told(shelf: Shelf) -> None:
    """A misspelt name in `disabled` or the environment gets a suggestion."""
    shelf.drop("door.py", GOOD)
    registry = shelf.load(disabled=("dor",), only="doors")
    assert registry.warnings == [
        "[plugins] disabled: there is no plugin 'dor'; did you mean \"door\"?",
        "GATEWAY_LOAD_PLUGINS: there is no plugin 'doors'; did you mean \"door\"?",
    ]


def test_several_registries_in_one_process(shelf: Shelf) -> None:
    """Two gateways that load files of one name do not share a module."""
    shelf.drop("door.py", f"WHO = 1\n{GOOD}")
    first = shelf.load()
    shelf.drop("door.py", f"WHO = 22\n{GOOD}")
    second = shelf.load()
    functions = [r.plugins["door"].hooks["node_hello"].function for r in (first, second)]
    assert functions[0] is not functions[1]
