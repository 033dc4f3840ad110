"""Plugins add commands to the command line; one that fails costs a warning."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click

from gateway.host.commands import register
from gateway.settings.model import Plugins, Settings

if TYPE_CHECKING:
    from conftest import Shelf

ADDS = """
@hookimpl
def register_commands(cli):
    import click
    cli.add_command(click.Command("door"))
"""


def test_register_commands_adds_commands(shelf: Shelf) -> None:
    """An installed plugin's command is there without any settings."""
    shelf.install("acme 1.0", "door", ADDS)
    cli = click.Group()
    assert register(cli, entry_points=shelf.entry_points()) == []
    assert list(cli.commands) == ["door"]


def test_plugins_in_folders_add_commands(shelf: Shelf) -> None:
    """With the settings at hand, plugins of `[plugins] dirs` are asked too, disabled ones not."""
    shelf.drop("door.py", ADDS)
    shelf.drop("off.py", "raise AssertionError('imported')")
    settings = Settings(plugins=Plugins(dirs=[str(shelf.dirs)], disabled=["off"]))
    cli = click.Group()
    assert register(cli, settings, entry_points=()) == []
    assert list(cli.commands) == ["door"]


def test_a_failing_plugin_costs_a_warning(shelf: Shelf) -> None:
    """Failing imports and failing hooks are named; the others' commands are there."""
    shelf.install("acme 1.0", "aaa", "raise SystemExit(1)")
    shelf.install("bcme 1.0", "bbb", "@hookimpl\ndef register_commands(cli): raise SystemExit(2)")
    shelf.install("ccme 1.0", "door", ADDS)
    cli = click.Group()
    assert register(cli, entry_points=shelf.entry_points()) == [
        "plugin aaa: its import failed: SystemExit: 1",
        "plugin bbb: its commands are missing: SystemExit: 2",
    ]
    assert list(cli.commands) == ["door"]


def test_registering_imports_no_more_than_it_must() -> None:
    """The command line waits for it: no store, no MQTT, no settings reader, no event loop."""
    code = (
        "import sys, click; from gateway.host.commands import register; "
        "register(click.Group(), entry_points=()); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(
        {"sqlite3", "paho", "tomli", "asyncio", "gateway.app", "gateway.store"}
    )
