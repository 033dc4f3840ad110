"""Who is called for what, and what a plugin's mistakes cost: that plugin, and nobody else."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.host.registry import Registry
from gateway.protocol.messages import NodeHeartbeat, NodeHello, Status
from gateway.settings.load import load

if TYPE_CHECKING:
    from conftest import Shelf

FIXTURES = Path(__file__).parents[1] / "fixtures" / "plugins"
SHARED = """
class Unlock(Command, kw_only=True):
    kind = "door.unlock"
class Door(Message, kw_only=True):
    kind = "door"
@hookimpl
def manifest(): return Manifest(messages=({},), commands=(Unlock,))
@hookimpl
def node_message(event): ...
"""
WITH_CONFIG = """
import msgspec
class Settings(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 3
    mode: str = "a"
@hookimpl
def manifest(): return Manifest(config=Settings)
@hookimpl
def node_hello(config): ...
"""


def configured(shelf: Shelf, text: str, entry_points: tuple[EntryPoint, ...] = ()) -> Registry:
    """A registry with the settings in `text`."""
    file = shelf.site / "gateway.toml"
    file.write_text(f"[plugins]\ndirs = ['{shelf.dirs}']\n{text}")
    settings = load(file, environ={}).settings
    return Registry.load(settings, entry_points=entry_points, environ={})


def test_only_who_lists_a_kind_gets_it(shelf: Shelf) -> None:
    """`node_message` goes to the plugins whose manifest lists the kind, messages and commands."""
    shelf.drop("aaa.py", SHARED.format("Status"))
    shelf.drop("bbb.py", "@hookimpl\ndef node_message(event): ...")
    registry = shelf.load()
    assert names(registry, "node_message", "status") == ["aaa"]
    assert names(registry, "node_message", "door.unlock") == ["aaa"]
    assert names(registry, "node_message", "door") == []


def test_a_hook_of_its_own_goes_to_all(shelf: Shelf) -> None:
    """Whoever implements `node_hello` is called, in a fixed order; tryfirst and trylast count."""
    shelf.drop("aaa.py", "@hookimpl(trylast=True)\ndef node_hello(): ...")
    shelf.drop("bbb.py", "@hookimpl\ndef node_hello(): ...")
    shelf.drop("ccc.py", "@hookimpl(tryfirst=True)\ndef node_hello(): ...")
    registry = shelf.load()
    assert names(registry, "node_hello", "node_hello") == ["ccc", "bbb", "aaa"]
    assert registry.targets("node_hello") is registry.targets("node_hello")


def test_the_types_that_somebody_wants(shelf: Shelf) -> None:
    """Kinds with a hook of their own count only where somebody implements it."""
    shelf.drop("aaa.py", SHARED.format("Status"))
    shelf.drop("bbb.py", "@hookimpl\ndef node_hello(): ...\n@hookimpl\ndef node_heartbeat(): ...")
    registry = shelf.load()
    assert registry.message_types() == {
        "node_hello": NodeHello,
        "heartbeat": NodeHeartbeat,
        "status": Status,
    }
    assert list(registry.command_types()) == ["door.unlock"]


def test_two_plugins_may_share_a_type(shelf: Shelf) -> None:
    """The same class for one kind is no clash: both get the event."""
    for name in ("aaa", "bbb"):
        shelf.drop(f"{name}.py", SHARED.replace("door.unlock", f"{name}.go").format("Status"))
    assert names(shelf.load(), "node_message", "status") == ["aaa", "bbb"]


@pytest.mark.parametrize("kind", ["'door'", "'door.unlock'"])
def test_two_types_for_one_kind_are_a_clash(shelf: Shelf, kind: str) -> None:
    """The later plugin fails with an error that names both; the first goes on."""
    other = SHARED if kind == "'door.unlock'" else SHARED.replace("door.unlock", "other.go")
    shelf.drop("aaa.py", SHARED.format("Door"))
    shelf.drop("bbb.py", other.format("Status" if kind == "'door.unlock'" else "Door"))
    registry = shelf.load()
    assert registry.plugins["aaa"].state == "ready"
    assert registry.plugins["bbb"].state == "failed"
    assert registry.plugins["bbb"].error.startswith(
        f"bbb and aaa both have a type for the kind {kind}"
    )


def test_a_plugin_out_of_service_is_not_called(shelf: Shelf) -> None:
    """`disable` takes effect at once, and the reason is kept."""
    shelf.drop("aaa.py", "@hookimpl\ndef node_hello(): ...")
    registry = shelf.load()
    assert names(registry, "node_hello") == ["aaa"]
    registry.disable("aaa", "startup failed")
    assert names(registry, "node_hello") == []
    assert registry.message_types() == {}
    assert (registry.plugins["aaa"].state, registry.plugins["aaa"].error) == (
        "failed",
        "startup failed",
    )


def test_a_section_becomes_the_plugins_config(shelf: Shelf) -> None:
    """Each registry decodes an object of its own."""
    shelf.drop("door.py", WITH_CONFIG)
    registry = configured(shelf, "[plugins.door]\nlimit = 5")
    config = registry.plugins["door"].config
    assert (config.limit, config.mode) == (5, "a")
    again = configured(shelf, "").plugins["door"].config
    assert again.limit == 3


def test_wrong_sections_switch_off_their_plugins_only(shelf: Shelf) -> None:
    """Every mistake of every plugin is told with its place; the others are ready."""
    for name in ("aaa", "bbb", "ccc"):
        shelf.drop(f"{name}.py", WITH_CONFIG)
    registry = configured(
        shelf, "[plugins.aaa]\nlimt = 5\nmode = 7\n[plugins.bbb]\nlimit = 'many'\n"
    )
    assert [plugin.name for plugin in registry.ready()] == ["ccc"]
    said = [str(problem) for problem in registry.problems]
    assert len(said) == 3
    assert said[0].startswith("line 4, column 1: unknown key")
    assert 'did you mean "limit"?' in said[0]
    assert said[0] in registry.plugins["aaa"].error
    assert said[1] in registry.plugins["aaa"].error
    assert said[2] == registry.plugins["bbb"].error


def test_a_config_that_raises_is_the_plugins_failure(shelf: Shelf) -> None:
    """Whatever a Struct's own code does while it is decoded ends at its plugin."""
    shelf.drop("door.py", WITH_CONFIG.replace(
        '    mode: str = "a"', '    mode: str = "a"\n    def __post_init__(self): raise SystemExit(2)'
    ))  # fmt: skip
    plugin = configured(shelf, "").plugins["door"]
    assert (plugin.state, plugin.error) == ("failed", "SystemExit: 2")


def test_sections_that_nobody_reads_are_told(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """A section of no plugin, or of one without settings, is a warning and in the log."""
    shelf.drop("door.py", WITH_CONFIG)
    shelf.drop("plain.py", "@hookimpl\ndef node_hello(): ...")
    with caplog.at_level(logging.WARNING):
        registry = configured(shelf, "[plugins.dor]\na = 1\n[plugins.plain]\nb = 2")
    assert len(registry.warnings) == 2
    assert 'did you mean "door"?' in registry.warnings[0]
    assert registry.warnings[1] == "[plugins.plain] is not read: the plugin has no settings"
    assert caplog.messages == registry.warnings


def test_a_strangers_plugin_is_found_with_its_hooks() -> None:
    """The one-file fixture brings a kind, a table and a setting, and gets what it asks for."""
    settings = load(
        overrides={"plugins.dirs": [str(FIXTURES)]}, environ={"HOME": "/nonexistent"}
    ).settings
    registry = Registry.load(settings, entry_points=(), environ={})
    plugin = registry.plugins["door_sensor"]
    assert plugin.state == "ready", plugin.error
    assert set(plugin.hooks) == {"manifest", "node_hello", "node_message"}
    assert plugin.migrations == FIXTURES / "door_sensor_migrations"
    assert names(registry, "node_message", "door") == ["door_sensor"]
    assert set(registry.message_types()) == {"door", "node_hello"}
    assert (plugin.version, plugin.config.ignore) == ("1.2", [])


def test_the_strangers_plugin_writes_its_own_table() -> None:
    """Its hooks are functions: a fake tx is all that their test needs."""
    settings = load(
        overrides={"plugins.dirs": [str(FIXTURES)]}, environ={"HOME": "/nonexistent"}
    ).settings
    registry = Registry.load(settings, entry_points=(), environ={})
    ((plugin, bound),) = registry.targets("node_message", "door")
    event = registry.message_types()["door"](door="north")  # type: ignore[call-arg] # its own field
    tx = FakeTx()
    bound.call(event, FakeNode(), tx, plugin.config)
    ((sql, params),) = tx.written
    assert sql.startswith("INSERT INTO door_sensor_events ")
    assert params[:2] == (7, "north")


class FakeNode:
    """A node with an id."""

    id = 7


class FakeTx:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, tuple[Any, ...]]] = []

    def write(self, sql: str, *params: Any) -> None:
        """Keep it."""
        self.written.append((sql, params))


def names(registry: Registry, hook: str, kind: str | None = None) -> list[str]:
    """The plugins that are called."""
    return [plugin.name for plugin, _ in registry.targets(hook, kind)]
