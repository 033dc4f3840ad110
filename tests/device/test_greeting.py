"""Hello, receipt and clock: asked until answered, and nothing is believed that is not signed."""

from gwnode import protocol
from rig import HARDWARE, SECRET, TEMP, UNIX, Rig


def pauses(rig):
    times = rig.times("node_hello")
    return [after - before for before, after in zip(times, times[1:])]


def test_hello_is_repeated_with_growing_pauses_until_a_receipt():
    """1, 2, 4 ... 60 s with full jitter, each with the next seq; a receipt ends it."""
    rig = Rig()
    rig.wait(30)
    found = pauses(rig)
    assert len(found) >= 4
    for number, pause in enumerate(found):
        assert (1000 << number) // 8 - 50 <= pause <= (1000 << number) + 50
    assert [m["seq"] for m in rig.heard("node_hello")] == list(range(1, len(found) + 2))
    rig.receipt()
    before = len(found)
    rig.wait(300)
    assert len(pauses(rig)) == before


def test_two_nodes_do_not_ask_in_step():
    """The pauses come from chance, so that a fleet that lost its power does not come back as one."""
    one, other = Rig(seed=1), Rig(seed=2)
    one.wait(20)
    other.wait(20)
    assert one.times("node_hello") != other.times("node_hello")


def test_ten_unanswered_hellos_make_it_one_a_minute_and_beats_go_on():
    """A gateway that knows no receipts is not flooded, and sees a live node."""
    rig = Rig(interval_s=15)
    rig.wait(1200)
    late = pauses(rig)[9:]
    assert len(late) >= 8
    assert min(late) >= 60000
    assert max(late) <= 67000
    assert 78 <= len(rig.heard("heartbeat")) <= 82
    assert [m["seq"] for m in rig.heard("heartbeat")][:3] == [1, 2, 3]


def test_every_connect_says_hello_again():
    """A receipt belongs to a connection."""
    rig = Rig()
    rig.receipt()
    rig.do(("lost", "reset"))
    rig.wait(10)
    assert len(rig.heard("node_hello")) > 1
    assert rig.last("node_hello")["seq"] == len(rig.heard("node_hello"))


def test_a_receipt_sets_the_clock_and_online_follows():
    """ONLINE is said, retained, once the time is known and not before (A3)."""
    rig = Rig()
    assert rig.heard("status") == []
    rig.receipt(unix_ts=UNIX)
    assert rig.clocks == [UNIX]
    assert [m["ts"] for m in rig.heard("status")] == [UNIX]
    assert [retained for _, t, _, retained in rig.said if t.endswith("/status")] == [True]


def test_an_unsigned_or_wrongly_signed_receipt_is_only_somebody():
    """A node with a secret sets no clock by it, and goes on asking once a minute (B3)."""
    for wrong in ({}, {"sig": "0" * 64}, {"sig": None}, {"sig": 7}, {"secret": "x" * 64}):
        rig = Rig()
        rig.adopt()
        rig.do(("lost", "reset"))
        rig.wait(2)
        clocks, hellos = len(rig.clocks), len(rig.heard("node_hello"))
        rig.receipt(**wrong)
        assert len(rig.clocks) == clocks
        rig.wait(59)
        assert len(rig.heard("node_hello")) == hellos
        rig.wait(10)
        assert len(rig.heard("node_hello")) == hellos + 1
        rig.receipt(SECRET)
        rig.wait(200)
        assert len(rig.heard("node_hello")) == hellos + 1


def test_a_receipt_is_signed_over_what_it_says():
    """Each field under the signature, changed behind it, makes it worth nothing."""
    rig = Rig()
    rig.adopt()
    rig.do(("lost", "reset"))
    rig.wait(2)
    said = rig.last("node_hello")
    names = ("hardware_id", "boot_id", "seq", "unix_ts", "config_revision")
    good = [HARDWARE, said["boot_id"], said["seq"], UNIX, 1]
    for at, other in ((3, UNIX + 500), (4, 2)):
        signed = list(good)
        signed[at] = other
        fields = {names[i]: good[i] for i in range(len(names))}
        fields["sig"] = protocol.sign(SECRET, "hello_ack", *signed)
        clocks = len(rig.clocks)
        rig.receipt(**fields)
        assert len(rig.clocks) == clocks


def test_receipts_for_others_are_nothing():
    """Another node's, an earlier boot's, or for a hello that was never said."""
    wrong = (
        {"hardware_id": "esp32-000000000000"},
        {"hardware_id": None},
        {"boot_id": "00000000"},
        {"boot_id": 1},
        {"seq": 2},
        {"seq": 0},
        {"seq": True},
        {"seq": "1"},
        {"seq": None},
    )
    for change in wrong:
        rig = Rig()
        rig.receipt(**change)
        assert rig.clocks == [], change
        rig.wait(2)
        assert len(rig.heard("node_hello")) >= 2, change


def test_not_accepted_asks_once_a_minute():
    """A pending node is patient, and says in its log why it waits."""
    rig = Rig()
    rig.receipt(accepted=False, reason="pending_approval")
    assert "not accepted: pending_approval" in rig.log
    rig.wait(59)
    assert len(rig.heard("node_hello")) == 1
    rig.wait(10)
    assert len(rig.heard("node_hello")) == 2
    rig.receipt()
    rig.wait(200)
    assert len(rig.heard("node_hello")) == 2


def test_a_strangers_words_do_not_reach_the_log():
    """What a receipt carries is printed only where it is a name."""
    rig = Rig()
    rig.receipt(accepted=False, reason="a\nb")
    rig.receipt(uid="x\r\nhello sent")
    assert [line for line in rig.log if "\n" in line or "\r" in line] == []


def test_the_time_is_asked_for_where_no_receipt_brings_it():
    """For gateways of the field (A3); a broadcast sets the clock, and a receipt corrects it."""
    rig = Rig()
    rig.wait(6)
    assert rig.heard("request")[0]["message_type"] == "time_request"
    rig.message("hydro/time/response", {"unix_ts": UNIX})
    assert rig.clocks == [UNIX]
    asked = len(rig.heard("request"))
    rig.wait(60)
    assert len(rig.heard("request")) == asked
    rig.receipt(unix_ts=UNIX + 100)
    rig.message("hydro/time/response", {"unix_ts": UNIX - 5000})
    assert rig.clocks == [UNIX, UNIX + 100]


def test_a_time_that_cannot_be_is_not_taken():
    """Years before 2001 and behind 2106, texts, true, halves."""
    for wrong in (0, 999999999, 4294967296, "1737355112", True, 1737355112.5, None):
        rig = Rig()
        rig.message("hydro/time/response", {"unix_ts": wrong})
        assert rig.clocks == [], wrong


def test_with_a_receipt_nobody_asks_for_the_time():
    """The receipt has brought it."""
    rig = Rig()
    rig.receipt()
    rig.wait(60)
    assert rig.heard("request") == []


def test_a_hello_is_signed_once_there_is_a_secret_and_claims_where_there_is_a_key():
    """B2 and B9: over what runs, with the secret on trial while one is on trial."""
    rig = Rig(claim_key="k" * 32)
    first = rig.last("node_hello")
    assert "sig" not in first
    text = HARDWARE + "\n" + first["boot_id"]
    assert first["claim"] == protocol.hmac_hex("k" * 32, text)
    rig.push(1, {"node_id": "x"}, "claim", "k" * 32)
    assert rig.state() == ("rejected", 1)
    rig = Rig()
    rig.adopt()
    hello = rig.last("node_hello")
    text = [HARDWARE, hello["boot_id"], hello["seq"], 1, rig.running.sha]
    assert hello["sig"] == protocol.sign(SECRET, "node_hello", *text)
    assert hello["config_revision"] == 1
    assert hello["config_sha256"] == rig.running.sha


def test_garbage_on_every_topic_changes_nothing():
    """What is refused is refused; the node goes on."""
    rig = Rig()
    garbage = (b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"a":1,"a":2}', b"[" * 200, b'"x"')
    before = rig.running
    for topic in rig.filters:
        for payload in garbage:
            rig.message(topic.replace("+", "system"), payload)
    rig.message(TEMP + "/hello_ack", b"[" * 3500)
    assert rig.running is before
    assert rig.clocks == []
    rig.receipt()
    assert len(rig.clocks) == 1
