"""Two documents: what differs, what a person may see, and one value set."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from config_words import GOOD, json_values
from gateway_config import compare
from hypothesis import given

from gateway import DataError


def test_no_secret_survives_redaction() -> None:
    """Everything that could open a door is ***; the rest, and the original, is untouched."""
    before = copy.deepcopy(GOOD)
    text = json.dumps(compare.redacted({**GOOD, "extra": [{"api_key": "k-1", "token": "t-1"}]}))
    for word in ("5" * 64, "wifi-word", "mqtt-word", "k-1", "t-1"):
        assert word not in text
    assert '"ssid": "X"' in text
    assert before == GOOD


def test_a_shown_document_is_a_base_for_a_new_one() -> None:
    """What was hidden becomes "keep what you have", and nothing says *** any more."""
    made = compare.without_hidden(compare.redacted(GOOD))
    assert list(compare.hidden_in(made)) == []
    assert made["mqtt"] == {"configured": True}
    assert "node_secret" not in made
    assert list(compare.hidden_in(compare.redacted(GOOD))) == [
        "node_secret",
        "wifi.pass",
        "mqtt.password",
    ]


def reported(**changes: Any) -> dict[str, Any]:
    """What firmware shows after it took the good document."""
    shown = copy.deepcopy(GOOD)
    shown.update({"fw_version": "1.0.0", "wifi": {"configured": True}, **changes})
    return shown


def test_equal_is_equal_after_normalising() -> None:
    """B6: wifi, mqtt, fw_version, secrets, order and the spelling of numbers do not count."""
    shown = reported(version=3.0, mqtt={"configured": True})
    shown |= {"node_secret": "another"}
    shown["channels"] = [*reversed(shown["channels"]), {"name": "system", "type": "ACTUATOR"}]
    assert compare.differing(GOOD, shown) == []


def test_a_float_of_a_microcontroller_is_the_same_number() -> None:
    """1.1 comes back as 1.10000002384185791."""
    want = compare.with_value(GOOD, "channels[0].ml_per_second", 1.1)
    have = compare.with_value(reported(), "channels[0].ml_per_second", 1.10000002384185791)
    assert compare.differing(want, have) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("zone_uid", "zn-temp"),
        ("version", True),
        ("channels[ph_sensor].poll_interval_ms", 5000),
        ("channels[fan_1].relay_type", None),
    ],
)
def test_what_differs_is_named(path: str, value: object) -> None:
    """Only desired keys are looked at, channels by their names."""
    assert compare.differing(GOOD, compare.with_value(reported(), path, value)) == [path]


def test_a_missing_channel_differs_as_a_whole() -> None:
    """A channel that the node does not show is one path."""
    shown = reported(channels=GOOD["channels"][:1])
    assert compare.differing(GOOD, shown) == ["channels[fan_1]"]
    assert compare.differing(GOOD, {}) != []
    assert compare.differing(GOOD, reported(channels="x")) == [
        "channels[ph_sensor]",
        "channels[fan_1]",
    ]


@given(json_values)
def test_anything_may_be_compared(value: Any) -> None:
    """A foreign report may hold whatever it likes in its channels: only these differ."""
    found = compare.differing(GOOD, {**GOOD, "channels": value})
    assert all(path.startswith("channels[") for path in found)


def test_a_diff_shows_that_a_secret_changed_but_not_to_what() -> None:
    """Secrets in a diff are a fact without a value."""
    found = compare.diff(GOOD, {**GOOD, "node_secret": "6" * 64, "type": "ec"})
    assert found == [("type", "ph", "ec"), ("node_secret", "***", "***")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mqtt.port", 1884),
        ("channels[0].unit", "pH"),
        ("channels[fan_1].relay_type", "NC"),
        ("calibration.ph.offset", 0.5),
    ],
)
def test_one_value_can_be_set(path: str, value: object) -> None:
    """A path leads to one value; what is on the way is made; nothing else changes."""
    made = compare.with_value(GOOD, path, value)
    assert compare.with_value(made, path, value) == made
    assert len(compare.diff(GOOD, made)) == 1


@pytest.mark.parametrize(
    "path",
    ["", ".", "a..b", "[0]", "channels[9].x", "channels[x].y", "a b", "mqtt.port.x", "channels.x"],
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    """No guessing."""
    with pytest.raises(DataError, match="no place in the document"):
        compare.with_value(GOOD, path, 1)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no config"),
        (b'{"a":1,"a":2}', "twice"),
    ],
)
def test_a_file_that_is_no_document_is_named(content: bytes, word: str) -> None:
    """The command line refuses it before the gateway sees it."""
    with pytest.raises(DataError, match=word):
        compare.parsed(content, "ph.json")
