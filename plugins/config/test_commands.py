"""The commands that change something: transcripts as a person sees them, and what was asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest
from config_bench import UID, Board
from config_desk import Desk, cli, data, fleet, good, prove, run
from gateway_config import views
from gateway_config.asked import ConfigPush

from gateway import DataError, GatewayError


def test_hook_register_commands() -> None:
    """The group config, and bind and unbind in the group nodes; twice is no error for nodes."""
    root = cli()
    config, nodes = root.commands["config"], root.commands["nodes"]
    assert isinstance(config, click.Group)
    assert isinstance(nodes, click.Group)
    assert set(config.commands) == {
        "show",
        "status",
        "history",
        "diff",
        "schema",
        "push",
        "set",
        "rollback",
        "retry",
    }
    assert set(nodes.commands) == {"bind", "unbind"}


@pytest.mark.parametrize(
    "words", [["config"], ["config", "push"], ["config", "set"], ["nodes", "bind"]]
)
def test_help_has_examples(desk: Desk, words: list[str]) -> None:
    """Every help ends with something to copy."""
    assert "Examples:" in good(desk, *words, "--help")


def test_push_says_the_number_and_the_next_command(desk: Desk, file: str) -> None:
    """One line on stdout; the rest is talk."""
    out = good(desk, "config", "push", UID, file)
    assert out.startswith("v1  sent  ")
    assert desk.talk == [f"next: gateway config status {UID}"]


def test_push_reads_standard_input(desk: Desk, document: dict[str, Any]) -> None:
    """`-` is standard input."""
    assert good(desk, "config", "push", UID, "-", stdin=json.dumps(document)).startswith("v1")


def test_a_refused_push_looks_like_the_transcript(desk: Desk, document: dict[str, Any]) -> None:
    """UX: all problems with their paths, the next command, exit 65, nothing queued."""
    document["channels"][1].pop("relay_type")
    document["mqtt"]["port"] = 70000
    error = run(desk, "config", "push", UID, "-", stdin=json.dumps(document)).exception
    assert isinstance(error, DataError)
    assert error.exit_code == 65
    assert f"error: {error.what}\nnext:  {error.hint}" == (
        "error: the config was not queued: 2 problems\n"
        '  channels[1].relay_type   missing: an actuator of type FAN needs "NC" or "NO"\n'
        "  mqtt.port                70000 is not a port (1..65535)\n"
        "next:  gateway config schema --type ph"
    )


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["config", "push", UID, "-"], "{"),
        (["config", "push", UID, "-"], "[]"),
        (["config", "push", UID, "-"], '{"a":1,"a":2}'),
        (["config", "push", "nd-other", "-"], "{}"),
        (["config", "set", UID, "mqtt.port"], ""),
        (["config", "set", UID, "a b=1"], ""),
        (["config", "rollback", UID, "9"], ""),
        (["config", "retry", UID], ""),
        (["config", "show", UID], ""),
        (["config", "show", UID, "--revision", "9"], ""),
        (["config", "show", UID, "--reported"], ""),
        (["config", "diff", UID, "1", "2"], ""),
        (["config", "schema", "--type", "door"], ""),
        (["nodes", "bind", UID, "gh-7"], ""),
        (["nodes", "bind", UID, "gh-temp/zn-9"], ""),
        (["nodes", "bind", UID, "a/b/c"], ""),
    ],
)
def test_what_makes_no_sense_is_refused(desk: Desk, words: list[str], stdin: str) -> None:
    """A DataError (exit 65) with a sentence; nothing is queued."""
    error = run(desk, *words, stdin=stdin).exception
    assert isinstance(error, DataError)
    assert error.what
    assert desk.bench.sent == []


def test_a_gateway_that_does_not_answer_in_time(desk: Desk, file: str) -> None:
    """Exit 75: the command is kept and will be done."""
    desk.answers = False
    error = run(desk, "config", "push", UID, file).exception
    assert isinstance(error, GatewayError)
    assert error.exit_code == 75


def test_values_are_json_or_text(desk: Desk, file: str) -> None:
    """`set` takes numbers as numbers, words as words and null as "take it away"."""
    good(desk, "config", "push", UID, file)
    good(desk, "config", "set", UID, "mqtt.port=1884")
    good(desk, "config", "set", UID, "mqtt.host=pi=2.local")
    good(desk, "config", "set", UID, "wifi=null")
    inside = json.loads(desk.bench.sent[-1].payload["doc"])
    assert inside["mqtt"] == {"host": "pi=2.local", "port": 1884, "password": "mqtt-word"}
    assert "wifi" not in inside


def while_it_waits(monkeypatch: pytest.MonkeyPatch, what: Callable[[float], object]) -> None:
    """What happens in each pause of --wait; other threads of this process have the real time."""
    monkeypatch.setattr(views, "time", SimpleNamespace(monotonic=time.monotonic, sleep=what))


def test_wait_tells_the_way_in_one_line(
    desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`v1  queued 12:40:01 · sent +0.00 s · applied +0.40 s · verified +1.4 s`."""
    board = Board()
    while_it_waits(monkeypatch, lambda _s: prove(desk, board))
    out = good(desk, "config", "push", UID, file, "--wait")
    assert out.startswith("v1  queued ")
    assert out.endswith(" · sent +0.00 s · applied +0.40 s · verified +1.4 s\n")


def test_wait_ends_with_the_reason(desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected config is an error with its path and reason."""

    def reject(_seconds: float) -> None:
        pair = (1, desk.bench.sent[-1].payload["sha256"])
        about = Board().about(pair, "rejected", "", reason="no such pin", path="channels[0]")
        desk.bench.report(**about)

    while_it_waits(monkeypatch, reject)
    result = run(desk, "config", "push", UID, file, "--wait")
    assert "rejected +0.00 s" in result.stdout
    assert isinstance(result.exception, GatewayError)
    assert (result.exception.what, result.exception.why) == (
        "v1 was rejected",
        "channels[0]: no such pin",
    )


def test_wait_has_an_end(desk: Desk, file: str) -> None:
    """--timeout: exit 75, and what was reached is shown."""
    result = run(desk, "config", "push", UID, file, "--wait", "--timeout", "0")
    assert isinstance(result.exception, GatewayError)
    assert result.exception.exit_code == 75
    assert "sent +0.00 s" in result.stdout


def test_schema_prints_a_document_that_can_be_pushed(desk: Desk) -> None:
    """`config schema > ph.json`, change the name, push."""
    made = json.loads(good(desk, "config", "schema", "--type", "ph"))
    made["node_id"] = UID
    assert good(desk, "config", "push", UID, "-", stdin=json.dumps(made)).startswith("v1")
    assert "PERISTALTIC_PUMP" in str(data(desk, "config", "schema")["actuator_types"])


def test_rollback_and_retry(desk: Desk, file: str) -> None:
    """Both are a new push in the operator's words."""
    fleet(desk, file)
    assert good(desk, "config", "rollback", UID, "1").startswith("v3  sent")
    assert good(desk, "config", "retry", UID).startswith("v3  sent")


def test_bind_and_unbind(desk: Desk) -> None:
    """The second time there is nothing to do, and that is said."""
    assert good(desk, "nodes", "bind", UID, "gh-7/zn-9").startswith("v1  sent")
    assert desk.bench.node.pending_zone == "zn-9"
    assert good(desk, "nodes", "unbind", UID).startswith("v2  sent")
    assert good(desk, "nodes", "unbind", UID) == ""
    assert desk.talk[-1] == "it is not bound"


def test_the_author_is_kept(desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for a revision stands in its history."""
    monkeypatch.setenv("LOGNAME", "anna")
    good(desk, "config", "push", UID, file)
    assert desk.bench.row("config_revisions", "author")["author"] == "anna"


def test_applied_has_two_meanings() -> None:
    """On trial for our nodes, "applied (differs)" for those of the field."""
    assert views.word({"state": "applied", "differs": []}) == "on trial"
    assert views.word({"state": "applied", "differs": ["type"]}) == "applied (differs)"
    assert views.word({"state": "rolled_back", "differs": []}) == "rolled back"


def test_the_command_of_the_push_is_the_operators(document: dict[str, Any]) -> None:
    """The struct decodes what the command line sends."""
    made = msgspec.convert({"document": document, "author": "x"}, ConfigPush)
    assert made.document == document
