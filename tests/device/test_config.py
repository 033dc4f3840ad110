"""What flash and the wire may bring of a config: lost slots, foreign keys, names, broken texts (B5)."""

import json

from rig import SECRET, TEMP, Rig, document

OTHER = "o" * 64
CLAIM = "claim-key-of-this-board"


def lost(rig):
    """Flash forgot the slot that was proved last."""
    del rig.slots[rig.node.store.good.slot]
    rig.boot()


def test_a_lost_boot_record_costs_no_secret():
    """Both copies of the record gone: the newer slot proves itself again, the older one is behind."""
    rig = Rig()
    rig.adopt(1)
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    rig.record = None
    rig.boot()
    assert rig.running.revision == 2
    assert rig.node.store.good.revision == 1
    rig.settle()
    assert rig.node.store.good.revision == 2


def test_a_lost_good_slot_costs_no_secret():
    """The other proved one runs, not the factory's settings."""
    rig = Rig()
    rig.adopt(1)
    rig.push(2, document(channels=[]), "secret")
    rig.settle()
    lost(rig)
    assert rig.node.store.good.revision == 1
    assert rig.node.store.good.secret == SECRET


def test_with_everything_lost_it_is_a_new_node():
    """No slot, no record: the factory's settings, and a hello."""
    rig = Rig()
    rig.adopt(7)
    rig.slots, rig.record = {}, None
    rig.boot()
    assert (rig.running.revision, rig.running.secret) == (0, "")
    assert rig.last("node_hello")["config_revision"] == 0
    rig.adopt(1)


def test_a_gateway_with_a_new_database_takes_its_node_back():
    """In open mode, and under the claim key, a new secret replaces the one that the gateway lost."""
    for key, signer, settings in (("open", OTHER, {}), ("claim", CLAIM, {"claim_key": CLAIM})):
        rig = Rig(**settings)
        rig.receipt()
        rig.push(1, document(), key, signer if key == "claim" else SECRET)
        rig.settle()
        rig.push(2, document(node_secret=OTHER), key, signer)
        rig.settle(OTHER)
        assert rig.node.store.good.secret == OTHER, key


def test_a_wrong_key_word_is_a_wrong_signature():
    """`open` is not for a node with a claim key; a word that nobody knows signs nothing."""
    rig = Rig()
    rig.adopt()
    for key in ("claim", "", "SECRET", "secret ", None, 7, ["open"]):
        rig.push(2, document(channels=[]), key, "nobody's")
        assert (rig.last("config_report")["reason"], rig.running.revision) == ("signature", 1), key
    rig = Rig(claim_key=CLAIM)
    rig.receipt()
    rig.push(1, document(), "open")
    assert rig.last("config_report")["reason"] == "signature"


def test_names_that_cannot_be_topics_are_rejected():
    """gh_uid, zone_uid and node_id become topics: wildcards, slashes and blanks never get so far (B1)."""
    rig = Rig()
    rig.adopt()
    revision = 2
    for field in ("gh_uid", "zone_uid", "node_id"):
        for value in ("a/b", "a+", "#", "", "a b", "x" * 65, "-a", "\u00e9", 5):
            rig.push(revision, document(**{field: value}), "secret")
            report = rig.last("config_report")
            assert (report["state"], report.get("path")) == ("rejected", field), value
            revision += 1


def test_a_rejected_document_is_remembered_over_a_boot():
    """The same pair is answered the same way, and not looked at again."""
    rig = Rig()
    rig.adopt()
    for _ in range(2):
        rig.push(2, document(channels=[{"name": "fan", "actuator_type": "FAN"}]), "secret")
        report = rig.last("config_report")
        assert (report["state"], report["path"]) == ("rejected", "channels[0].relay_type")
        rig.boot()
    assert rig.running.revision == 1


def test_what_cannot_be_read_is_told_as_an_error():
    """Nobody waits for a time-out: an error with B8's word, and the config that runs goes on."""
    rig = Rig()
    rig.adopt()
    for payload, word in (
        (b"[" * 3500, "depth"),
        (b'{"doc":"{}","revision":2}', "schema"),
        (b'{"x":{"doc":"{}"},"sha256":"","revision":2}', "schema"),
        (b"\xff{}", "not_utf8"),
        (b'{"revision":1', "not_json"),
        (b"[]", "schema"),
        (b'{"doc":1,"revision":2}', "schema"),
        (b'"' + b"x" * 4200 + b'"', "too_big"),
    ):
        rig.message(TEMP + "/config", payload)
        error = rig.last("error")
        assert (error["component"], error["error_code"]) == ("config", word)
    assert rig.running.revision == 1


def units(code):
    """A character as UTF-16."""
    beyond = code - 0x10000
    return [code] if beyond < 0 else [0xD800 + (beyond >> 10), 0xDC00 + (beyond & 0x3FF)]


def test_a_text_of_any_spelling_is_kept_as_the_document_that_it_is():
    """Escapes of every kind are undone where the text stands, and a document may have a "doc" itself."""
    rig = Rig()
    rig.adopt()
    doc = document(
        channels=[], note='/ " \\ \b\f\n\r\t \u00e9 \U0001f331', doc="a text", more=["doc"]
    )
    text = json.dumps(doc)
    envelope = rig.envelope(2, text, "secret")
    spelled = "".join(["\\u%04X" % c for one in text for c in units(ord(one))])
    payload = json.dumps(envelope).replace(json.dumps(text), '"%s"' % spelled)
    rig.message(TEMP + "/config", payload.replace('"doc"', '"\\u0064oc" ').encode())
    rig.settle()
    assert rig.running.values["note"] == doc["note"]
    assert rig.slots[rig.running.slot].split(b"\n", 1)[1] == text.encode()
