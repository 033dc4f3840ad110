"""The node as a whole: its name spaces, its connection, what it says and how often."""

from rig import HARDWARE, SECRET, TEMP, UNIX, Rig, document

BOUND = {"gh_uid": "gh-1", "zone_uid": "zn-3"}


def test_a_new_node_lives_under_its_hardware_id():
    """Temp topics and a will there, with the boot's id (A1, B4)."""
    rig = Rig()
    assert rig.topic_of("config_report") == TEMP + "/config_report"
    _, mqtt, topic, will = rig.opened[0]
    assert mqtt["host"] == "one"
    assert topic == TEMP + "/lwt"
    assert will == {"status": "OFFLINE", "boot_id": rig.last("node_hello")["boot_id"]}
    for name in ("hello_ack", "config", "+/command"):
        assert TEMP + "/" + name in rig.filters
    assert "hydro/time/response" in rig.filters


def test_binding_moves_topics_and_will_and_keeps_the_temp_ones():
    """A bound node speaks under its place, and still listens where it was born (A1)."""
    rig = Rig()
    rig.adopt(1, **BOUND)
    rig.wait(30)
    home = "hydro/gh-1/zn-3/nd-ph-1"
    assert rig.opened[-1][2] == home + "/lwt"
    for kind in ("heartbeat", "status", "config_report"):
        assert rig.topic_of(kind) == home + "/" + kind
    for name in (TEMP + "/hello_ack", TEMP + "/config", TEMP + "/+/command"):
        assert name in rig.filters
    for name in (home + "/config", home + "/+/command"):
        assert name in rig.filters
    assert rig.command("report_config")[0]["status"] == "DONE"
    assert rig.topic_of("command_response") == home + "/system/command_response"


def test_unbinding_moves_back():
    """The hardware_id names it again."""
    rig = Rig()
    rig.adopt(1, **BOUND)
    rig.push(2, document(), "secret")
    rig.settle()
    rig.wait(30)
    assert rig.state() == ("verified", 2)
    assert rig.opened[-1][2] == TEMP + "/lwt"
    assert rig.topic_of("heartbeat") == TEMP + "/heartbeat"
    assert [name for name in rig.filters if "gh-1" in name] == []


def test_half_a_place_is_no_place():
    """One temp name makes both temp, in either spelling."""
    for place in (("gh-temp", "zn-3"), ("gh-1", "zn-temp"), ("GH-TEMP", "zn-3")):
        rig = Rig()
        rig.adopt(1, gh_uid=place[0], zone_uid=place[1])
        assert rig.node.place() == ("gh-temp", "zn-temp", HARDWARE), place


def test_every_message_counts_for_its_kind_and_names_the_boot():
    """B4: gaps and duplicates are known for all kinds; a boot begins at 1."""
    rig = Rig()
    rig.adopt()
    rig.wait(100)
    rig.command("report_config")
    rig.boot()
    rig.wait(5)
    found = {}
    for _, topic, message, _ in rig.said:
        key = (message["boot_id"], topic.split("/")[-1])
        found[key] = found.get(key, []) + [message["seq"]]
    assert len(found) > 8
    for key in found:
        assert found[key] == list(range(1, len(found[key]) + 1)), key


def test_a_beat_keeps_its_promise():
    """It says within what time the next one comes, and it comes."""
    rig = Rig(interval_s=5)
    rig.wait(60)
    assert rig.last("heartbeat")["interval_s"] == 5
    times = rig.times("heartbeat")
    for before, after in zip(times, times[1:]):
        assert after - before <= 5100


def test_a_broker_that_is_away_is_asked_more_and_more_seldom():
    """1, 2, 4 ... 60 s with jitter, and at once no longer than it takes to come back."""
    rig = Rig(mqtt={"host": "two", "port": 1})
    rig.wait(600)
    times = [when for when, _, _, _ in rig.opened]
    assert times[1] - times[0] <= 1100
    assert 12 <= len(times) <= 40
    assert max([after - before for before, after in zip(times, times[1:])]) <= 60100
    rig.brokers = ["two"]
    rig.wait(61)
    assert rig.node.connected


def test_a_broker_that_throws_us_out_is_not_asked_in_a_loop():
    """A connection that lives shorter than ten seconds counts as one that failed."""
    rig = Rig()
    for _ in range(8):
        rig.do(("lost", "reset"))
        while not rig.node.connected:
            rig.wait(0.1)
    times = [when for when, _, _, _ in rig.opened]
    assert times[-1] - times[0] > 8000
    rig.wait(20)
    rig.do(("lost", "reset"))
    rig.wait(1.1)
    assert rig.node.connected


def test_what_comes_for_a_connection_that_was_left_is_nothing():
    """A message that was read before a switch is not taken behind it."""
    rig = Rig()
    rig.do(("lost", "reset"))
    rig.push(1, document())
    assert rig.writes == 0


def test_no_secret_ever_leaves():
    """Not in a report, whatever the document hides it under (B5)."""
    rig = Rig()
    deep = [{"name": "x", "params": {"password": "hush", "node_secret": "hush", "psk": "hush"}}]
    mqtt = {"host": "one", "port": 1883, "username": "u", "password": "hush"}
    wifi = {"ssid": "home", "pass": "hush"}
    rig.adopt(1, channels=deep, mqtt=mqtt, wifi=wifi)
    rig.command("report_config")
    full = [m for m in rig.heard("config_report") if "channels" in m]
    assert full[-1]["channels"] == [{"name": "x", "params": {}}]
    assert full[-1]["wifi"] == {"configured": True}
    for _, _, message, _ in rig.said:
        text = repr(message)
        assert "hush" not in text
        assert SECRET not in text
        assert "home" not in text


def test_a_report_that_would_be_too_long_has_the_names():
    """B6: the channels' names stand for a document beyond 4,096 bytes."""
    rig = Rig()
    channels = [{"name": "c%d" % i, "note": "n" * 80} for i in range(20)]
    rig.adopt(1, calibration={"ph": {"note": "n" * 2000}})
    rig.push(2, document(channels=channels), "secret")
    rig.settle()
    report = rig.last("config_report")
    assert report["state"] == "verified"
    assert report["channels"] == [{"name": "c%d" % i} for i in range(20)]


def test_what_is_too_long_to_be_taken_is_told():
    """C5 and C6: a config beyond the buffer is no silence."""
    rig = Rig()
    rig.do(("oversized", TEMP + "/config", 5000))
    error = rig.last("error")
    assert (error["component"], error["error_code"]) == ("config", "too_big")
    assert "5000" in error["message"]


def test_time_stamps_are_integers():
    """A board's floats know the year to two minutes: none is used for a time."""
    rig = Rig()
    rig.receipt(unix_ts=UNIX)
    rig.wait(3)
    for kind in ("status", "heartbeat"):
        for name in ("ts", "uptime", "seq"):
            assert isinstance(rig.last(kind).get(name, 0), int)


def test_what_is_wrong_with_the_board_is_told_once():
    """Before there is a connection it waits for one; the same text is not told twice in a boot."""
    rig = Rig(mqtt={"host": "two", "port": 1})
    rig.do(("trouble", "flash", "slot.a damaged"))
    rig.do(("trouble", "flash", "slot.a damaged"))
    rig.brokers = ["two"]
    rig.wait(70)
    (error,) = rig.heard("error")
    assert (error["component"], error["error_code"]) == ("flash", "trouble")
    assert error["message"] == "slot.a damaged"
    for number in range(20):
        rig.do(("trouble", "flash", "boot record not written: %d" % number))
    assert len(rig.heard("error")) == 8


def test_a_crash_is_told_until_it_is_acknowledged_and_then_forgotten():
    """The traceback outlives connections and boots, and is told no more once the broker has it."""
    rig = Rig()
    rig.crash = "Traceback: ZeroDivisionError"
    rig.pubacks = False
    rig.boot()
    rig.do(("lost", "reset"))
    rig.wait(5)
    told = rig.heard("error", error_code="crash")
    assert [m["message"] for m in told] == ["Traceback: ZeroDivisionError"] * 2
    rig.pubacks = True
    rig.boot()
    assert rig.crash == ""
    rig.do(("lost", "reset"))
    rig.wait(5)
    rig.boot()
    assert len(rig.heard("error", error_code="crash")) == 3


def test_a_network_that_is_back_is_used_at_once():
    """The patience that a broker is owed is not owed to an access point that was switched off."""
    rig = Rig(mqtt={"host": "two", "port": 1})
    rig.wait(300)
    rig.brokers = ["two"]
    rig.do(("network",))
    rig.wait(1.1)
    assert rig.node.connected


def test_a_roll_back_says_what_kept_the_node_away():
    """The reason has the last failure on the way to the broker, so that a typo is seen for what it is."""
    rig = Rig(trial_s=5)
    rig.adopt()
    rig.push(2, document(mqtt={"host": "typo", "port": 1883}), "secret")
    rig.wait(15)
    (told,) = rig.heard("config_report", state="rolled_back")
    assert (told["revision"], told["reason"]) == (2, "no receipt within 5 s (away)")
