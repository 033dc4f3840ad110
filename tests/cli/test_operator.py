"""What a command finds in `click.Context.obj`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.cli.operator import Operator, command_line
from gateway.errors import BusyError, DataError, StoreError


@pytest.fixture
def operator(state: Any) -> Operator:
    """An operator on the state folder."""
    return Operator(state_dir=state.folder)


def test_the_command_for_another_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not on the PATH is named with its place, and a given folder goes with it."""
    program = tmp_path / "bin/gateway"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program), "run"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_line(Path(".run")) == f"{program} --state-dir .run"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_line(None) == "gateway"


def test_a_node_is_found_by_each_of_its_names(state: Any, operator: Operator) -> None:
    """Uid and hardware_id lead to the same row, in any case, and the secret is not in it."""
    state.node(3)
    for name in ("nd-ph-3", "ESP32-3"):
        found = operator.node(name)
        assert found["id"] == 3
        assert not {"secret", "trial_secret"} & set(found)


def test_an_unknown_node_gets_a_suggestion(state: Any, operator: Operator) -> None:
    """A misspelt name is refused with the nearest one."""
    state.node(1)
    with pytest.raises(DataError) as caught:
        operator.node("nd-hp-1")
    assert caught.value.why == 'did you mean "nd-ph-1"?'
    assert caught.value.hint == "gateway nodes list"


def test_no_store_is_said_in_the_users_words(tmp_path: Any) -> None:
    """A folder without a database says how to get one."""
    with pytest.raises(StoreError) as caught:
        Operator(state_dir=tmp_path / "none").read("SELECT 1")
    assert "gateway run" in caught.value.hint


def test_running_follows_the_lock(operator: Operator, answering: Any) -> None:
    """A gateway runs while it holds the lock, not longer."""
    assert operator.running
    assert operator.pid == 4711
    answering.stop()
    assert not operator.running


def test_a_command_is_answered(operator: Operator, answering: Any) -> None:
    """A command reaches the gateway with its arguments, and its answer comes back."""
    answering.answers["config.push"] = (True, {"revision": 4})
    found = operator.ask("config.push", "nd-ph-1", document={"version": 3})
    assert (found.ok, found.done, found.result) == (True, True, {"revision": 4})
    assert answering.asked == [("config.push", "nd-ph-1", {"document": {"version": 3}})]


def test_a_silent_gateway_is_not_waited_for_for_ever(operator: Operator, answering: Any) -> None:
    """No answer in time is said as that, and the command stays queued."""
    assert answering.answers == {}
    assert operator.ask("status", wait=0.05).done is False
    with pytest.raises(BusyError):
        operator.order("status", wait=0.0)


def test_a_command_without_a_gateway_is_queued(state: Any, operator: Operator) -> None:
    """The command is kept for the next gateway, and the exit code is 75."""
    with pytest.raises(BusyError) as caught:
        operator.ask("nodes.forget", "nd-ph-1")
    assert caught.value.exit_code == 75
    assert caught.value.what.startswith("queued: no gateway is running in ")
    assert caught.value.hint == "gateway run"
    assert (state.folder / "commands.db").exists()


def test_a_command_into_nowhere_is_not_queued(tmp_path: Any) -> None:
    """A state folder that is not there is not made by a misspelt --state-dir."""
    with pytest.raises(StoreError):
        Operator(state_dir=tmp_path / "typo").ask("status")
    assert not (tmp_path / "typo").exists()


def test_a_refusal_is_an_error_in_the_gateways_words(operator: Operator, answering: Any) -> None:
    """What the gateway refuses becomes exit code 65 with its reason."""
    answering.answers["dead.drop"] = (False, {"error": "say which"})
    with pytest.raises(DataError, match="say which"):
        operator.order("dead.drop")


def test_problems_of_a_document_are_all_listed(operator: Operator, answering: Any) -> None:
    """An answer with problems becomes one error that shows each with its path."""
    problems = [{"path": "mqtt.port", "message": "70000 is not a port"}]
    answering.answers["config.push"] = (False, {"problems": problems})
    with pytest.raises(DataError, match=r"(?s)1 problem.*mqtt\.port +70000 is not a port"):
        operator.order("config.push")


@pytest.fixture
def asking() -> click.Command:
    """A plugin's own command with a --json option under a name of its own."""

    @click.command()
    @click.option("--json", "machine", is_flag=True)
    @click.pass_obj
    def command(obj: Operator, machine: bool) -> None:
        obj.show("x.y/1", {"machine": machine}, lambda: obj.table(("A",), [("text",)]))

    return command


def test_a_plugins_command_gets_json_by_its_own_option(asking: click.Command) -> None:
    """`show` prints JSON wherever `--json` was given, whatever the parameter is called."""
    runner = CliRunner()
    assert runner.invoke(asking, ["--json"], obj=Operator()).output.startswith(
        '{\n  "schema": "x.y/1"'
    )
    assert runner.invoke(asking, [], obj=Operator()).output == "text\n"


def test_reading_works_from_any_thread(state: Any, operator: Operator) -> None:
    """Each thread has a connection of its own."""
    state.node(1)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(operator.read("SELECT uid FROM nodes")))
    thread.start()
    thread.join()
    assert found == [operator.read("SELECT uid FROM nodes")] == [[{"uid": "nd-ph-1"}]]
