"""Our own nodes: from the operator's push to the node's proof, with everything that goes wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import gateway_config
import pytest
from config_bench import HW, NOW, UID, Bench, Board
from gateway_config import document as documents
from gateway_config import reports
from gateway_config.asked import (
    ConfigPush,
    ConfigRetry,
    ConfigRollback,
    ConfigSet,
    NodesBind,
    NodesUnbind,
)
from msgspec.structs import replace

from gateway import Problem, signed

VECTORS = [
    case
    for case in json.loads(
        (Path(__file__).parents[2] / "tests" / "vectors" / "refused.json").read_text("utf-8")
    )["cases"]
    if case.get("by") == "gateway-config"
]
TOPIC = f"hydro/gh-temp/zn-temp/{HW}/config"


def push(bench: Bench, document: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Push, and return the envelope or document that left."""
    bench.ask(ConfigPush(document=document, **more))
    return bench.sent[-1].payload


def prove(bench: Bench, board: Board, **more: Any) -> None:
    """The board takes the last envelope, tries it and proves it."""
    assert board.take(bench.sent[-1].payload) == "applied"
    board.prove()
    bench.report(**board.report("verified"), **more)


def test_hook_manifest() -> None:
    """The manifest names tables, commands and timers, and costs no import of click."""
    made = gateway_config.manifest()
    assert {c.kind for c in made.commands} == {
        "config.push",
        "config.set",
        "config.rollback",
        "config.retry",
        "nodes.bind",
        "nodes.unbind",
    }
    assert [job.name for job in made.jobs] == ["resend", "binds"]


def test_hook_node_message_push_leaves_as_an_envelope(
    bench: Bench, document: dict[str, Any]
) -> None:
    """To the topic of the hardware id, not retained, stamped when it leaves, newest first."""
    answer = bench.ask(ConfigPush(document=document, author="anna"))
    (sent,) = bench.sent
    assert sent.topic == TOPIC
    assert sent.options["stamp"] == ["ts"]
    assert not sent.options["retain"]
    assert sent.options["_replace"] == "config:1"
    assert list(sent.payload) == ["message_type", "revision", "sha256", "ts", "key", "doc", "sig"]
    assert (answer["revision"], answer["sha256"]) == (1, sent.payload["sha256"])
    assert bench.state == "v1 sent"
    assert bench.row("config_revisions", "author")["author"] == "anna"
    assert bench.node.desired_revision == 1


def test_the_first_push_brings_the_secret(bench: Bench, document: dict[str, Any]) -> None:
    """B9, open: the secret is in the document, signs it, and is on trial until it is verified."""
    made = push(bench, document)
    inside = json.loads(made["doc"])
    secret = inside["node_secret"]
    assert made["key"] == "open"
    assert signed(made["sig"], secret, "config", HW, 1, made["sha256"])
    assert (bench.node.secret, bench.node.trial_secret) == (None, secret)
    board = Board()
    prove(bench, board)
    assert (bench.node.secret, bench.node.trial_secret) == (secret, None)
    assert bench.state == "v1 verified"
    assert push(bench, document)["key"] == "secret"


def test_what_the_registry_knows_is_filled_in(bench: Bench, document: dict[str, Any]) -> None:
    """A file without identity fits every node; what it says itself stays."""
    inside = json.loads(push(bench, document)["doc"])
    assert (inside["node_id"], inside["type"], inside["version"]) == (UID, "ph", 3)
    assert (inside["gh_uid"], inside["zone_uid"]) == documents.TEMP
    assert inside["mqtt"] == document["mqtt"]


def test_with_a_claim_key_it_signs_the_first_push(bench: Bench, document: dict[str, Any]) -> None:
    """B5: claim is the key of the first secret and of recovery."""
    bench.host.claim_key = "claim"
    made = push(bench, document)
    assert made["key"] == "claim"
    assert Board(claim_key="claim").take(made) == "applied"
    assert Board(claim_key="other").take(made) == "signature"


@pytest.mark.parametrize("claim_key", ["", "claim"])
def test_a_new_database_takes_its_nodes_back(
    bench: Bench, document: dict[str, Any], claim_key: str
) -> None:
    """A node with an unknown secret and revision 7 gets revision 8 under open or claim."""
    bench.host.claim_key = claim_key
    board = Board(secret="x" * 64, claim_key=claim_key, revision=7)
    bench.hello(**board.hello())
    assert push(bench, document)["revision"] == 8
    prove(bench, board)
    assert bench.state == "v8 verified"
    assert bench.node.secret == board.secret != "x" * 64


def test_rotation_keeps_the_old_secret_until_the_proof(
    bench: Bench, document: dict[str, Any]
) -> None:
    """B5: the new secret is inside, the old one signs, and is forgotten only at verified."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    old = board.secret
    made = push(bench, document, rotate=True)
    new = json.loads(made["doc"])["node_secret"]
    assert new != old
    assert made["key"] == "secret"
    assert signed(made["sig"], old, "config", HW, 2, made["sha256"])
    assert (bench.node.secret, bench.node.trial_secret) == (old, new)
    prove(bench, board)
    assert (bench.node.secret, bench.node.trial_secret) == (new, None)
    kept = "".join(str(row) for row in bench.read("SELECT * FROM config_revisions"))
    assert old not in kept


def test_a_rotation_that_is_rolled_back_leaves_the_old_secret(
    bench: Bench, document: dict[str, Any]
) -> None:
    """The new secret is dropped with the revision that brought it; the next push has the old one."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document, rotate=True)
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.report(**board.report("applied"))
    bench.report(**board.roll_back())
    assert bench.state == "v2 rolled_back"
    assert (bench.node.secret, bench.node.trial_secret) == (board.secret, None)
    assert bench.node.desired_revision == 1
    assert json.loads(push(bench, document)["doc"])["node_secret"] == board.secret


def test_only_one_new_secret_is_on_its_way(bench: Bench, document: dict[str, Any]) -> None:
    """A second rotation waits for the first; a push without one carries the first along."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    first = json.loads(push(bench, document, rotate=True)["doc"])["node_secret"]
    assert list(bench.refused(ConfigPush(document=document, rotate=True))) == ["node_secret"]
    given = {**document, "node_secret": "z" * 64}
    assert list(bench.refused(ConfigPush(document=given))) == ["node_secret"]
    assert json.loads(push(bench, document)["doc"])["node_secret"] == first


def test_the_proof_may_be_lost_and_the_next_push_still_fits(
    bench: Bench, document: dict[str, Any]
) -> None:
    """A hello under the new secret shows which one the node has; K follows it."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document, rotate=True)
    assert board.take(bench.sent[-1].payload) == "applied"
    board.prove()  # and its report is lost
    board.reboot()
    bench.hello(**board.hello())
    assert board.take(push(bench, document)) == "applied"


def test_c8_no_push_without_the_secret(bench: Bench, document: dict[str, Any]) -> None:
    """C8: neither a push nor a set nor a rollback can erase the node's secret."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    for command in (
        ConfigPush(document={**document, "node_secret": None}),
        ConfigPush(document={**document, "node_secret": "***"}),
        ConfigSet(path="node_secret", value=None),
        ConfigRollback(revision=1),
    ):
        bench.ask(command)
        assert json.loads(bench.sent[-1].payload["doc"])["node_secret"] == board.secret


def test_no_answer_holds_a_secret(bench: Bench, document: dict[str, Any]) -> None:
    """Neither a good answer nor a list of problems shows node_secret or a password."""
    good = bench.ask(ConfigPush(document=document))
    assert bench.node.trial_secret is not None
    assert bench.node.trial_secret not in str(good)
    bad = {**document, "node_secret": "topsecret" * 20}
    assert "topsecret" not in str(bench.refused(ConfigPush(document=bad)))


def test_all_problems_at_once_and_nothing_queued(bench: Bench, document: dict[str, Any]) -> None:
    """Own rules, other plugins' rules and the identity, in one answer."""
    bench.host.objections = [Problem("channels[0].door", "no door here")]
    document["channels"][1].pop("relay_type")
    document["mqtt"]["port"] = 70000
    document["node_id"] = "nd-other"
    found = bench.refused(ConfigPush(document=document))
    assert list(found) == ["channels[1].relay_type", "mqtt.port", "node_id", "channels[0].door"]
    assert bench.state == ""


def test_what_a_shown_document_hides_is_no_value(bench: Bench, document: dict[str, Any]) -> None:
    """A document copied from `config show` cannot push *** as a password."""
    document["mqtt"] |= {"password": "***"}
    assert list(bench.refused(ConfigPush(document=document))) == ["mqtt.password"]


def test_c6_too_big_is_refused_before_queueing(bench: Bench, document: dict[str, Any]) -> None:
    """C6: the size on the wire, envelope included, with the bytes over."""
    document["channels"] = [{"name": f"c_{i}", "type": "SENSOR", "metric": "PH"} for i in range(90)]
    found = bench.refused(ConfigPush(document=document))
    assert "over the 4,096 that a node takes" in found[""]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"known": False}, "no node"),
        ({"lifecycle_state": "DECOMMISSIONED"}, "decommissioned"),
        ({"lifecycle_state": "UNPROVISIONED"}, "not been registered"),
    ],
)
def test_who_gets_no_config(
    tmp_path: Path, document: dict[str, Any], changes: dict[str, Any], word: str
) -> None:
    """A config holds secrets: only registered nodes get one (B9)."""
    bench = Bench(tmp_path, **changes)
    assert word in bench.refused(ConfigPush(document=document))[""]
    bench.close()


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


def test_hook_shutdown_lets_the_gateway_go(bench: Bench) -> None:
    """A gateway that has stopped is not held in memory by its plugin."""
    bench.run(gateway_config.shutdown(bench.host))
    with pytest.raises(KeyError):
        bench.hello()
    bench.run(gateway_config.startup(bench.host, bench.settings))


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


async def _readmit(_event: Any, _node: Any, tx: Any, _config: Any) -> None:
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


def _sub(folder: Path) -> Path:
    (folder / "other").mkdir()
    return folder / "other"


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


def test_channels_come_from_reports(bench: Bench) -> None:
    """A6.3: upsert by name; missing ones stay; backend-owned keys are not taken; secrets hidden."""
    board = Board(revision=1)
    shown = {
        "node_id": UID,
        "mqtt": {"password": "mqtt-word"},
        "channels": [
            {"name": "ph", "type": "SENSOR", "metric": "PH", "unit": "pH", "pid": {"p": 1}},
            {"name": "acid", "type": "ACTUATOR", "actuator_type": "PUMP"},
            {"no": "name"},
            {"name": "bad\nname"},
        ],
    }
    bench.report(**board.report("verified"), **shown)
    rows = bench.read("SELECT name, type, metric, unit, active FROM config_channels")
    assert rows == [("acid", "ACTUATOR", "PUMP", "", 1), ("ph", "SENSOR", "PH", "pH", 1)]
    assert "pid" not in bench.row("config_channels", "config", "name = 'ph'")["config"]
    assert "mqtt-word" not in bench.row("config_reported", "document")["document"]
    bench.report(**board.report("verified"), channels=[{"name": "ph", "unit": "1"}])
    bench.report(**board.report("verified"), channels=[])
    assert len(bench.read("SELECT 1 FROM config_channels WHERE active = 1")) == 2
    bench.report(**board.report("verified"), channels=["ph"], channels_replace=True)
    assert bench.read("SELECT name, unit FROM config_channels WHERE active = 1") == [("ph", "1")]


def test_channels_are_bounded(bench: Bench) -> None:
    """A node that invents names cannot fill the disk."""
    board = Board(revision=1)
    for round_ in range(12):
        made = [{"name": f"c{round_}_{i}"} for i in range(100)]
        bench.report(**board.report("verified"), channels=made)
    assert bench.read("SELECT count(*) FROM config_channels") == [(256,)]


def test_set_changes_one_value(bench: Bench, document: dict[str, Any]) -> None:
    """The rest of the desired document stays as it was."""
    push(bench, document)
    bench.ask(ConfigSet(path="channels[ph_sensor].poll_interval_ms", value=9000))
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["channels"][0]["poll_interval_ms"] == 9000
    assert inside["channels"][1] == document["channels"][1]
    assert inside["mqtt"] == document["mqtt"]
    assert bench.history() == {1: "superseded", 2: "sent"}
    assert "channels[nope].x" in bench.refused(ConfigSet(path="channels[nope].x", value=1))
    assert "mqtt.port" in bench.refused(ConfigSet(path="mqtt.port", value=0))


def test_set_without_a_push_starts_from_what_the_node_showed(bench: Bench) -> None:
    """Placeholders stand for what the node has; nothing of what it showed is lost."""
    board = Board(revision=2)
    channel = {"name": "ph", "type": "SENSOR", "metric": "PH"}
    bench.report(
        **board.report("verified"),
        node_id=UID,
        fw_version="1.0",
        channels=[channel],
        mqtt={"host": "h", "port": 1},
    )
    bench.ask(ConfigSet(path="channels[ph].unit", value="pH"))
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["channels"] == [{**channel, "unit": "pH"}]
    assert inside["mqtt"] == {"configured": True}
    assert "fw_version" not in inside


def test_rollback_is_a_new_revision(bench: Bench, document: dict[str, Any]) -> None:
    """An old document goes out under a new number, with today's place; unknown ones are refused."""
    push(bench, document)
    bench.ask(ConfigSet(path="mqtt.port", value=1999))
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    assert bench.ask(ConfigRollback(revision=1))["revision"] == 4
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert inside["mqtt"] == document["mqtt"]
    assert (inside["gh_uid"], inside["zone_uid"]) == ("gh-7", "zn-9")
    assert "is not kept" in bench.refused(ConfigRollback(revision=77))[""]


def test_a_verified_revision_is_superseded_by_the_next_verified_one(
    bench: Bench, document: dict[str, Any]
) -> None:
    """Not by its push: the newer one may yet be rolled back."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    push(bench, document)
    assert bench.history() == {1: "verified", 2: "sent"}
    prove(bench, board)
    assert bench.history() == {1: "superseded", 2: "verified"}


def test_history_is_bounded(bench: Bench, document: dict[str, Any]) -> None:
    """The last fifty revisions are kept."""
    for port in range(1, 56):
        push(bench, {**document, "mqtt": {"host": "h", "port": port}})
    assert list(bench.history()) == list(range(6, 56))


def test_c2_bound_is_who_reports_from_there(bench: Bench) -> None:
    """C2: pending until a verified report comes from the place itself; never from a temp topic."""
    board = Board()
    answer = bench.ask(NodesBind(gh="GH-7", zone="zn-9"))
    assert answer["binding"] == "bind"
    assert (bench.node.gh, bench.node.pending_gh, bench.node.pending_zone) == ("", "gh-7", "zn-9")
    assert bench.sent[-1].topic == TOPIC
    assert board.take(bench.sent[-1].payload) == "applied"
    bench.report(gh="gh-7", zone="zn-9", **board.report("applied"))
    assert not bench.node.bound
    board.prove()
    bench.report(**board.report("verified"))
    bench.report(gh="gh-8", zone="zn-9", **board.report("verified"))
    assert not bench.node.bound
    bench.report(gh="gh-7", zone="zn-9", **board.report("verified"))
    assert (bench.node.gh, bench.node.zone, bench.node.pending_zone) == ("gh-7", "zn-9", "")
    assert bench.node.pending_at is None
    assert bench.node.lifecycle_state == "ASSIGNED_TO_ZONE"
    assert "already" in bench.ask(NodesBind(gh="gh-7", zone="zn-9"))["note"]


def test_a_bind_expires(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A5: after 30 minutes pending is cleared, said once, and the revision is given up."""
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    bench.wait(1_799.0)
    assert bench.node.pending_zone == "zn-9"
    with caplog.at_level(logging.WARNING):
        bench.wait(1.0)
    assert bench.node.pending_zone == ""
    assert bench.state == "v1 expired"
    assert "expired: no report from there" in caplog.text
    sent = len(bench.sent)
    bench.wait(1_000.0)
    assert len(bench.sent) == sent


def bound(bench: Bench, board: Board) -> None:
    """Bind the node to gh-7/zn-9, proof included."""
    bench.ask(NodesBind(gh="gh-7", zone="zn-9"))
    prove(bench, board, gh="gh-7", zone="zn-9")
    assert bench.node.bound


def test_rebinding_lets_go_of_the_old_zone(bench: Bench) -> None:
    """A5: zone null, pending the new one, REGISTERED_BACKEND; the envelope needs no unbind before."""
    bound(bench, board := Board())
    assert bench.ask(NodesBind(gh="gh-8", zone="zn-1"))["binding"] == "move"
    assert not bench.node.bound
    assert bench.node.lifecycle_state == "REGISTERED_BACKEND"
    assert len(bench.sent) == 2
    prove(bench, board, gh="gh-8", zone="zn-1")
    assert (bench.node.gh, bench.node.zone) == ("gh-8", "zn-1")


def test_unbinding_does_not_wait_for_the_node(bench: Bench) -> None:
    """A5: the registry is cleared at once, the node hears of it when it can."""
    bound(bench, Board())
    assert bench.ask(NodesUnbind())["binding"] == "unbind"
    assert not bench.node.bound
    assert bench.node.lifecycle_state == "REGISTERED_BACKEND"
    inside = json.loads(bench.sent[-1].payload["doc"])
    assert (inside["gh_uid"], inside["zone_uid"]) == documents.TEMP
    assert bench.ask(NodesUnbind())["note"] == "it is not bound"


def test_a_decommissioned_node_gets_nothing_more(bench: Bench, document: dict[str, Any]) -> None:
    """The end of a node is the end of its config."""
    push(bench, document)
    bench.changed("lifecycle_state", "REGISTERED_BACKEND", "DECOMMISSIONED")
    assert bench.state == "v1 expired"
    bench.wait(1_000.0)
    bench.hello(**Board().hello())
    assert len(bench.sent) == 1


def test_hook_node_changed_serves_a_node_that_comes_back(
    bench: Bench, document: dict[str, Any]
) -> None:
    """node_changed offline -> online starts the sends that were put off."""
    push(bench, document)
    bench.changed("life", "online", "offline")
    bench.changed("life", "offline", "online")
    assert len(bench.sent) == 1
    bench.now += 60.0
    bench.changed("life", "offline", "online")
    assert len(bench.sent) == 2


def test_hook_validate_config(bench: Bench) -> None:
    """The plugin's own rules are there for everybody who asks the host."""
    found: list[Problem] = []

    async def ask() -> None:
        found.extend(await gateway_config.validate_config({}, bench.settings))

    bench.run(ask())
    assert [p.path for p in found][:2] == ["node_id", "type"]


def test_hook_health(bench: Bench, document: dict[str, Any]) -> None:
    """A config that ended badly is a failed check with the next command."""
    made = push(bench, document)

    async def ask() -> None:
        (check,) = await gateway_config.health(bench.host)
        checks.append(check)

    checks: list[Any] = []
    bench.run(ask())
    bench.report(**Board().about((1, made["sha256"]), "rejected", ""))
    bench.run(ask())
    assert [check.ok for check in checks] == [True, False]
    assert checks[1].hint == "gateway config status"


def test_hook_startup_keeps_two_gateways_apart(tmp_path: Path, document: dict[str, Any]) -> None:
    """Each gateway's settings object leads to its own host."""
    one, two = Bench(tmp_path), Bench(_sub(tmp_path))
    two.host.root = "farm"
    push(one, document)
    push(two, document)
    assert one.sent[0].topic == TOPIC
    assert two.sent[0].topic == "farm" + TOPIC.removeprefix("hydro")
    one.close()
    push(two, document)
    two.close()
