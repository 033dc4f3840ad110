"""A config's way: on trial, proved or left again, and whatever happens there is one that works."""

import json

from gwnode import protocol, trial
from rig import HARDWARE, SECRET, TEMP, Rig, document


def states(rig, revision):
    return [m["state"] for m in rig.heard("config_report", revision=revision) if "state" in m]


def test_a_config_goes_from_received_to_verified():
    """received, applied, verified: each told once, the document with the last (B6)."""
    rig = Rig()
    rig.receipt()
    rig.push(1, document())
    rig.settle()
    assert states(rig, 1) == ["received", "applied", "verified"]
    full = [m["state"] for m in rig.heard("config_report", revision=1) if "channels" in m]
    assert full == ["verified"]
    for message in rig.heard("config_report", state="verified"):
        text = [HARDWARE, message["boot_id"], message["seq"], 1, rig.running.sha]
        assert message["sig"] == protocol.sign(SECRET, "config_report", *text)


def test_only_a_receipt_for_a_hello_since_the_switch_proves():
    """One that answers what the node was before says nothing about what it is now (B5)."""
    rig = Rig()
    rig.adopt()
    rig.do(("lost", "reset"))
    rig.wait(2)
    before = rig.last("node_hello")["seq"]
    rig.push(2, document(channels=[]), "secret")
    rig.wait(2)
    assert rig.state() == ("applied", 2)
    rig.receipt(SECRET, seq=before)
    assert rig.state() == ("applied", 2)
    rig.receipt(SECRET)
    assert rig.state() == ("verified", 2)


def test_a_receipt_that_came_with_the_config_proves_nothing():
    """Both were read in one go: the config is still being written when the receipt is looked at."""
    rig = Rig()
    rig.adopt()
    rig.do(("lost", "reset"))
    rig.wait(2)
    real = rig._save
    rig._save = lambda *_: None  # the write has not ended yet
    rig.push(2, document(channels=[]), "secret")
    rig.receipt(SECRET)
    assert rig.state() == ("received", 2)
    rig._save = real
    store = rig.node.store
    real(store.trial.slot, b"", store.record())
    rig.do(("saved",))
    rig.wait(2)
    assert rig.state() == ("applied", 2)
    rig.receipt(SECRET)
    assert rig.state() == ("verified", 2)


def test_an_unsigned_receipt_does_not_end_a_trial_well():
    """Nor does one under another secret: anybody on the network could say it."""
    for wrong in ({}, {"secret": "x" * 64}, {"sig": "0" * 64}):
        rig = Rig()
        rig.receipt()
        rig.push(1, document())
        rig.wait(2)
        rig.receipt(**wrong)
        assert rig.state() == ("applied", 1)


def test_a_trial_without_a_receipt_ends_by_time_and_is_told_once():
    """Back to what ran before, and one report with the reason."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(channels=[]), "secret")
    rig.wait(19)
    assert rig.running.revision == 2
    rig.wait(8)
    assert rig.running.revision == 1
    assert rig.state(2) == ("rolled_back", 2)
    assert rig.heard("config_report", state="rolled_back")[0]["reason"] == "no receipt within 20 s"
    rig.receipt(SECRET)
    rig.do(("lost", "reset"))
    rig.wait(100)
    assert len(rig.heard("config_report", state="rolled_back")) == 1


def test_a_config_that_names_a_wrong_broker_is_left():
    """The trial ends where nobody can be reached, too; and the old broker hears why."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(mqtt={"host": "nowhere", "port": 1883}), "secret")
    rig.wait(15)
    assert rig.opened[-1][1]["host"] == "nowhere"
    rig.wait(10)
    assert rig.opened[-1][1]["host"] == "one"
    assert rig.state(2) == ("rolled_back", 2)


def test_a_broker_that_takes_us_and_knows_nothing_is_left():
    """A connection is no proof."""
    rig = Rig(trial_s=20)
    rig.brokers.append("stranger")
    rig.adopt()
    rig.push(2, document(mqtt={"host": "stranger", "port": 1883}), "secret")
    rig.wait(30)
    assert rig.opened[-1][1]["host"] == "one"
    assert rig.state(2) == ("rolled_back", 2)


def test_three_boots_end_a_trial():
    """A config that makes the board reset is counted before it runs, and left at the fourth boot."""
    rig = Rig()
    rig.adopt()
    rig.push(2, document(channels=[]), "secret")
    for _ in range(3):
        rig.boot()
        assert rig.running.revision == 2
    rig.boot()
    assert rig.running.revision == 1
    rig.wait(2)
    told = rig.heard("config_report", state="rolled_back")
    assert len(told) == 1
    assert "3 boots" in told[0]["reason"]


def test_a_trial_goes_on_behind_a_reboot():
    """Its time begins anew, and a receipt ends it well."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(channels=[]), "secret")
    rig.boot()
    assert rig.state() == ("applied", 2)
    rig.receipt(SECRET)
    assert rig.state() == ("verified", 2)
    rig.boot()
    assert rig.running.revision == 2
    assert not rig.node.store.trial


def test_a_trial_behind_a_reboot_ends_by_time_too():
    """A reboot is no way out of a trial: without a receipt the config before it runs again."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(channels=[]), "secret")
    rig.boot()
    rig.wait(25)
    assert not rig.node.store.trial
    assert rig.running.revision == 1


def test_an_end_is_an_end():
    """The same pair again is answered again, and not tried again; a newer one is (B5)."""
    rig = Rig(trial_s=20)
    rig.adopt()
    bad = document(channels=[])
    rig.push(2, bad, "secret")
    rig.wait(25)
    rig.receipt(SECRET)
    writes = rig.writes
    for boots in range(2):
        rig.push(2, bad, "secret")
        assert rig.state(2) == ("rolled_back", 2)
        assert len(rig.heard("config_report", state="rolled_back")) == 2 + 2 * boots
        assert rig.writes == writes
        assert rig.running.revision == 1
        rig.boot()
    rig.receipt(SECRET)
    rig.push(3, bad, "secret")
    rig.settle()
    assert rig.state() == ("verified", 3)


def test_a_document_that_is_wrong_is_rejected_with_its_path_and_never_runs():
    """It says where, in the words of A6.2, and says it again when it comes again."""
    rig = Rig()
    rig.adopt()
    fan = {"name": "fan", "type": "ACTUATOR", "actuator_type": "FAN"}
    bad = document(channels=[{"name": "ok"}, fan])
    writes = rig.writes
    for _ in range(2):
        rig.push(2, bad, "secret")
        told = rig.last("config_report")
        assert (told["state"], told["revision"]) == ("rejected", 2)
        assert told["path"] == "channels[1].relay_type"
        assert told["reason"] == "Missing or invalid relay_type"
    assert rig.writes == writes
    assert rig.running.revision == 1


def test_a_refused_envelope_is_told_its_word():
    """Silence would leave the gateway guessing (C5)."""
    rig = Rig()
    rig.adopt(5)
    rig.push(4, document(channels=[]), "secret")
    assert rig.last("config_report")["reason"] == "revision"
    rig.push(6, document(), "secret", "x" * 64)
    assert rig.last("config_report")["reason"] == "signature"
    rig.push(6, document(), "secret", sha256="0" * 64)
    assert rig.last("config_report")["reason"] == "hash"
    rig.message(TEMP + "/config", rig.envelope(6, document(), revision=True))
    assert rig.last("error")["error_code"] == "schema"
    rig.message(TEMP + "/config", b"{")
    assert rig.last("error")["error_code"] == "not_json"
    assert rig.running.revision == 5


def test_the_same_again_is_answered_and_not_written():
    """A gateway that missed the report sends again: it gets the state, flash nothing."""
    rig = Rig()
    rig.receipt()
    rig.push(1, document())
    rig.wait(2)
    rig.push(1, document())
    assert rig.state() == ("applied", 1)
    assert rig.writes == 1
    rig.receipt(SECRET)
    rig.push(1, document())
    assert rig.state() == ("verified", 1)
    assert "channels" in rig.last("config_report")
    assert rig.writes == 1


def test_a_newer_config_takes_the_place_of_one_on_trial():
    """What is kept comes from what was proved, and a time-out leads back to that."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(channels=[], wifi={"ssid": "other"}), "secret")
    rig.wait(5)
    rig.push(3, document(channels=[]), "secret")
    rig.wait(2)
    assert rig.running.revision == 3
    assert rig.running.values["wifi"] == rig.settings["wifi"]
    rig.wait(30)
    assert rig.running.revision == 1
    assert rig.state(3) == ("rolled_back", 3)


def test_an_edited_node_json_counts_where_no_config_said_otherwise():
    """The broker moved and somebody wrote the new one into node.json: the node goes there."""
    rig = Rig()
    rig.adopt()
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    rig.settings["mqtt"] = {"host": "moved", "port": 2883}
    rig.settings["wifi"] = [{"ssid": "moved too", "pass": "hush"}]
    rig.boot()
    rig.wait(1)
    assert rig.running.revision == 2
    assert rig.opened[-1][1] == {"host": "moved", "port": 2883}
    assert rig.running.values["wifi"] == [{"ssid": "moved too", "pass": "hush"}]


def test_a_broker_that_a_config_brought_outlives_later_configs_and_node_json():
    """What was proved is not undone by an old file, nor by a config that does not speak of it."""
    rig = Rig()
    brought = {"host": "one", "port": 1883}
    rig.adopt(1, mqtt=brought)
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    rig.settings["mqtt"] = {"host": "old", "port": 1}
    rig.boot()
    rig.wait(1)
    assert rig.opened[-1][1] == brought


def test_a_full_flash_is_told_and_changes_nothing():
    """What ran goes on running, and a later push works."""
    rig = Rig()
    rig.adopt()
    rig.full = True
    rig.push(2, document(channels=[]), "secret")
    told = rig.last("config_report")
    assert (told["state"], told["reason"]) == ("rejected", "flash: no space")
    assert rig.running.revision == 1
    rig.full = False
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    assert rig.state() == ("verified", 2)


def test_a_full_flash_during_a_trial_leads_back_to_what_was_proved():
    """Neither the one on trial nor the new one: the good one, with its name and its broker."""
    rig = Rig(trial_s=20)
    rig.adopt()
    rig.push(2, document(gh_uid="gh-1", zone_uid="zn-1"), "secret")
    rig.wait(5)
    rig.full = True
    rig.push(3, document(channels=[]), "secret")
    rig.wait(60)
    assert rig.running.revision == 1
    assert rig.opened[-1][2] == TEMP + "/lwt"
    assert rig.node.connected
    rig.receipt(SECRET)
    assert not rig.node.store.trial


def test_no_memory_for_a_config_is_no_dead_end():
    """A heap that is too full for one moment leaves a node that takes the next push."""
    rig = Rig()
    rig.adopt()

    def fails(_config):
        raise MemoryError

    real, trial.pack = trial.pack, fails
    try:
        rig.push(2, document(channels=[]), "secret")
        raise AssertionError("it was packed")
    except MemoryError:
        pass
    finally:
        trial.pack = real
    assert rig.running.revision == 1
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    assert rig.state() == ("verified", 2)


def test_the_secret_changes_hands_at_verified():
    """The new one signs while it is on trial; where it does not prove itself the old one is back."""
    rig = Rig(trial_s=20)
    rig.adopt()
    other = "t" * 64
    rig.push(2, document(node_secret=other), "secret")
    rig.wait(2)
    rig.receipt(SECRET)
    assert rig.state() == ("applied", 2)
    rig.wait(25)
    assert rig.running.secret == SECRET
    rig.receipt(SECRET)
    rig.push(3, document(node_secret=other), "secret")
    rig.settle(other)
    assert rig.state() == ("verified", 3)
    rig.push(4, document(node_secret=other), "secret", SECRET)
    assert rig.last("config_report")["reason"] == "signature"
    rig.push(4, document(node_secret=other), "secret", other)
    rig.settle(other)
    assert rig.state() == ("verified", 4)


def test_a_first_secret_needs_the_claim_key_where_there_is_one():
    """`open` is for nodes without one; `claim` brings a node back that lost its gateway (B5)."""
    rig = Rig(claim_key="k" * 32)
    rig.receipt()
    rig.push(1, document())
    assert rig.last("config_report")["reason"] == "signature"
    rig.push(1, document(), "claim", "k" * 32)
    rig.settle()
    assert rig.state() == ("verified", 1)
    rig.push(2, document(node_secret="t" * 64), "claim", "k" * 32)
    rig.settle("t" * 64)
    assert rig.state() == ("verified", 2)


def test_a_document_without_any_secret_could_never_prove_itself():
    """It is rejected at once, rather than tried for two minutes."""
    rig = Rig(claim_key="k" * 32)
    rig.push(1, document(node_secret=None), "claim", "k" * 32)
    assert rig.last("config_report")["path"] == "node_secret"


def test_a_plain_document_is_applied_and_proved_by_its_report():
    """As the field's gateways publish it: bind, reconnect, a PUBACKed report (B5, A6.2)."""
    rig = Rig()
    bound = document(gh_uid="gh-1", zone_uid="zn-3", node_secret=None)
    rig.message(TEMP + "/config", bound)
    rig.wait(2)
    assert rig.topic_of("config_report") == "hydro/gh-1/zn-3/nd-ph-1/config_report"
    assert rig.last("config_report")["channels"] == bound["channels"]
    assert not rig.node.store.trial
    rig.boot()
    rig.wait(2)
    assert rig.node.place()[0] == "gh-1"
    writes = rig.writes
    rig.message(TEMP + "/config", bound)
    assert rig.writes == writes


def test_a_plain_document_without_a_puback_is_left():
    """No acknowledgement, no proof."""
    rig = Rig(trial_s=20)
    rig.pubacks = False
    rig.message(TEMP + "/config", document(gh_uid="gh-1", zone_uid="zn-3", node_secret=None))
    rig.wait(30)
    assert rig.node.place()[0] == "gh-temp"
    assert rig.state(0) == ("rolled_back", 0)


def test_a_retained_plain_document_that_failed_is_not_tried_for_ever():
    """It comes with every subscription (C4), and would cut the node off again and again."""
    rig = Rig(trial_s=20)
    bad = document(gh_uid="gh-1", zone_uid="zn-3", mqtt={"host": "nowhere", "port": 1})
    rig.message(TEMP + "/config", bad)
    rig.wait(30)
    assert rig.node.connected
    writes = rig.writes
    rig.message(TEMP + "/config", bad)
    assert rig.writes == writes
    assert rig.state(0) == ("rolled_back", 0)
    rig.wait(60)
    assert rig.node.connected


def test_a_plain_document_is_refused_once_a_signed_one_was_proved():
    """Else anybody on the network could undo the signature; `legacy` in node.json allows it."""
    plain = document(gh_uid="gh-9", zone_uid="zn-9")
    rig = Rig()
    rig.adopt()
    rig.message(TEMP + "/config", plain)
    assert rig.last("error")["error_code"] == "signature"
    assert rig.running.revision == 1
    rig = Rig(legacy=True)
    rig.adopt()
    rig.message(TEMP + "/config", plain)
    rig.wait(2)
    assert rig.node.place()[0] == "gh-9"


def test_temp_to_temp_and_unchanged_plain_documents_are_not_applied():
    """The rules 2 and 3 of A6.2: answered with a report, and that is all."""
    rig = Rig()
    rig.message(TEMP + "/config", document(node_secret=None))
    assert rig.writes == 0
    assert len(rig.heard("config_report")) == 2


def test_c7_placeholders_keep_wifi_and_broker():
    """`{"configured": true}`, an empty object and nothing at all leave what the node has."""
    for given in ({"configured": True}, None):
        rig = Rig()
        wifi = {"ssid": "green", "pass": "house"}
        rig.adopt(1, wifi=wifi, mqtt={"host": "one", "port": 1883, "username": "u"})
        rig.push(2, document(wifi=given, channels=[]), "secret")
        rig.settle()
        assert rig.state() == ("verified", 2)
        rig.boot()
        assert rig.running.values["wifi"] == wifi
        assert rig.running.values["mqtt"]["username"] == "u"


def test_c8_a_push_without_the_secret_keeps_it():
    """Else the next command could not be checked."""
    rig = Rig()
    rig.adopt()
    rig.push(2, document(node_secret=None), "secret")
    rig.settle()
    rig.boot()
    assert rig.running.revision == 2
    assert rig.running.secret == SECRET


def test_c9_a_push_without_calibration_keeps_it():
    """Missing or empty: each part that the push does not bring is the old one."""
    rig = Rig()
    rig.adopt(1, calibration={"ph": {"a": 1}, "ec": {"b": 2}})
    for number, given in enumerate((None, {}, {"ph": {}}, {"ec": {"b": 2}})):
        rig.push(number + 2, document(calibration=given), "secret")
        rig.settle()
        rig.boot()
        assert rig.running.revision == number + 2
        assert rig.running.values["calibration"] == {"ph": {"a": 1}, "ec": {"b": 2}}
        rig.wait(2)
        rig.receipt(SECRET)


def test_c10_an_envelope_that_changes_only_wifi_or_mqtt_is_applied():
    """For an envelope only revision, hash and signature decide (B5)."""
    rig = Rig()
    rig.adopt()
    rig.push(2, document(mqtt={"host": "one", "port": 1884}), "secret")
    rig.settle()
    assert rig.state() == ("verified", 2)
    assert rig.opened[-1][1]["port"] == 1884


def test_what_flash_holds_is_the_document_as_received():
    """`config_sha256` is that of the bytes on the wire, whatever the order of their keys."""
    rig = Rig()
    rig.receipt()
    text = json.dumps(document()).replace(", ", " ,\n").replace("nd-ph-1", "nd-ph-2")
    rig.push(1, text)
    rig.settle()
    assert rig.running.sha == protocol.sha256_hex(text.encode())
    rig.boot()
    assert rig.last("node_hello")["config_sha256"] == protocol.sha256_hex(text.encode())


def test_both_records_lost_runs_a_config_that_was_there():
    """Nobody knows which of the two was proved: the newer must prove itself, with the older behind."""
    rig = Rig(trial_s=20)
    rig.adopt(1)
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    rig.record = None
    rig.boot()
    assert rig.running.revision == 2
    assert rig.running.secret == SECRET
    rig.receipt(SECRET)
    assert rig.state() == ("verified", 2)
