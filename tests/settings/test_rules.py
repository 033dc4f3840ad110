"""Rules between settings, and values that have the right type and make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.settings.load import load
from gateway.settings.model import Settings
from gateway.settings.rules import broken


def told(path: Path, text: str) -> list[str]:
    """The problems of a file, as a person reads them."""
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path, environ={})
    return [str(problem) for problem in caught.value.problems]


def test_the_defaults_keep_every_rule() -> None:
    """Nobody is blamed for what nobody wrote."""
    assert list(broken(Settings())) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[mqtt]\nhost = "mqtt://pi.local:1884"',
            'line 2, column 1: [mqtt] host: a name or an address alone (host = "pi.local", port = 1884)',
        ),
        (
            '[mqtt]\nhost = "pi.local:1883"',
            'line 2, column 1: [mqtt] host: a name or an address alone (host = "pi.local", port = 1883)',
        ),
        ('[mqtt]\nhost = "my pi"', "line 2, column 1: [mqtt] host: not a name or an address"),
        (
            '[mqtt]\nroot = "hydro/#"',
            'line 2, column 1: [mqtt] root: not the beginning of a topic (for example "hydro")',
        ),
        (
            '[mqtt]\nkeepalive = "0s"',
            "line 2, column 1: [mqtt] keepalive: must be 1 to 65535 seconds",
        ),
        (
            '[mqtt]\ntls_cert = "/x"',
            "line 2, column 1: [mqtt] tls_cert: needs tls_key beside it",
        ),
        ("[limits]\nwindow = 0", "line 2, column 1: [limits] window: must be at least 1"),
        (
            '[security]\nregistration = "claim"',
            'line 2, column 1: [security] registration: "claim" needs the key that was written on the '
            'boards (claim_key = { file = "/etc/gateway/claim-key" })',
        ),
    ],
)
def test_a_broken_rule_has_its_place(tmp_path: Path, text: str, expected: str) -> None:
    """The key to blame is named with line and column, and with what to write."""
    assert told(tmp_path / "gateway.toml", text) == [expected]


@pytest.mark.parametrize("host", ["pi.local", "192.168.1.7", "::1", "fe80::1%eth0"])
def test_hosts_that_are_hosts(tmp_path: Path, host: str) -> None:
    """Names and addresses of both kinds pass."""
    path = tmp_path / "gateway.toml"
    path.write_text(f'[mqtt]\nhost = "{host}"')
    assert load(path, environ={}).settings.mqtt.host == host


def test_a_store_url_is_refused_without_its_password(tmp_path: Path) -> None:
    """`gateway check` says that it is not built yet, before anything runs, and shows no secret."""
    (line,) = told(tmp_path / "gateway.toml", '[store]\nurl = "postgresql://gw:s3cr3t@db/gw"')
    assert line == (
        "line 2, column 1: [store] url: other stores than SQLite in state_dir are not built yet "
        '(leave it empty: url = "")'
    )


def test_a_value_of_the_wrong_type_is_blamed_once(tmp_path: Path) -> None:
    """What its type refuses is not blamed again for the default that stands in for it."""
    (line,) = told(tmp_path / "gateway.toml", "[limits]\nwindow = -1")
    assert line.endswith("[limits] window = -1: below 0")
