"""node.json: every mistake is told at once, and a node that cannot run says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Start

sys.path.insert(0, str(Path(__file__).parents[2] / "device"))

from gwnode import settings

DEVICE = Path(__file__).parents[2] / "device"
GOOD = {"hardware_id": "esp32-1", "mqtt": {"host": "h", "port": 1883}}


def test_the_example_is_usable() -> None:
    """The node.json that a person copies is accepted as it is."""
    assert settings.load(str(DEVICE / "node.json"))["mqtt"]["port"] == 1883


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hardware_id": "a/b"}, "hardware_id"),
        ({"hardware_id": "+"}, "hardware_id"),
        ({"hardware_id": 7}, "hardware_id"),
        ({"root": "a b"}, "root"),
        ({"root": ""}, "root"),
        ({"root": 1}, "root"),
        ({"claim_key": 1}, "claim_key"),
        ({"node_type": []}, "node_type"),
        ({"interval_s": 0}, "interval_s"),
        ({"interval_s": True}, "interval_s"),
        ({"interval_s": "15"}, "interval_s"),
        ({"trial_s": -1}, "trial_s"),
        ({"mqtt": None}, "mqtt: object"),
        ({"mqtt": {"host": ""}}, "mqtt.host"),
        ({"mqtt": {"host": "h", "port": "1883"}}, "mqtt.port"),
        ({"mqtt": {"host": "h", "port": 0}}, "mqtt.port"),
        ({"mqtt": {"host": "h", "keepalive": 1.5}}, "mqtt.keepalive"),
        ({"mqtt": {"host": "h", "password": 1}}, "mqtt.password"),
        ({"mqtt": {"host": "h", "tls": "no"}}, "mqtt.tls: true-or-false"),
        ({"mqtt": {"host": "h", "use_tls": 2}}, "mqtt.use_tls: true-or-false"),
        ({"wifi": "home"}, "wifi"),
        ({"wifi": [{"pass": "x"}]}, "wifi"),
        ({"wifi": [{"ssid": "x", "pass": 1}]}, "wifi.pass"),
        ({"wifi": [{"ssid": "x", "ip": "192.168.1.5"}]}, "wifi.ip: [address,mask,gateway,DNS]"),
        ({"wifi": [{"ssid": "x", "ip": ["192.168.1.5"]}]}, "wifi.ip"),
        ({"wifi_country": "Germany"}, "wifi_country: two-letters"),
        ({"wifi_country": 49}, "wifi_country: two-letters"),
        ({"wifi_power": "low"}, "wifi_power: performance|"),
        ({"led": 1.5}, "led: pin"),
        ({"led": True}, "led: pin"),
        ({"led": ""}, "led: pin"),
        ({"led_invert": 2}, "led_invert: true-or-false"),
    ],
)
def test_a_mistake_names_its_key(change: dict[str, Any], told: str) -> None:
    """Nothing that would fail later, out of sight, is let in."""
    with pytest.raises(settings.SettingsError) as caught:
        settings.check({**GOOD, **change})
    assert [why for why in caught.value.why if why.startswith(told)]
    assert len(caught.value.why) == 1


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody corrects node.json three times."""
    with pytest.raises(settings.SettingsError) as caught:
        settings.check({"hardware_id": "+", "mqtt": {}, "interval_s": 0})
    assert len(caught.value.why) == 3


def test_names_are_lower_case() -> None:
    """A hardware_id is spelled as the gateway spells it (B1)."""
    assert settings.check({**GOOD, "hardware_id": "ESP32-A"})["hardware_id"] == "esp32-a"


@pytest.mark.parametrize("text", [None, "", "{", "[]", json.dumps({"hardware_id": "x"})])
def test_a_node_that_cannot_run_says_why_and_what_next(
    command: Start, tmp_path: Path, text: str | None
) -> None:
    """No traceback: three lines, and an exit code that says that a restart does not help."""
    if text is not None:
        (tmp_path / "node.json").write_text(text)
    words, environment, files, _own = command
    done = subprocess.run(
        [*words, files / "main.py", "--dir", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 78
    what, why, following = done.stdout.splitlines()
    assert what.startswith("error: ")
    assert why.startswith("why:   ")
    assert following.startswith("next:  ")
    assert done.stderr == ""
