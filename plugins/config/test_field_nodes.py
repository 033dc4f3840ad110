"""Nodes of the field: plain documents, compared key by key, sent five times at most."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from config_bench import HW, UID, Bench
from gateway_config.asked import ConfigPush, ConfigRetry, ConfigSet, NodesBind, NodesUnbind

TEMP = f"hydro/gh-temp/zn-temp/{HW}/config"
PLACE = {"gh_uid": "gh-7", "zone_uid": "zn-9"}


def shown(bench: Bench, **changes: Any) -> dict[str, Any]:
    """What firmware reports after it took the document that was sent last."""
    made = copy.deepcopy(bench.sent[-1].payload)
    return {**made, "fw_version": "1.0.0", "wifi": {"configured": True}, **changes}


def at_home(bench: Bench, document: dict[str, Any]) -> None:
    """Bind the node to gh-7/zn-9 and let it show so."""
    bench.ask(ConfigPush(document={**document, **PLACE}))
    bench.report("gh-7", "zn-9", **shown(bench))
    assert bench.node.bound


def test_c7_the_plain_document_holds_its_secret(field: Bench, document: dict[str, Any]) -> None:
    """To the temp topic while it is not bound; never without node_secret; no envelope, not retained."""
    field.ask(ConfigPush(document={**document, **PLACE}))
    (sent,) = field.sent
    assert sent.topic == TEMP
    assert "stamp" not in sent.options
    assert sent.options["retain"] is False
    assert sent.payload["channels"] == document["channels"]
    assert len(sent.payload["node_secret"]) == 64
    assert "message_type" not in sent.payload


def test_an_unbound_node_takes_only_a_document_that_binds_it(
    field: Bench, document: dict[str, Any]
) -> None:
    """B6: it would never apply anything else."""
    assert list(field.refused(ConfigPush(document=document))) == ["gh_uid"]


def test_equal_is_verified(field: Bench, document: dict[str, Any]) -> None:
    """The report from the new place ends the bind and the revision, and the secret is its own."""
    at_home(field, document)
    assert field.state == "v1 verified"
    assert field.node.secret == field.sent[0].payload["node_secret"]
    assert field.node.trial_secret is None
    assert field.node.lifecycle_state == "ASSIGNED_TO_ZONE"


def test_a_bind_is_done_although_the_document_differs(
    field: Bench, document: dict[str, Any]
) -> None:
    """The reference simulator reports channels of its own; the place is what counts (A5)."""
    field.ask(ConfigPush(document={**document, **PLACE}))
    field.report("gh-7", "zn-9", **shown(field, channels=[{"name": "ph_sensor", "type": "SENSOR"}]))
    assert field.node.bound
    assert field.state == "v1 applied"
    assert json.loads(field.row("config_revisions", "differs")["differs"]) == [
        "channels[ph_sensor].metric",
        "channels[ph_sensor].poll_interval_ms",
        "channels[fan_1]",
    ]


def test_a_bound_node_is_written_to_at_home(field: Bench, document: dict[str, Any]) -> None:
    """A5: the main topic, with the secret that the node has."""
    at_home(field, document)
    field.ask(ConfigSet(path="channels[fan_1].relay_type", value="NC"))
    assert field.sent[-1].topic == f"hydro/gh-7/zn-9/{UID}/config"
    assert field.sent[-1].payload["node_secret"] == field.node.secret


def test_c5_silence_ends_after_five_sends(field: Bench, document: dict[str, Any]) -> None:
    """C5: errors are silent on the wire, so the sender stops by itself and says so."""
    field.ask(ConfigPush(document={**document, **PLACE}))
    for _ in range(12):
        field.wait(300.0)
    assert len(field.sent) == 5
    assert field.state == "v1 expired"
    assert "5 sends" in field.row("config_revisions", "reason")["reason"]
    field.hello(protocol=0)
    field.report(**shown(field, gh_uid="gh-temp", zone_uid="zn-temp"))
    assert len(field.sent) == 5


def test_a_known_offline_node_is_waited_for(tmp_path: Path, document: dict[str, Any]) -> None:
    """The five sends are for a node that listens; its report starts them."""
    field = Bench(tmp_path, protocol=0, life="offline")
    field.ask(ConfigPush(document={**document, **PLACE}))
    for _ in range(3):
        field.wait(400.0)
    assert len(field.sent) == 1
    field.report(**shown(field, gh_uid="gh-temp", zone_uid="zn-temp"))
    assert len(field.sent) == 2
    field.close()


def test_a_node_that_lost_its_config_gets_it_again(field: Bench, document: dict[str, Any]) -> None:
    """A report that differs after verified is answered, within the five sends."""
    at_home(field, document)
    field.now += 60.0
    field.report("gh-7", "zn-9", **shown(field, channels=[]))
    assert len(field.sent) == 2
    assert field.state == "v1 sent"
    field.report("gh-7", "zn-9", **shown(field))
    assert field.state == "v1 verified"


def test_retry_after_expired(field: Bench, document: dict[str, Any]) -> None:
    """The operator's word starts another five."""
    field.ask(ConfigPush(document={**document, **PLACE}))
    for _ in range(8):
        field.wait(300.0)
    assert field.ask(ConfigRetry())["revision"] == 2
    assert field.state == "v2 sent"


@pytest.mark.parametrize("section", ["wifi", "mqtt"])
def test_c10_a_change_of_wifi_or_mqtt_alone_is_ignored_by_the_node(
    field: Bench, document: dict[str, Any], section: str
) -> None:
    """C10: so it is refused here, unless version changes as well."""
    at_home(field, document)
    changed = {**document, **PLACE, section: {"ssid": "X", "host": "other", "port": 1}}
    assert list(field.refused(ConfigPush(document=changed))) == ["version"]
    field.ask(ConfigPush(document={**changed, "version": 4}))


def test_unbind_goes_to_the_old_place(field: Bench, document: dict[str, Any]) -> None:
    """A5: on the current zone's topic; the registry does not wait for it."""
    at_home(field, document)
    field.ask(NodesUnbind())
    assert field.sent[-1].topic == f"hydro/gh-7/zn-9/{UID}/config"
    assert field.sent[-1].payload["zone_uid"] == "zn-temp"
    assert not field.node.bound
    field.wait(5.0)
    assert field.sent[-1].topic == f"hydro/gh-7/zn-9/{UID}/config"
    field.report(**shown(field))
    assert field.state == "v2 verified"


def test_rebind_unbinds_first(field: Bench, document: dict[str, Any]) -> None:
    """A5: best-effort unbind on the old topic, then the new place on the temp topic."""
    at_home(field, document)
    field.ask(NodesBind(gh="gh-8", zone="zn-1"))
    out, into = field.sent[-2:]
    assert (out.topic, out.payload["zone_uid"]) == (f"hydro/gh-7/zn-9/{UID}/config", "zn-temp")
    assert (into.topic, into.payload["zone_uid"]) == (TEMP, "zn-1")
    assert "_replace" in into.options
    assert out.options["_replace"] is None
    assert out.payload["node_secret"] == into.payload["node_secret"] == field.node.secret


def test_a_bind_without_any_document(field: Bench) -> None:
    """A node that showed nothing yet is bound with the least document, as the field does it."""
    field.ask(NodesBind(gh="gh-7", zone="zn-9"))
    payload = field.sent[-1].payload
    assert (payload["gh_uid"], payload["mqtt"]) == ("gh-7", {"configured": True})


def test_e6_secrets_in_a_report_are_not_kept(field: Bench, document: dict[str, Any]) -> None:
    """E6: firmware echoes them; nothing of it stays in our rows but the desired document."""
    at_home(field, document)
    report = shown(field, wifi={"ssid": "X", "pass": "wifi-word"})
    field.report("gh-7", "zn-9", **report)
    kept = field.row("config_reported", "document")["document"]
    for secret in ("wifi-word", "mqtt-word", report["node_secret"]):
        assert secret not in kept


@pytest.mark.parametrize(
    "junk",
    [
        {},
        {"channels": None},
        {"channels": [None, 5, "", {"name": 7}], "mqtt": 5, "node_id": "x"},
        {"channels": {"a": 1}, "mqtt": {}, "node_id": UID, "gh_uid": 7},
        {"node_id": UID, "mqtt": {}, "channels": [{"name": "x" * 300}, {"name": "ok"}]},
    ],
)
def test_any_report_is_survived(
    field: Bench, document: dict[str, Any], junk: dict[str, Any]
) -> None:
    """Junk differs; it breaks nothing."""
    field.ask(ConfigPush(document={**document, **PLACE}))
    field.report(**junk)
    assert field.state == "v1 applied"
