"""The broker's password is changed under a running gateway: said once, nothing lost, back by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until


def password(file: Path, word: str) -> None:
    """Make it the password of user `gateway`."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "gateway", word], check=True)
    file.chmod(0o644)


def test_a_password_that_changes_meanwhile_is_said_once(tmp_path: Path) -> None:
    """Both sessions are refused: one message that names the setting and not the word, and no exit."""
    users = tmp_path / "users"
    password(users, "right")
    lines = ["allow_anonymous false", f"password_file {users}"]
    env = {"GATEWAY__MQTT__USERNAME": "gateway", "GATEWAY__MQTT__PASSWORD": "right"}
    with (
        Mosquitto(tmp_path / "broker", lines=lines) as broker,
        GatewayProcess(tmp_path / "state", broker.port, env=env) as gateway,
    ):
        password(users, "another")
        broker.restart()
        log = tmp_path / "broker" / "log"
        until(lambda: log.read_text().count("not authorised") >= 2, 40, "two refusals")
        said = gateway.wait_for("refused")
        password(users, "right")
        broker.restart()
        gateway.wait_for("back", 60)
        assert gateway.output.count("refuses") == 1, gateway.output
        assert "next: " in said
        assert "[mqtt] username" in said
        assert "right" not in gateway.output
