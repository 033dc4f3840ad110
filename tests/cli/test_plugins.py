"""`gateway plugins new` and `check`, and what an author made of them in a running gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.testing.process import GatewayProcess, Peer, until

if TYPE_CHECKING:
    from gateway.testing.broker import Mosquitto

PACKAGE = "gateway_door_sensor/__init__.py"


@pytest.fixture
def project(state: Any, gw: Any) -> Path:
    """A new project in the folder where the command ran."""
    done = gw("plugins", "new", "door-sensor")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("wrote") == 5
    return state.folder / "door-sensor"


def spoil(project: Path, old: str, new: str, file: str = PACKAGE) -> None:
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_new_plugin_has_no_problem(gw: Any, project: Path) -> None:
    """One line, exit 0; PATH may be the project, its package or its file."""
    for path in (project, project / "gateway_door_sensor"):
        done = gw("plugins", "check", str(path))
        assert (done.exit_code, done.stdout) == (
            0,
            "door_sensor: no problem (manifest, node_message)\n",
        )


def test_the_transcript(gw: Any, project: Path) -> None:
    """UX: file and line, what is wrong, and what was meant; exit 65."""
    spoil(project, "def node_message", "def node_mesage")
    line = (project / PACKAGE).read_text().split("def node_mesage")[0].count("\n") + 1
    done = gw("plugins", "check", str(project))
    assert done.exit_code == 65
    assert done.stdout.splitlines() == [
        "door_sensor: 1 problem",
        f'  {PACKAGE}:{line}  node_mesage is no hook   did you mean "node_message"?',
    ]
    found = json.loads(gw("plugins", "check", str(project), "--json").stdout)
    (problem,) = found["plugins"][0]["problems"]
    assert (found["ok"], problem["file"], problem["line"]) == (False, PACKAGE, line)


def test_tables_are_checked_too(gw: Any, project: Path) -> None:
    """A table under another plugin's name, and SQL that is none, are found before any gateway runs."""
    migration = "gateway_door_sensor/migrations/0001_door_sensor.sql"
    spoil(project, "TABLE door_sensor_values", "TABLE hello_values", migration)
    done = gw("plugins", "check", str(project))
    assert done.exit_code == 65
    assert "hello_values" in done.stdout
    spoil(project, "TABLE hello_values (", "TABLE door_sensor_values (,", migration)
    assert "syntax error" in gw("plugins", "check", str(project)).stdout


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("new", "hello"), "there is a plugin hello already"),
        (("new", "Door Sensor"), "cannot be the name of a plugin"),
        (("check", "nowhere"), "there is no plugin at nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(gw: Any, words: tuple[str, ...], what: str) -> None:
    """Exit 65, what and why."""
    done = gw("plugins", *words)
    assert done.exit_code != 0
    assert what in done.stderr


def test_an_authors_plugin_runs(tmp_path: Path, project: Path, broker: Mosquitto) -> None:
    """The project's folder is named in the settings; a node's message on a real broker becomes a row
    and an alarm, by the setting of the plugin's own section."""
    settings = tmp_path / "gateway.toml"
    settings.write_text(
        f'[plugins]\ndirs = ["{project}"]\n[plugins.door_sensor]\nalarm_above = 30\n'
    )
    env = {"GATEWAY_CONFIG": str(settings)}
    with GatewayProcess(tmp_path / "run", broker.port, env=env) as gateway:
        peer = Peer(broker.port).listen("alarms/#")
        peer.say("hydro/gh-1/zn-1/nd-1/heartbeat", {"uptime": 1, "free_heap": 1})
        for value in (20.5, 31.0):
            peer.say("hydro/gh-1/zn-1/nd-1/door_sensor", {"value": value})
        until(lambda: peer.heard("alarms/door_sensor"))
        assert peer.heard("alarms/door_sensor") == [{"node": "nd-1", "value": 31.0}]
        assert gateway.rows("SELECT value FROM door_sensor_values ORDER BY at") == [
            (20.5,),
            (31.0,),
        ]
        peer.close()
