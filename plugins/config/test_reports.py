"""What a node says: when it is sent to again, what is believed, and what came before its hello."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from config_bench import HW, NOW, UID, Bench, Board, prove, push
from gateway_config import reports
from gateway_config.asked import (
    ConfigPush,
    ConfigRetry,
)
from msgspec.structs import replace

VECTORS = [
    case
    for case in json.loads(
        (Path(__file__).parents[2] / "tests" / "vectors" / "refused.json").read_text("utf-8")
    )["cases"]
    if case.get("by") == "gateway-config"
]


def test_c3_it_is_sent_until_the_node_reports(bench: Bench, document: dict[str, Any]) -> None:
    """C3: back-off, and every hello; after the proof nothing more."""
    push(bench, document)
    board = Board()
    for seconds in (4.0, 1.0, 10.0, 20.0):
        bench.wait(seconds)
    assert len(bench.sent) == 4
    bench.hello(**board.hello())
    assert len(bench.sent) == 5
    prove(bench, board)
    bench.wait(10_000.0)
    bench.hello(**board.hello())
    assert len(bench.sent) == 5
    assert len({json.dumps(sent.payload) for sent in bench.sent}) == 1


def test_hook_node_hello_that_shows_another_revision_is_answered(
    bench: Bench, document: dict[str, Any]
) -> None:
    """At once, whatever the back-off says; a hello that shows the desired one is not."""
    push(bench, document)
    board = Board()
    bench.hello(**board.hello())
    assert len(bench.sent) == 2
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.hello(**board.hello())
    assert len(bench.sent) == 2
    assert bench.state == "v1 received"


def test_a_report_of_another_revision_is_answered(bench: Bench, document: dict[str, Any]) -> None:
    """A node that reports an older revision gets the desired one, unless ours has just left."""
    board = Board(secret="x" * 64, revision=3)
    push(bench, document)
    bench.report(**board.report("verified"))
    assert [s.payload["revision"] for s in bench.sent] == [1, 4]
    bench.report(**board.report("verified"))
    assert len(bench.sent) == 2
    bench.now += 3.0
    bench.report(**board.report("verified"))
    assert len(bench.sent) == 3


def test_the_timer_names_who_is_due(
    bench: Bench, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job asks for a turn when the time has come, and for none while the broker is away."""
    push(bench, document)
    monkeypatch.setattr(reports.time, "time", lambda: bench.now)
    assert reports.due(bench.host, bench.settings) == []
    bench.now += 5.0
    assert [turn.node_id for turn in reports.due(bench.host, bench.settings)] == [1]
    bench.host.connected = False
    assert reports.due(bench.host, bench.settings) == []


def test_an_end_is_an_end_until_the_operator_says_so(
    bench: Bench, document: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """B5: rejected is final for the pair; retry gives the same document another number."""
    made = push(bench, document)
    board = Board()
    pair = (1, made["sha256"])
    with caplog.at_level(logging.WARNING):
        bench.report(**board.about(pair, "rejected", "", reason="no such pin", path="channels[0]"))
    assert "v1 rejected (channels[0]: no such pin)" in caplog.text
    bench.wait(1_000.0)
    bench.hello(**board.hello())
    assert len(bench.sent) == 1
    assert bench.row("config_revisions", "path, reason") == {
        "path": "channels[0]",
        "reason": "no such pin",
    }
    assert bench.ask(ConfigRetry())["revision"] == 2
    assert bench.sent[-1].payload["sha256"] == made["sha256"]


def test_hook_config_reported_gives_every_step_its_time(
    bench: Bench, document: dict[str, Any]
) -> None:
    """The history holds when each state was reached, for `config push --wait`."""
    push(bench, document)
    board = Board()
    assert board.take(bench.sent[-1].payload) == "applied"
    for state in ("received", "applied"):
        bench.now += 1.0
        bench.report(**board.report(state))
    board.prove()
    bench.now += 1.0
    bench.report(**board.report("verified"))
    row = bench.row("config_revisions")
    times = [row[f"{s}_at"] for s in ("queued", "sent", "received", "applied", "verified")]
    assert times == [NOW, NOW, NOW + 1, NOW + 2, NOW + 3]


def test_verified_is_only_believed_under_the_documents_secret(
    bench: Bench, document: dict[str, Any]
) -> None:
    """DESIGN promise 8: an unsigned or wrongly signed verified proves nothing and is counted."""
    made = push(bench, document)
    board = Board()
    pair = (1, made["sha256"])
    bench.report(**board.about(pair, "verified", ""))
    bench.report(**board.about(pair, "verified", "guessed"))
    assert bench.state == "v1 sent"
    assert bench.row("config_reported", "refused, refused_word") == {
        "refused": 2,
        "refused_word": "signature",
    }


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_the_vectors_refused_here(tmp_path: Path, case: dict[str, Any]) -> None:
    """What the vectors say this plugin refuses is counted under its word and changes nothing."""
    bench = Bench(tmp_path, secret=case["secret"], hardware_id=case["hardware_id"])
    before = bench.node
    bench.report(name=case["hardware_id"], **json.loads(case["payload"]))
    assert bench.row("config_reported", "refused, refused_word, revision") == {
        "refused": 1,
        "refused_word": case["refused"],
        "revision": 0,
    }
    assert bench.node == before
    bench.close()


def test_a_node_with_a_secret_is_believed_under_its_signature_only(
    bench: Bench, document: dict[str, Any]
) -> None:
    """B9: a possible clone changes nothing, and its hello is not answered with the secrets."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document)
    sent = len(bench.sent)
    clone = Board(secret="y" * 64)
    bench.now += 100.0
    bench.hello(**clone.hello())
    bench.hello(**Board().hello())
    bench.report(**clone.about((2, bench.sent[-1].payload["sha256"]), "rejected", clone.secret))
    assert len(bench.sent) == sent
    assert bench.state == "v2 sent"
    assert bench.row("config_reported", "refused")["refused"] == 3


def test_a_readmitted_node_gets_its_config_again(bench: Bench, document: dict[str, Any]) -> None:
    """When the registry has forgotten the secret, the same document goes out under open."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    bench.deliver(_readmit, ConfigRetry())
    blank = Board()
    blank.boot = 9
    bench.hello(**blank.hello())
    assert bench.sent[-1].payload["key"] == "open"
    prove(bench, blank)
    assert bench.node.secret == board.secret == blank.secret


async def _readmit(tx: Any) -> None:
    tx.set_node(secret=None, trial_secret=None)


def test_late_and_doubled_reports_change_nothing(bench: Bench, document: dict[str, Any]) -> None:
    """A rejected of an earlier moment cannot undo an applied."""
    made = push(bench, document)
    board = Board()
    late = board.about((1, made["sha256"]), "rejected", "")
    assert board.take(made) == "applied"
    applied = board.report("applied")
    bench.report(**applied)
    before = bench.row("config_reported")
    bench.report(**late)
    bench.report(**applied)
    assert bench.state == "v1 applied"
    assert bench.row("config_reported") == before


def test_a_retained_report_is_the_past(bench: Bench, document: dict[str, Any]) -> None:
    """What the broker kept proves nothing."""
    push(bench, document)
    board = Board()
    assert board.take(bench.sent[-1].payload) == "applied"
    board.prove()
    bench.report(retained=True, **board.report("verified"))
    assert bench.state == "v1 sent"


def test_a_retained_hello_shows_nothing(bench: Bench, document: dict[str, Any]) -> None:
    """It is not sent to for a hello of the past, and what that hello shows is not noted."""
    push(bench, document)
    sent = len(bench.sent)
    bench.now += 100.0
    bench.hello(retained=True, boot_id="0000000a", seq=1, config_revision=9)
    assert len(bench.sent) == sent
    assert bench.row("config_reported") == {}


def test_a_header_is_the_mark_of_our_firmware(tmp_path: Path) -> None:
    """A node of ours that was there before us is known as one by its first report, not by its hello
    alone: from then on it must sign."""
    bench = Bench(tmp_path, protocol=0)
    bench.report(**Board(revision=3).report("verified"))
    assert bench.node.protocol == 1
    bench.close()


def test_c1_a_report_before_the_hello_is_kept(tmp_path: Path, document: dict[str, Any]) -> None:
    """C1: what a node showed before it was registered is there when its hello has come."""
    bench = Bench(tmp_path, id=7, known=False, uid=HW, hardware_id=None, protocol=0)
    board = Board(revision=6, secret="x" * 64)
    channel = {"name": "a", "type": "SENSOR", "metric": "PH"}
    bench.report(**board.report("verified"), node_id=HW, channels=[channel], mqtt={})
    assert bench.row("config_reported", "name, revision") == {"name": HW, "revision": 6}
    assert bench.row("config_channels") == {}
    bench.register(id=9)
    bench.changed("node", None, UID)
    assert bench.row("config_channels", "name, metric") == {"name": "a", "metric": "PH"}
    assert push(bench, document)["revision"] == 7
    bench.report(**board.report("verified"))
    assert bench.read("SELECT node_id, name FROM config_reported") == [(9, HW)]
    bench.close()


def test_reports_of_strangers_are_forgotten_after_a_day(tmp_path: Path) -> None:
    """A node that is never registered leaves one row, for a day."""
    bench = Bench(tmp_path, id=7, known=False, uid=HW, hardware_id=None, protocol=0)
    board = Board(revision=1)
    for number in range(3):
        bench.node = replace(bench.node, id=7 + number)
        bench.report(**board.report("verified"))
    assert bench.read("SELECT node_id FROM config_reported") == [(9,)]
    bench.now += 90_000.0
    bench.node = replace(bench.node, id=20, uid="esp32-other")
    event = Board(revision=2).report("verified")
    bench.report(name="esp32-other", **event)
    assert bench.read("SELECT name FROM config_reported") == [("esp32-other",)]
    bench.close()


def test_a_reused_number_inherits_nothing(bench: Bench, document: dict[str, Any]) -> None:
    """Rows of a forgotten node under the same number are not the new node's."""
    push(bench, document)
    bench.report(**Board(revision=5).report("verified"))
    bench.now += 100.0
    bench.node = replace(
        bench.node, uid="nd-new", hardware_id="esp32-new", created_at=bench.now, secret=None
    )
    bench.changed("node", None, "nd-new")
    assert bench.state == ""
    assert bench.history() == {}
    bench.ask(ConfigPush(document=document))
    assert bench.state == "v1 sent"
