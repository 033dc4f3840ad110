"""Documents: every problem with its path."""

from __future__ import annotations

from typing import Any

import pytest
from config_words import GOOD, json_values
from gateway_config import compare, document, views
from hypothesis import given
from hypothesis import strategies as st

from gateway import encode


def broken(path: str, value: object) -> dict[str, Any]:
    """The good document with one value changed, or taken away with None."""
    return compare.with_value(GOOD, path, value)


def paths(made: dict[str, Any], *metrics: str) -> list[str]:
    """Where the problems are."""
    return [problem.path for problem in document.problems(made, metrics)]


def test_a_good_document_has_no_problem() -> None:
    """What A6.1 shows passes."""
    assert document.problems(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("node_id", None),
        ("node_id", 5),
        ("version", "3"),
        ("version", None),
        ("version", True),
        ("type", None),
        ("gh_uid", None),
        ("gh_uid", "GH 1"),
        ("zone_uid", "z" * 64),
        ("channels", None),
        ("channels", {}),
        ("mqtt", None),
        ("mqtt", []),
        ("mqtt.host", None),
        ("mqtt.host", ""),
        ("mqtt.port", None),
        ("mqtt.port", 0),
        ("mqtt.port", 70000),
        ("mqtt.port", 1883.5),
        ("mqtt.port", float("nan")),
        ("mqtt.keepalive", 0),
        ("mqtt.keepalive", 65536),
        ("wifi", 5),
        ("wifi.ssid", None),
        ("wifi.ssid", ""),
        ("node_secret", ""),
        ("node_secret", "x" * 128),
        ("calibration", []),
        ("limits", 1),
        ("link_loss_timeout_sec", -1),
        ("fail_safe_guards", "x"),
        ("fail_safe_guards.link_loss_timeout_sec", "soon"),
        ("allow_legacy_hmac", 1),
        ("channels[0]", 5),
        ("channels[0].name", None),
        ("channels[0].name", "a/b"),
        ("channels[0].name", "A B"),
        ("channels[1].name", "ph_sensor"),
        ("channels[0].type", "sensor"),
        ("channels[0].metric", None),
        ("channels[0].metric", "PHH"),
        ("channels[0].poll_interval_ms", 0),
        ("channels[1].actuator_type", "FANN"),
        ("channels[1].relay_type", None),
        ("channels[1].relay_type", "no"),
        ("channels[1].safe_limits", 5),
        ("channels[1].safe_limits.max_duration_ms", -1),
        ("channels[1].safe_limits.fail_safe_mode", "OFF"),
        ("limits.big", 2**53 + 1),
        ("limits.ph.max", float("inf")),
    ],
)
def test_each_bad_value_is_named_by_its_path(path: str, value: object) -> None:
    """One wrong value is one problem, at its place."""
    assert paths(broken(path, value)) == [path]


def test_all_problems_are_named_at_once() -> None:
    """The transcript of UX: a fan without relay_type, and a port that is none."""
    made = compare.with_value(broken("channels[1].relay_type", None), "mqtt.port", 70000)
    assert [(p.path, p.message) for p in document.problems(made)] == [
        ("channels[1].relay_type", 'missing: an actuator of type FAN needs "NC" or "NO"'),
        ("mqtt.port", "70000 is not a port (1..65535)"),
    ]


def test_an_empty_document_names_everything_that_must_be_there() -> None:
    """Nothing is looked at in vain, nothing is named twice."""
    assert paths({}) == ["node_id", "type", "version", "gh_uid", "zone_uid", "channels", "mqtt"]


@pytest.mark.parametrize("section", ["wifi", "mqtt"])
def test_c7_placeholders_pass(section: str) -> None:
    """C7: {"configured": true} stands for what the node has, and is no error."""
    assert paths(broken(section, {"configured": True})) == []
    assert paths(broken(section, {"configured": False})) != []


def test_c10_half_a_broker_is_no_change() -> None:
    """A node that gets only a host or only a port keeps both of its own, so it is refused."""
    assert paths(broken("mqtt", {"configured": True, "port": 1884})) == ["mqtt.host"]
    assert paths(broken("mqtt", {"configured": True, "host": "h", "port": 70000})) == ["mqtt.port"]
    assert paths(broken("mqtt", {"configured": True, "host": "h", "port": 1884})) == []


def test_wifi_may_be_absent() -> None:
    """A6.1: wifi may be absent, mqtt may not."""
    assert paths(broken("wifi", None)) == []


def test_a_fleet_may_have_metrics_of_its_own() -> None:
    """What [plugins.config] metrics lists is known; what is nearly right gets a suggestion."""
    made = broken("channels[0].metric", "DOOR")
    assert paths(made) == ["channels[0].metric"]
    assert paths(made, "DOOR") == []
    assert paths(broken("channels[0].metric", "OUTSIDE_TEMP")) == []
    (problem,) = document.problems(broken("channels[0].metric", "TEMPRATURE"))
    assert "did you mean TEMPERATURE?" in problem.message


def test_nesting_ends_at_sixteen() -> None:
    """B8: deeper documents are refused, however deep they are."""
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    assert len(paths(broken("limits", deep))) == 1


def test_problems_show_no_secret() -> None:
    """A bad secret is described, never quoted."""
    made = broken("node_secret", "topsecret" * 20)
    assert "topsecret" not in str(document.problems(made))


@given(st.dictionaries(st.sampled_from([*GOOD, "limits", "calibration"]), json_values))
def test_whatever_comes_is_judged_without_an_exception(changes: dict[str, Any]) -> None:
    """Any JSON in any place gives a list of problems, never a traceback."""
    for problem in document.problems({**GOOD, **changes}):
        assert isinstance(problem.path, str)
        assert problem.message


@given(st.lists(json_values, max_size=3))
def test_whatever_channels_come_are_judged(channels: list[Any]) -> None:
    """The same inside of channels; what passes can be sent."""
    made = {**GOOD, "channels": channels}
    found = document.problems(made)
    assert all(problem.message for problem in found)
    assert found or encode(made)


@pytest.mark.parametrize("kind", sorted(views.EXAMPLES))
def test_every_example_passes(kind: str) -> None:
    """`config schema` prints documents that can be pushed."""
    assert document.problems(views.example(kind)) == []


def test_targets() -> None:
    """Either half of the temp name space makes a document bind to nothing."""
    assert document.target(GOOD) == ("gh-1", "zn-3")
    assert document.target(document.bound_to(GOOD, "", "")) == ("", "")
    assert document.target({**GOOD, "gh_uid": "gh-temp"}) == ("", "")
    assert document.target(document.bound_to(GOOD, "gh-7", "zn-9")) == ("gh-7", "zn-9")
