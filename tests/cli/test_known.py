"""The remembered lines of `gateway --help`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import known

PLUGIN = '''
import click
from gateway import hookimpl

@hookimpl
def register_commands(cli):
    @cli.command()
    def weather():
        """{line}"""
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_what_is_kept_is_recalled() -> None:
    """Lines come back while nothing has changed."""
    stamp = known.stamp("1", None)
    assert known.recall(stamp) is None
    known.keep(stamp, [("weather", "Tell it.")], [__file__])
    assert known.recall(known.stamp("1", None)) == [("weather", "Tell it.")]


def test_no_secret_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment does not end up in the cache."""
    monkeypatch.setenv("GATEWAY__MQTT__PASSWORD", "hunter2")
    known.keep(known.stamp("1", None), [], [])
    assert "hunter2" not in (here / "cache/gateway/commands.json").read_text()


def test_a_change_forgets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New settings, another version, another environment or a changed plugin end the memory."""
    plugin = here / "plugin.py"
    plugin.write_text("")
    known.keep(known.stamp("1", None), [], [str(plugin)])
    assert known.recall(known.stamp("2", None)) is None
    assert known.recall(known.stamp("1", here / "other.toml")) is None
    monkeypatch.setenv("GATEWAY_LOAD_PLUGINS", "")
    assert known.recall(known.stamp("1", None)) is None
    monkeypatch.delenv("GATEWAY_LOAD_PLUGINS")
    assert known.recall(known.stamp("1", None)) == []
    (here / "gateway.toml").write_text("")
    assert known.recall(known.stamp("1", None)) is None
    (here / "gateway.toml").unlink()
    os.utime(plugin, ns=(1, 1))
    assert known.recall(known.stamp("1", None)) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"stamp": 1}'])
def test_a_broken_cache_is_no_cache(here: Path, text: str) -> None:
    """Whatever stands in the file, help goes on without it."""
    (here / "cache/gateway").mkdir(parents=True)
    (here / "cache/gateway/commands.json").write_text(text)
    assert known.recall(known.stamp("1", None)) is None


def test_no_room_for_a_cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be written costs nothing but time."""
    (here / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    known.keep([], [], [])
    assert known.recall([]) is None


def test_a_plugins_command_in_a_folder(shell: Any, tmp_path: Path) -> None:
    """A file in `[plugins] dirs` adds its command, help shows it twice the same, and follows it."""
    folder = tmp_path / "plugs"
    folder.mkdir(mode=0o755)
    file = folder / "weather.py"
    file.write_text(PLUGIN.format(line="Tell the weather."))
    (tmp_path / "gateway.toml").write_text('[plugins]\ndirs = ["plugs"]\n')
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    texts = [shell("--help", **cache).stdout for _ in range(2)]
    assert "  weather   Tell the weather.\n" in texts[0]
    assert texts[0] == texts[1]
    assert shell("weather", **cache).returncode == 0
    file.write_text(PLUGIN.format(line="Tell the rain."))
    os.utime(file, ns=(1, 1))
    assert "Tell the rain." in shell("--help", **cache).stdout


def test_a_broken_plugin_is_named_each_time(shell: Any, tmp_path: Path) -> None:
    """A plugin that cannot be loaded is a warning in help, again and again, and help works."""
    folder = tmp_path / "plugs"
    folder.mkdir(mode=0o755)
    (folder / "weather.py").write_text("1 / 0\n")
    (tmp_path / "gateway.toml").write_text('[plugins]\ndirs = ["plugs"]\n')
    for _ in range(2):
        result = shell("--help", XDG_CACHE_HOME=str(tmp_path / "cache"))
        assert result.returncode == 0
        assert "warning: plugin weather: " in result.stderr
        assert "ZeroDivisionError" in result.stderr


def test_a_plugin_cannot_take_a_name_of_ours(shell: Any, tmp_path: Path) -> None:
    """A plugin's command `status` is refused with a warning, and ours goes on working."""
    folder = tmp_path / "plugs"
    folder.mkdir(mode=0o755)
    text = PLUGIN.format(line="Mine.").replace("def weather", "def status")
    (folder / "weather.py").write_text(text)
    (tmp_path / "gateway.toml").write_text('[plugins]\ndirs = ["plugs"]\n')
    result = shell("--help", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "there is a command 'status' already" in result.stderr
    assert "Mine." not in result.stdout
