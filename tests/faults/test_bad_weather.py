"""A fleet of real MicroPython nodes comes through bad weather; `make soak-nodes` plays it at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.weather import soak
from tests.faults.weather.script import Outcome, play

NODES = 50


@pytest.mark.timeout(600)
def test_a_fleet_comes_through_bad_weather(tmp_path: Path) -> None:
    """Whatever the network did, behind it every node is registered and online, has a receipt on the
    connection that it has now, has proved the config that was pushed to it in the middle of it, and is
    still the process that it was: none crashed, none found no memory, no half message was taken for one."""
    outcome = play(tmp_path, 0, NODES)
    assert outcome.broken == [], outcome
    assert outcome.connections > 2 * NODES, "the weather was not bad"


def test_a_soak_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the file is not played again, a script that went wrong is named and keeps its folder,
    and makes the exit code 1."""
    played = []

    def play_it(_folder: Path, seed: int, nodes: int) -> Outcome:
        played.append(seed)
        return Outcome(seed, nodes, ["slow"], 9, 1.0, 0.5, ["one is missing"] if seed == 2 else [])

    monkeypatch.setattr(soak, "play", play_it)
    monkeypatch.setattr(soak.tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "soak.jsonl"
    words = ["soak", "--nodes", "3", "--file", str(file), "--scripts"]
    for scripts, code in (("2", 0), ("4", 1), ("4", 1)):
        monkeypatch.setattr("sys.argv", [*words, scripts])
        assert soak.main() == code
    assert played == [0, 1, 2, 3]
    assert [path.name[:10] for path in tmp_path.glob("weather-*")] == ["weather-2-"]
    assert "4 with 3 real nodes each, 1 went wrong [2]" in capsys.readouterr().out
