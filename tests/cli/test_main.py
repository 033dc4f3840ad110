"""The group itself: help, errors, exit codes, and what it costs to start."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import gateway.cli as room
from gateway import errors
from gateway.cli import output

ROOT = Path(__file__).resolve().parents[2]


def built_in(name: str) -> click.Command:
    """A command of the table."""
    module, _, attribute = room.COMMANDS[name][0].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, click.Command)
    return found


def all_commands() -> list[tuple[str, click.Command]]:
    """Every command and subcommand of ours with its path."""
    found = []
    for name in room.COMMANDS:
        command = built_in(name)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", each) for sub, each in command.commands.items()]
    return found


@pytest.mark.parametrize("name", list(room.COMMANDS))
def test_the_table_says_what_the_command_says(name: str) -> None:
    """The line in `gateway --help` is the first line of the command's own help."""
    help_text = built_in(name).help or ""
    assert room.COMMANDS[name][1] == help_text.splitlines()[0]


@pytest.mark.parametrize(("path", "command"), all_commands())
def test_help_ends_with_examples(path: str, command: click.Command) -> None:
    """Each command shows how it is called, and its examples name it."""
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "Examples:\n  " in result.output, path
    assert f"gateway {path.split()[0]}" in result.output.rpartition("Examples:")[2] or "|" in path


def test_the_list_of_commands() -> None:
    """`gateway --help` lists our commands in the order of a day's work."""
    text = CliRunner().invoke(room.cli, ["--help"]).output
    places = [text.index(f"\n  {name} ") for name in room.COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("words", [(), ("nodes",), ("dead",)])
def test_a_group_alone_shows_its_help(words: tuple[str, ...], shell: Any) -> None:
    """Half a command is answered by its help on stderr, not by an error about it; exit code 2."""
    result = shell(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: gateway ")
    assert "error:" not in result.stderr


def test_help_cuts_no_sentence(shell: Any) -> None:
    """The lists of commands are wrapped, never cut."""
    for words in ((), ("nodes",), ("config",), ("plugins",)):
        assert "...\n" not in shell(*words, "--help").stdout.partition("Options:")[2]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("stauts",), 'did you mean "status"?'),
        (("nodes", "lsit"), 'did you mean "list"?'),
        (("dead", "replya"), 'did you mean "replay"?'),
    ],
)
def test_did_you_mean(words: tuple[str, ...], hint: str, shell: Any) -> None:
    """A misspelt command is exit code 2 with the nearest name and its help."""
    result = shell(*words)
    assert result.returncode == 2
    what, why, following = result.stderr.splitlines()[-3:]
    assert what.startswith("error: ")
    assert why == f"why:   {hint}"
    assert following.startswith("next:  gateway ")
    assert following.endswith(" --help")


def test_a_wrong_option_is_a_usage_error(shell: Any) -> None:
    """A wrong option is exit code 2 and names the help."""
    result = shell("nodes", "list", "--lief")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "next:  gateway nodes list --help"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.GatewayError("x"), 1),
        (errors.SettingsError("x"), 78),
        (errors.BrokerError("x"), 69),
        (errors.AuthError("x"), 77),
        (errors.StoreError("x"), 74),
        (errors.DataError("x"), 65),
        (errors.BusyError("x"), 75),
        (errors.PluginError("weather", "x"), 70),
        (click.UsageError("x"), 2),
        (click.Abort(), 130),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    """Each kind of failure has the exit code that `systemctl status` names."""
    assert output.report(error) == code


def test_an_error_is_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """What, why, and what to type next; a line that has nothing to say stays away."""
    output.report(errors.StoreError("what", why="why", hint="do this"))
    assert capsys.readouterr().err == "error: what\nwhy:   why\nnext:  do this\n"
    output.report(errors.StoreError("what"))
    assert capsys.readouterr().err == "error: what\n"


def test_a_bug_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is one line, and its traceback is there for `-v`."""
    monkeypatch.setattr(sys, "argv", ["gateway", "status"])
    output.report(RuntimeError("two\nlines"))
    assert capsys.readouterr().err == "error: RuntimeError: two lines (a bug; -v shows where)\n"
    monkeypatch.setattr(sys, "argv", ["gateway", "-v", "status"])
    output.report(RuntimeError("two\nlines"))
    assert "RuntimeError: two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sorted_words"),
    [
        ("run --state-dir X --once", "--state-dir X run --once"),
        ("nodes list -v --config=c.toml", "-v --config=c.toml nodes list"),
        ("--state-dir X run", "--state-dir X run"),
        ("weather --config c.toml", "weather --config c.toml"),
        ("publish -- --state-dir X", "publish -- --state-dir X"),
    ],
)
def test_global_options_may_stand_anywhere(words: str, sorted_words: str) -> None:
    """Global options behind one of our commands count; a plugin's command keeps its own."""
    assert " ".join(room.hoist(words.split(), room.COMMANDS)) == sorted_words


def test_the_store_of_nobody(shell: Any, tmp_path: Path) -> None:
    """Looking at a folder without a store is exit code 74 and three lines."""
    result = shell("--state-dir", str(tmp_path / "none"), "nodes", "list")
    assert (result.returncode, result.stdout) == (74, "")
    assert [line[:7] for line in result.stderr.splitlines()] == ["error: ", "why:   ", "next:  "]


def test_a_reader_that_has_had_enough(state: Any) -> None:
    """`gateway ... | head -1` ends quietly."""
    for number in range(1, 400):
        state.message(number, "telemetry", {"text": "x" * 500})
    words = ["-m", "gateway", "--state-dir", str(state.folder), "events", "-n", "400"]
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_starting_costs_click_and_little_else() -> None:
    """`gateway version` imports none of what the gateway itself is made of."""
    code = (
        "import sys\nfrom gateway.cli import cli\n"
        "cli(['version'], standalone_mode=False)\n"
        "heavy = {'msgspec', 'pluggy', 'paho', 'sqlite3', 'asyncio', 'tomli', 'importlib.metadata'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "[]"
