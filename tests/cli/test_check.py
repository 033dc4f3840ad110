"""`gateway check` and `gateway init`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BAD = """\
[mqtt]
keepalve = 3
port = 70000

[security]
registration = "opne"
"""


def test_every_mistake_with_its_place(shell: Any, tmp_path: Path) -> None:
    """All mistakes at once, each with line, column and what may be meant; exit code 78."""
    (tmp_path / "gateway.toml").write_text(BAD)
    result = shell("check")
    assert result.returncode == 78
    head, *lines = result.stdout.splitlines()
    assert head == "gateway.toml: 3 problems"
    assert [line.split("   ")[0].strip() for line in lines] == [
        "line 2, column 1",
        "line 3, column 1",
        "line 6, column 1",
    ]
    assert lines[0].split("   ", 1)[1].split("  ")[0] == 'unknown key "keepalve" in [mqtt]'
    assert lines[0].endswith('   did you mean "keepalive"?')


def test_mistakes_in_plugins_sections_are_listed_with_the_others(
    shell: Any, tmp_path: Path
) -> None:
    """One round is enough: a plugin's section is looked at although the core's are wrong."""
    (tmp_path / "gateway.toml").write_text(BAD + "\n[plugins.heartbeat]\noffline_aftr = 3\n")
    result = shell("check")
    assert result.returncode == 78
    assert result.stdout.splitlines()[0] == "gateway.toml: 4 problems"
    assert "offline_aftr" in result.stdout.splitlines()[-1]


def test_other_commands_say_the_same(shell: Any, tmp_path: Path) -> None:
    """A command that needs the settings lists the same mistakes on stderr."""
    (tmp_path / "gateway.toml").write_text(BAD)
    result = shell("nodes", "list")
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr.splitlines()[0] == "gateway.toml: 3 problems"
    assert result.stderr.splitlines()[-1] == "next:  gateway check"


def test_a_file_that_is_not_there(shell: Any) -> None:
    """A named file that is missing is exit code 78 and says how to get one."""
    result = shell("--config", "none.toml", "nodes", "list")
    assert result.returncode == 78
    assert "none.toml" in result.stderr
    assert result.stderr.splitlines()[-1] == "next:  gateway init writes one"


def test_problems_as_json(shell: Any, tmp_path: Path) -> None:
    """Machines get each mistake with its parts, and the same exit code."""
    (tmp_path / "gateway.toml").write_text(BAD)
    result = shell("check", "--json")
    found = json.loads(result.stdout)
    assert (result.returncode, found["schema"], found["ok"]) == (78, "gateway.check/1", False)
    assert found["problems"][0] == {
        "file": "gateway.toml",
        "line": 2,
        "column": 1,
        "message": 'unknown key "keepalve" in [mqtt]',
        "suggestion": 'did you mean "keepalive"?',
    }


def test_each_value_says_where_it_comes_from(shell: Any, tmp_path: Path) -> None:
    """Default, file with its line, environment and flag are told apart; a secret is hidden."""
    (tmp_path / "gateway.toml").write_text('[mqtt]\nhost = "pi"\npassword = "hunter2"\n')
    words = ("--state-dir", "here", "check")
    result = shell(*words, GATEWAY__MQTT__PORT="1884")
    rows = dict(line.split("\t", 1) for line in result.stdout.splitlines())
    assert rows["mqtt.host"] == '"pi"\tgateway.toml:2'
    assert rows["mqtt.port"] == "1884\tenvironment GATEWAY__MQTT__PORT"
    assert rows["state_dir"] == '"here"\tflag --state-dir'
    assert rows["limits.json_depth"] == "16\tdefault"
    assert rows["mqtt.password"] == '"***"\tgateway.toml:3'
    assert "hunter2" not in result.stdout + result.stderr
    assert "hunter2" not in shell(*words, "--json").stdout
    assert "hunter2" in shell(*words, "--show-secrets").stdout


def test_a_section_without_its_plugin(shell: Any, tmp_path: Path) -> None:
    """Settings for a plugin that is not there are a warning, not an error."""
    (tmp_path / "gateway.toml").write_text("[plugins.nobody]\nx = 1\n")
    result = shell("check")
    assert result.returncode == 0
    assert "[plugins.nobody]: there is no plugin of this name" in result.stderr


def test_init_writes_what_check_finds_good(shell: Any, tmp_path: Path) -> None:
    """The file that `init` writes is good and names the state folder that it made."""
    result = shell("--state-dir", "state", "init", "--yes")
    assert (result.returncode, result.stdout) == (0, "wrote     gateway.toml\nmade      state\n")
    assert (tmp_path / "state").is_dir()
    assert 'state_dir = "state"' in (tmp_path / "gateway.toml").read_text()
    assert "# durations" in (tmp_path / "gateway.toml").read_text().lower()
    assert shell("check").returncode == 0


def test_init_keeps_what_is_there(shell: Any, tmp_path: Path) -> None:
    """A second `init` changes nothing."""
    shell("--state-dir", "state", "init")
    (tmp_path / "gateway.toml").write_text('state_dir = "state"  # mine\n')
    result = shell("init", "--yes")
    assert (result.returncode, result.stdout) == (0, "kept      gateway.toml\nkept      state\n")
    assert "# mine" in (tmp_path / "gateway.toml").read_text()


def test_init_where_nothing_can_be_written(shell: Any, tmp_path: Path) -> None:
    """A place that cannot be written is one clear error."""
    (tmp_path / "file").write_text("")
    result = shell("--config", "file/gateway.toml", "--state-dir", "state", "init")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("next:  name another place")
