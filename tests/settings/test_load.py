"""Files, drop-ins, environment and flags: who wins, where a value comes from, and all mistakes at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.errors import SettingsError
from gateway.settings.load import decode_plugin_section, load
from gateway.settings.model import TABLES, Settings

ROOT = Path(__file__).parents[2]

TEN_MISTAKES = """\
state_dirr = "x"
shutdown_grace = "2 mins"
[mqtt]
keepalve = 5
port = 70000
tls = "yes"
[security]
registration = "opne"
claim_key = { file = "/nope/key" }
[limits]
payload = "64 apples"
[store]
prune_done_rows = "7"
[plugin]
a = 1
"""


def problems(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, environ=environ or {})
    assert caught.value.exit_code == 78
    return [str(problem) for problem in caught.value.problems]


def test_the_shipped_file_is_the_defaults() -> None:
    """gateway.toml at the root says every default, and nothing else."""
    loaded = load(ROOT / "gateway.toml", environ={})
    assert loaded.settings == Settings()
    fields = {name for name in Settings.__struct_fields__ if name not in TABLES} | {
        f"{table}.{name}"
        for table, cls in TABLES.items()
        for name in cls.__struct_fields__
        if name != "sections"
    }
    assert set(loaded.origins) == fields


def test_ten_mistakes_are_ten_messages_at_once(tmp_path: Path) -> None:
    """Every mistake is told in one go, with its line and what was probably meant."""
    file = tmp_path / "gateway.toml"
    file.write_text(TEN_MISTAKES)
    assert problems(file) == [
        'line 1, column 1: unknown key "state_dirr" (did you mean "state_dir"?)',
        'line 2, column 1: shutdown_grace = "2 mins": not a duration (write "2m", "120s" or 120)',
        'line 4, column 1: unknown key "keepalve" in [mqtt] (did you mean "keepalive"?)',
        "line 5, column 1: [mqtt] port = 70000: not a port (1..65535)",
        'line 6, column 1: [mqtt] tls = "yes": not true or false (write true)',
        'line 8, column 1: [security] registration = "opne": not a possible value '
        '(did you mean "open"?)',
        "line 9, column 1: [security] claim_key: the secret's file /nope/key cannot be read: "
        "No such file or directory",
        'line 11, column 1: [limits] payload = "64 apples": not a size (write "64KiB" or 65536)',
        'line 13, column 1: [store] prune_done_rows = "7": not a whole number '
        "(write 7 without quotes)",
        'line 14, column 1: unknown key "plugin" (did you mean "plugins"?)',
    ]


def test_broken_toml_has_its_place(tmp_path: Path) -> None:
    """A syntax error names line and column."""
    file = tmp_path / "gateway.toml"
    file.write_text("[mqtt]\nport = \n")
    (found,) = problems(file)
    assert found.startswith("line 2, column 8: not TOML")


def test_later_wins_and_says_where_it_comes_from(tmp_path: Path) -> None:
    """Default, file, drop-in, environment, flag: each overrides the one before, and is named."""
    file = tmp_path / "gateway.toml"
    file.write_text('[mqtt]\nhost = "file"\nport = 1\nroot = "a"\nusername = "u"\n')
    (tmp_path / "gateway.d").mkdir()
    (tmp_path / "gateway.d" / "10.toml").write_text("[mqtt]\nport = 2\nroot = 'b'\nusername='v'\n")
    (tmp_path / "gateway.d" / "20.toml").write_text("[mqtt]\nroot = 'c'\nusername='w'\n")
    environ = {"GATEWAY__MQTT__USERNAME": "env", "GATEWAY__MQTT__TLS": "true"}
    loaded = load(file, {"mqtt.port": 5}, environ)
    mqtt = loaded.settings.mqtt
    assert (mqtt.host, mqtt.port, mqtt.root, mqtt.username, mqtt.tls) == (
        "file",
        5,
        "c",
        "env",
        True,
    )
    assert loaded.origins["mqtt.host"] == f"{file}:2"
    assert loaded.origins["mqtt.port"] == "flag --port"
    assert loaded.origins["mqtt.root"].endswith("20.toml:2")
    assert loaded.origins["mqtt.username"] == "environment GATEWAY__MQTT__USERNAME"
    assert "mqtt.keepalive" not in loaded.origins


def test_the_names_that_operators_script_against() -> None:
    """State folder, broker and port are set from the environment alone."""
    environ = {
        "GATEWAY__STATE_DIR": "/x",
        "GATEWAY__MQTT__PORT": "1884",
        "GATEWAY__BROKER__MODE": "external",
        "GATEWAY__MQTT__PASSWORD": "123",
        "GATEWAY__PLUGINS__DIRS": '["/p"]',
    }
    settings = load("/dev/null", environ=environ).settings
    assert settings.state_dir == "/x"
    assert settings.mqtt.port == 1884
    assert settings.broker.mode == "external"
    assert settings.mqtt.password == "123"
    assert settings.plugins.dirs == ["/p"]


def test_secrets_come_from_elsewhere(tmp_path: Path) -> None:
    """A text can be in a file, in the environment or in a systemd credential."""
    (tmp_path / "pw").write_text("from-file\n")
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[mqtt]\npassword = {{ file = "{tmp_path}/pw" }}\nusername = {{ env = "WHO" }}\n'
        '[security]\nclaim_key = { credential = "pw" }\n'
    )
    loaded = load(file, environ={"WHO": "me", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.mqtt.password == "from-file"
    assert loaded.settings.mqtt.username == "me"
    assert loaded.settings.security.claim_key == "from-file"


def test_a_secret_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    """An inline password in a world-readable file gives a warning that does not show it."""
    file = tmp_path / "gateway.toml"
    file.write_text('[mqtt]\npassword = "hunter2"\n')
    file.chmod(0o644)
    (warning,) = load(file, environ={}).warnings
    assert "chmod 600" in warning
    assert "hunter2" not in warning
    file.chmod(0o600)
    assert load(file, environ={}).warnings == []


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    """A password of the wrong type is reported without its value."""
    file = tmp_path / "gateway.toml"
    file.write_text("[mqtt]\npassword = 123456\n")
    (found,) = problems(file)
    assert "123456" not in found.split("(")[0]


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    """--config with a wrong path is an error, not a silent default."""
    with pytest.raises(SettingsError, match="there is no file"):
        load(tmp_path / "nope.toml", environ={})


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    unit: str = "C"
    every: int = 5


def test_a_plugins_section_is_checked_by_its_own_struct(tmp_path: Path) -> None:
    """Good sections become the plugin's object; wrong keys and values have line and suggestion."""
    file = tmp_path / "gateway.toml"
    file.write_text('[plugins.weather]\nunit = "F"\n[plugins.other]\nuint = "F"\nevery = "x"\n')
    settings = load(file, environ={}).settings
    assert decode_plugin_section(settings, "weather", Weather) == Weather(unit="F")
    assert decode_plugin_section(settings, "absent", Weather) == Weather()
    with pytest.raises(SettingsError) as caught:
        decode_plugin_section(settings, "other", Weather)
    first, second = map(str, caught.value.problems)
    assert first == 'line 4, column 1: unknown key "uint" in [plugins.other] (did you mean "unit"?)'
    assert second.startswith('line 5, column 1: [plugins.other] every = "x"')
