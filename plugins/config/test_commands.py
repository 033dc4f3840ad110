"""The command line: transcripts as a person sees them, JSON as a script does, secrets in neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import gateway_config
import msgspec
import pytest
from click.testing import CliRunner, Result
from config_bench import UID, Bench, Board
from gateway_config import views
from gateway_config.asked import COMMANDS, ConfigPush

from gateway import Answer, DataError, GatewayError

SECRETS = ("mqtt-word", "wifi-word")


class Desk:
    """What a command finds in `ctx.obj`, with the gateway behind it in the same process."""

    running = True

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.talk: list[str] = []
        self.answers = True

    def read(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        return self.bench.reader.rows(sql, *params)

    def node(self, name: str) -> dict[str, Any]:
        """The one node."""
        if name not in (UID, self.bench.node.hardware_id):
            raise DataError(f"there is no node {name!r}")
        return {"id": 1, "uid": UID, "type": "ph"}

    def ask(self, verb: str, _node: str = "", **args: object) -> Answer:
        """Through JSON, as `commands.db` does it."""
        if not self.answers:
            return Answer(ok=False, done=False)
        args.pop("wait", None)
        made = next(c for c in COMMANDS if c.kind == verb)
        event = msgspec.convert(json.loads(json.dumps(args)), made)
        done = self.bench.deliver(gateway_config.node_message, event)
        assert done is not None
        return Answer(ok=done[0], result=json.loads(json.dumps(done[1])))

    def show(self, schema: str, data: dict[str, Any], text: Any) -> None:
        """JSON where the context says so."""
        if click.get_current_context().meta.get("gateway.json"):
            click.echo(json.dumps({"schema": schema, **data}))
        else:
            text()

    def table(self, _head: Any, rows: Any) -> None:
        """Tab-separated lines."""
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))

    def say(self, line: str) -> None:
        """Talk."""
        self.talk.append(line)


@pytest.fixture
def desk(bench: Bench) -> Desk:
    """An operator's desk."""
    return Desk(bench)


def cli() -> click.Group:
    """A command line with this plugin's commands."""
    root = click.Group("gateway")
    root.add_command(click.Group("nodes"))
    gateway_config.register_commands(root)
    return root


def run(desk: Desk, *words: str, stdin: str = "") -> Result:
    """Run a command."""
    return CliRunner().invoke(cli(), list(words), obj=desk, input=stdin)


def good(desk: Desk, *words: str, stdin: str = "") -> str:
    """Run a command that must succeed; returns its stdout."""
    result = run(desk, *words, stdin=stdin)
    assert result.exception is None, result.exception
    return result.stdout


def data(desk: Desk, *words: str) -> dict[str, Any]:
    """The JSON of a reading command."""
    return dict(json.loads(good(desk, *words, "--json")))


@pytest.fixture
def file(tmp_path: Path, document: dict[str, Any]) -> str:
    """The operator's file."""
    path = tmp_path / "ph.json"
    path.write_text(json.dumps({**document, "wifi": {"ssid": "X", "pass": "wifi-word"}}))
    return str(path)


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


def prove(desk: Desk, board: Board) -> None:
    """The board takes what was sent last and proves it half a second later."""
    assert board.take(desk.bench.sent[-1].payload) == "applied"
    desk.bench.now += 0.4
    desk.bench.report(**board.report("applied"))
    desk.bench.now += 1.0
    board.prove()
    shown = {k: v for k, v in board.document.items() if k != "node_secret"}
    desk.bench.report(**board.report("verified"), **shown)


def test_wait_tells_the_way_in_one_line(
    desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`v1  queued 12:40:01 · sent +0.00 s · applied +0.40 s · verified +1.4 s`."""
    board = Board()
    monkeypatch.setattr(views.time, "sleep", lambda _s: prove(desk, board))
    out = good(desk, "config", "push", UID, file, "--wait")
    assert out.startswith("v1  queued ")
    assert out.endswith(" · sent +0.00 s · applied +0.40 s · verified +1.4 s\n")


def test_wait_ends_with_the_reason(desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected config is an error with its path and reason."""

    def reject(_seconds: float) -> None:
        pair = (1, desk.bench.sent[-1].payload["sha256"])
        about = Board().about(pair, "rejected", "", reason="no such pin", path="channels[0]")
        desk.bench.report(**about)

    monkeypatch.setattr(views.time, "sleep", reject)
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


def fleet(desk: Desk, file: str) -> Board:
    """A node with v1 verified and v2 on its way."""
    board = Board()
    good(desk, "config", "push", UID, file)
    prove(desk, board)
    good(desk, "config", "set", UID, "channels[ph_sensor].poll_interval_ms=9000")
    return board


READING = [
    ["config", "show", UID],
    ["config", "show", UID, "--reported"],
    ["config", "show", UID, "--revision", "1"],
    ["config", "status"],
    ["config", "status", UID],
    ["config", "history", UID],
    ["config", "diff", UID],
    ["config", "diff", UID, "1"],
    ["config", "diff", UID, "1", "2"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_no_reading_command_shows_a_secret(desk: Desk, file: str, words: list[str]) -> None:
    """Neither as text nor as JSON; and JSON has its schema tag."""
    board = fleet(desk, file)
    made = data(desk, *words)
    assert made["schema"] == f"gateway.config.{words[1]}/1"
    for text in (good(desk, *words), json.dumps(made)):
        assert text
        for secret in (*SECRETS, board.secret):
            assert secret not in text


def test_status_tells_desired_and_reported(desk: Desk, file: str) -> None:
    """One line for a node: what it should run, how far that is, what it runs."""
    fleet(desk, file)
    cells = good(desk, "config", "status").rstrip("\n").split("\t")
    assert (cells[0], cells[1], cells[2], cells[4], cells[5]) == (UID, "v2", "sent", "v1", "1")
    (row,) = data(desk, "config", "status")["nodes"]
    assert (row["revision"], row["state"], row["reported_revision"]) == (2, "sent", 1)
    assert row["since"].endswith("+00:00")


def test_status_of_a_node_without_a_config(desk: Desk) -> None:
    """A dash says that there is nothing."""
    assert good(desk, "config", "status").startswith(f"{UID}\t-\t-")


def test_history_is_newest_first(desk: Desk, file: str) -> None:
    """Every revision with what became of it."""
    fleet(desk, file)
    lines = good(desk, "config", "history", UID).splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["v2", "sent"], ["v1", "verified"]]


def test_diff_shows_what_is_not_there_yet(desk: Desk, file: str) -> None:
    """Reported against desired, or one revision against another."""
    fleet(desk, file)
    expected = "channels[ph_sensor].poll_interval_ms\t3000\t9000\n"
    assert good(desk, "config", "diff", UID) == expected
    assert good(desk, "config", "diff", UID, "1", "2") == expected
    assert good(desk, "config", "diff", UID, "1", "1") == ""
    assert desk.talk[-1] == "no difference"


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
