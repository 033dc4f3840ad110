"""A config's way through the node (B5, B6): who signs it, the trial, the ends, what is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from node_bench import BAD_HOST, CLAIM, GOOD_HOST, TEMP, World, document, envelope

ONE, TWO = "1" * 64, "2" * 64
BROKEN = {"mqtt": {"host": BAD_HOST, "port": 1883}}


def ready(**settings: Any) -> World:
    """Connected, and heard by nobody yet."""
    world = World(**settings)
    world.run(1)
    return world


def proved(**settings: Any) -> World:
    """Revision 1 has proved itself under secret ONE."""
    world = ready(**settings)
    world.prove(1, ONE)
    return world


def test_the_first_config_in_open_mode() -> None:
    """received, then applied on trial, then verified by a receipt under the new secret; in that order."""
    world = ready()
    world.push(envelope(1, document(node_secret=ONE), "open", ONE))
    assert world.states() == [("received", 1)]
    world.run(1)
    assert world.states()[-1] == ("applied", 1)
    world.answer(ONE)
    assert world.states()[-1] == ("verified", 1)
    assert world.store().good.revision == 1
    assert "config verified v1" in world.log


def test_only_the_full_reports_carry_the_document() -> None:
    """The redacted document travels with `verified` and on connect; received and applied are headers."""
    world = proved(wifi=[{"ssid": "home", "pass": "wifi-password"}])
    by_state = {r.said["state"]: r.said for r in world.kinds("config_report") if "state" in r.said}
    header = {"message_type", "revision", "sha256", "state", "seq", "boot_id"}
    assert set(by_state["received"]) == header
    assert set(by_state["applied"]) == header | {"sig"}
    assert by_state["verified"]["channels"] == []
    assert by_state["verified"]["wifi"] == {"configured": True}
    assert "node_secret" not in by_state["verified"]


def test_open_is_not_for_a_node_with_a_claim_key() -> None:
    """A node that was flashed with a claim key takes its first secret only under it."""
    world = ready(claim_key=CLAIM)
    world.push(envelope(1, document(node_secret=ONE), "open", ONE))
    assert world.states() == [("rejected", 1)]
    assert world.kinds("config_report")[-1].said["reason"] == "signature"
    world.prove(2, ONE)


@pytest.mark.parametrize("key", ["secret", "claim", "open", "", None, 7])
def test_a_wrong_signature_is_refused(key: object) -> None:
    """Whatever key it names, a config that it did not sign changes nothing and is answered."""
    world = proved()
    bad = envelope(2, document(node_secret=TWO), key, "nobody's")  # type: ignore[arg-type]
    world.push(bad)
    report = world.kinds("config_report")[-1].said
    assert (report["state"], report["reason"]) == ("rejected", "signature")
    assert world.node.store.running.revision == 1
    assert world.node.store.trial is None


def test_rotation_forgets_the_old_secret_only_at_verified() -> None:
    """The new secret is inside the document; while it is on trial the old one still signs a push."""
    world = proved()
    world.secrets.append(TWO)
    world.push(envelope(2, document(node_secret=TWO), "secret", ONE))
    world.run(1)
    world.answer(ONE)
    assert world.node.store.trial is not None, "the old secret proves nothing"
    world.push(envelope(3, document(node_secret=TWO), "secret", ONE))
    assert world.node.store.trial.revision == 3
    world.run(1)
    world.answer(TWO)
    assert world.node.store.good.secret == TWO
    world.push(envelope(4, document(), "secret", ONE))
    assert world.states()[-1] == ("rejected", 4)


def test_a_receipt_from_before_the_switch_proves_nothing() -> None:
    """Only an answer to a hello that was sent after the switch ends the trial."""
    world = proved()
    old = world.receipt(ONE)
    world.push(envelope(2, document(), "secret", ONE))
    world.run(1)
    world.say(f"{TEMP}/hello_ack", old)
    assert world.node.store.trial is not None
    world.answer(ONE)
    assert world.node.store.trial is None


def test_an_unsigned_receipt_proves_nothing() -> None:
    """A trial goes on through receipts that anybody could have sent."""
    world = proved()
    world.push(envelope(2, document(), "secret", ONE))
    world.run(1)
    world.answer(None)
    world.answer(TWO)
    assert world.node.store.trial is not None


def test_a_config_that_cuts_the_node_off_is_left() -> None:
    """After trial_s the node runs what it ran before, says so once with the reason, and is heard."""
    world = proved(trial_s=120)
    world.push(envelope(2, document(**BROKEN), "secret", ONE))
    world.run(119)
    assert world.node.store.running.revision == 2
    world.run(10)
    assert world.node.store.running.revision == 1
    world.answer(ONE)
    report = next(
        r.said for r in world.kinds("config_report") if r.said.get("state") == "rolled_back"
    )
    assert (report["revision"], report["reason"]) == (2, "no receipt within 120 s")
    world.run(300)
    assert world.states().count(("rolled_back", 2)) == 1
    assert world.states()[-1] == ("verified", 1)


def test_a_trial_ends_without_any_network() -> None:
    """The time runs while nothing can be reached, after a reboot within the trial too."""
    world = proved(trial_s=60)
    world.push(envelope(2, document(), "secret", ONE))
    world.cut()
    world.run(30)
    world.boot()
    assert world.node.store.running.revision == 2
    world.run(61)
    assert world.node.store.running.revision == 1
    assert world.store().trial is None


def test_a_config_that_resets_the_board_is_left_after_three_boots() -> None:
    """Each boot of a trial is counted before the document runs; the fourth runs the old one."""
    world = proved()
    world.push(envelope(2, document(), "secret", ONE))
    seen = []
    for _ in range(4):
        world.boot()
        seen.append(world.node.store.running.revision)
    assert seen == [2, 2, 2, 1]
    world.run(1)
    assert ("rolled_back", 2) in world.states()


def test_an_end_is_an_end() -> None:
    """What was rolled back is answered again and not tried again, after a reboot too."""
    world = proved(trial_s=10)
    bad = envelope(2, document(**BROKEN), "secret", ONE)
    world.push(bad)
    world.run(20)
    for _ in range(2):
        before = world.states().count(("rolled_back", 2))
        world.push(bad)
        assert world.node.store.trial is None
        assert world.states().count(("rolled_back", 2)) == before + 1
        world.boot()
        world.run(1)
    good = envelope(3, document(), "secret", ONE)
    world.push(good)
    world.run(1)
    world.answer(ONE)
    assert world.states()[-1] == ("verified", 3)


def test_a_bad_document_is_rejected_with_its_path_and_remembered() -> None:
    """A wrong value is named by its path; the same pair is answered the same way after a reboot."""
    world = proved()
    bad = envelope(2, document(channels=[{"actuator_type": "FAN"}]), "secret", ONE)
    for _ in range(2):
        world.push(bad)
        report = world.kinds("config_report")[-1].said
        assert (report["state"], report["revision"]) == ("rejected", 2)
        assert report["path"] == "channels[0].relay_type"
        assert report["reason"] == "Missing or invalid relay_type"
        world.boot()
        world.run(1)
    assert world.node.store.running.revision == 1


def test_what_runs_already_is_answered_and_not_tried() -> None:
    """The same revision and hash again: verified again, nothing is written."""
    world = ready()
    first = envelope(1, document(node_secret=ONE), "open", ONE)
    world.push(first)
    world.run(1)
    world.answer(ONE)
    before = (dict(world.slots), world.record)
    world.push(first)
    assert world.states()[-1] == ("verified", 1)
    assert (world.slots, world.record) == before


@pytest.mark.parametrize("revision", [0, 1, 4, 5])
def test_a_revision_that_is_not_newer_is_refused(revision: int) -> None:
    """Lower, or the same with another document: refused with the word `revision`."""
    world = ready()
    world.prove(5, ONE)
    world.push(envelope(revision, document(channels=[{"name": "x"}]), "secret", ONE))
    report = world.kinds("config_report")[-1].said
    assert (report["state"], report["reason"]) == ("rejected", "revision")
    assert world.node.store.running.revision == 5


def test_what_the_document_leaves_out_is_kept() -> None:
    """Wi-Fi, broker, secret and calibration of a push that does not carry them stay (C7, C8, C9)."""
    calibration = {"ph": {"slope": 1.02}, "ec": {"k": 1.1}}
    mqtt = {"host": GOOD_HOST, "port": 1883, "username": "u", "password": "mqtt-password"}
    wifi = {"ssid": "field", "pass": "wifi-password"}
    world = ready()
    world.prove(1, ONE, calibration=calibration, mqtt=mqtt, wifi=wifi)
    push = document(calibration={"ph": {"slope": 2.0}, "ec": {}}, wifi={"configured": True})
    world.push(envelope(2, push, "secret", ONE))
    world.run(1)
    world.answer(ONE)
    world.boot()
    values = world.node.store.good.values
    assert world.node.store.good.revision == 2
    assert (values["wifi"], values["mqtt"], values["node_secret"]) == (wifi, mqtt, ONE)
    assert values["calibration"] == {"ph": {"slope": 2.0}, "ec": {"k": 1.1}}


def test_a_config_without_any_secret_could_prove_nothing() -> None:
    """An envelope that leaves a node without a secret is rejected: its receipt could not be signed."""
    world = ready(claim_key=CLAIM)
    world.push(envelope(1, document(), "claim", CLAIM))
    report = world.kinds("config_report")[-1].said
    assert (report["state"], report["path"]) == ("rejected", "node_secret")


def test_a_gateway_with_a_new_database_takes_its_node_back() -> None:
    """In open mode, and under the claim key, a new secret replaces the one that the gateway lost."""
    for settings in ({}, {"claim_key": CLAIM}):
        world = proved(**settings)
        world.prove(2, TWO)
        assert world.node.store.good.secret == TWO


def test_a_full_flash_is_told_and_changes_nothing() -> None:
    """A config that flash does not take is rejected with the reason; the old one goes on."""
    world = proved()
    world.flash_works = False
    world.push(envelope(2, document(), "secret", ONE))
    report = world.kinds("config_report")[-1].said
    assert (report["state"], report["reason"]) == ("rejected", "flash: no space")
    assert world.node.store.running.revision == 1
    world.flash_works = True
    world.push(envelope(3, document(), "secret", ONE))
    world.run(1)
    world.answer(ONE)
    assert world.states()[-1] == ("verified", 3)


def test_a_newer_config_takes_the_place_of_a_trial() -> None:
    """A push during a trial is tried next; behind it stays what was proved."""
    world = proved(trial_s=10)
    world.push(envelope(2, document(channels=[{"name": "a"}]), "secret", ONE))
    world.run(8)
    world.push(envelope(3, document(**BROKEN), "secret", ONE))
    world.run(8)
    assert world.node.store.trial.revision == 3, "it has its own ten seconds"
    world.run(7)
    assert world.node.store.running.revision == 1


def test_names_that_cannot_be_topics_are_rejected() -> None:
    """gh_uid, zone_uid and node_id become topics: wildcards, slashes and blanks never get so far (B1)."""
    world = proved()
    number = 2
    for field in ("gh_uid", "zone_uid", "node_id"):
        for value in ("a/b", "a+", "#", "", "a b", "x" * 65, "-a", "é", 5, None):
            world.push(envelope(number, document(**{field: value}), "secret", ONE))
            report = world.kinds("config_report")[-1].said
            assert (report["state"], report.get("path")) == ("rejected", field), value
            number += 1


def test_a_lost_boot_record_costs_no_secret() -> None:
    """Both copies of the record gone: the newer slot proves itself again, the older one is behind it."""
    world = proved()
    world.push(envelope(2, document(), "secret", ONE))
    world.run(1)
    world.answer(ONE)
    world.record = b""
    world.boot()
    assert world.node.store.running.revision == 2
    assert world.node.store.good.revision == 1
    world.run(1)
    world.answer(ONE)
    assert world.node.store.good.revision == 2


def test_a_lost_good_slot_costs_no_secret() -> None:
    """A slot that flash lost: the other proved one runs, not the factory's settings."""
    world = proved()
    world.push(envelope(2, document(), "secret", ONE))
    world.run(1)
    world.answer(ONE)
    del world.slots[json.loads(world.record)["good"]]
    world.boot()
    assert world.node.store.good.revision == 1
    assert world.node.store.good.secret == ONE


# -- plain documents, as the field's gateways publish them (A6, B5) ------------------------------


def plain(**changes: Any) -> bytes:
    return json.dumps(document(gh_uid="gh-1", zone_uid="zn-3", **changes)).encode()


def test_a_plain_config_is_confirmed_by_its_report() -> None:
    """No receipt in sight: reconnecting and a PUBACKed report prove a plain document."""
    world = ready()
    world.push(plain())
    world.run(2)
    report = world.kinds("config_report")[-1]
    assert report.topic == "hydro/gh-1/zn-3/nd-1/config_report"
    assert report.said["gh_uid"] == "gh-1"
    assert world.node.store.trial is None
    world.boot()
    assert world.node.place() == ("gh-1", "zn-3", "nd-1")


def test_a_plain_config_without_a_puback_is_left() -> None:
    """A broker that takes the connection and acknowledges nothing proves nothing."""
    world = ready(trial_s=30)
    world.pubacks = False
    world.push(plain())
    world.run(40)
    assert world.node.store.good.slot == 0
    assert world.node.store.trial is None


def test_plain_temp_to_temp_is_not_applied() -> None:
    """A6.2, rule 2: reported, not applied."""
    world = ready()
    world.push(json.dumps(document(channels=[{"name": "x"}])).encode())
    assert world.node.store.trial is None
    assert world.kinds("config_report")[-1].said["channels"] == []


def test_plain_and_equal_is_not_applied() -> None:
    """A6.2, rule 3: a change of wifi and mqtt alone is no change; a new secret is one."""
    world = ready()
    world.push(plain())
    world.run(2)
    slot = world.node.store.good.slot
    world.push(plain(mqtt={"host": BAD_HOST, "port": 1}))
    assert world.node.store.trial is None
    world.secrets.append(TWO)
    world.push(plain(node_secret=TWO))
    world.run(2)
    assert world.node.store.good.slot == slot + 1


@pytest.mark.parametrize("legacy", [False, True])
def test_plain_after_a_signed_one_only_with_legacy(legacy: bool) -> None:
    """A node that has verified an envelope takes no plain document, unless node.json says legacy."""
    world = proved(legacy=legacy)
    world.push(plain())
    assert (world.node.store.trial is not None) == legacy


def test_a_plain_document_that_is_wrong_is_answered() -> None:
    """Not the field's silence (C5): rejected, with the path."""
    world = ready()
    world.push(plain(mqtt={"host": "", "port": 1}))
    report = world.kinds("config_report")[-1].said
    assert (report["state"], report["path"]) == ("rejected", "mqtt.host")


def test_a_document_too_long_to_report_is_told_by_its_channels() -> None:
    """Where the report would exceed 4,096 bytes, the channels' names stand for the document (B6)."""
    channels = [{"name": f"c{n}", "unit": "u" * 90} for n in range(33)]
    world = ready()
    world.push(plain(channels=channels))
    world.run(2)
    report = world.kinds("config_report")[-1]
    assert report.said["gh_uid"] == "gh-1"
    assert report.said["channels"] == [{"name": f"c{n}"} for n in range(33)]
    assert len(report.payload) <= 4096


# -- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"[" * 3500, "depth"),
        (b"\xff{}", "not_utf8"),
        (b'{"revision":1', "not_json"),
        (b"[]", "schema"),
        (b'{"doc":1,"revision":2}', "schema"),
        (b'"' + b"x" * 4200 + b'"', "too_big"),
    ],
)
def test_what_cannot_be_read_is_told_as_an_error(payload: bytes, word: str) -> None:
    """Nobody waits for a time-out: an error with B8's word, and the config that runs goes on."""
    world = proved()
    world.push(payload)
    assert world.kinds("error")[-1].said["error_code"] == word
    assert world.kinds("error")[-1].said["component"] == "config"
    assert world.node.store.running.revision == 1


def test_a_message_too_big_for_the_link_is_told_too() -> None:
    """What did not even fit into the buffer is an error with its size."""
    world = proved()
    world.step("oversized", f"{TEMP}/config", 70_000)
    said = world.kinds("error")[-1].said
    assert (said["error_code"], said["message"]) == ("too_big", "70000 bytes")
