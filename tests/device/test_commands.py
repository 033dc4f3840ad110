"""Commands: checked in the order of A7, answered as A7.1 says, done once."""

import json
import struct

from gwnode import protocol
from rig import HARDWARE, SECRET, TEMP, UNIX, Rig


def ready(**settings):
    rig = Rig(**settings)
    rig.adopt()
    return rig


def code(answers):
    assert len(answers) == 1, answers
    return answers[0]["status"], answers[0].get("error_code")


def test_the_checks_come_in_their_order():
    """Each case has this and everything behind it wrong; the first is what is told."""
    rig = ready()
    old = rig.node.unix(rig.now) - 100
    cases = (
        ({"cmd": 7, "ts": None, "sig": None}, ("INVALID", "invalid_command_format")),
        ({"cmd": "", "ts": None, "sig": None}, ("INVALID", "invalid_command_format")),
        ({"cmd": "x" * 32, "ts": None, "sig": None}, ("INVALID", "invalid_command_format")),
        ({"ts": None, "sig": None}, ("ERROR", "hmac_required")),
        ({"ts": None, "sig": "0" * 64}, ("ERROR", "invalid_hmac_format")),
        ({"ts": old, "sig": None}, ("ERROR", "invalid_hmac_format")),
        ({"ts": True, "sig": "0" * 64}, ("ERROR", "invalid_hmac_format")),
        ({"ts": 1.5, "sig": "0" * 64}, ("ERROR", "invalid_hmac_format")),
        ({"ts": old, "sig": "0" * 63}, ("ERROR", "invalid_hmac_format")),
        ({"ts": old, "sig": "0" * 64}, ("ERROR", "timestamp_expired")),
        ({"sig": "0" * 64}, ("ERROR", "invalid_signature")),
        ({"secret": "x" * 64}, ("ERROR", "invalid_signature")),
        ({"cmd": "unheard_of", "params": 7}, ("INVALID", "unknown_command")),
        ({"params": 7}, ("INVALID", "invalid_params_format")),
    )
    for number, (changes, expected) in enumerate(cases):
        changes = dict(changes)
        name = changes.pop("cmd", "restart")
        answers = rig.command("x", cmd=name, cmd_id="c%d" % number, **changes)
        assert code(answers) == expected, changes
        assert answers[0]["cmd_id"] == "c%d" % number
    assert rig.restarts == []


def test_without_a_secret_nothing_is_done():
    """A node that has none says so, before it looks at the signature."""
    rig = Rig()
    rig.receipt()
    assert code(rig.command("restart", sig="0" * 64)) == ("ERROR", "missing_node_secret")
    assert rig.restarts == []


def test_without_a_clock_nothing_is_done_but_setting_it():
    """A window of ten seconds needs a time (A7)."""
    rig = ready()
    rig.boot()
    rig.wait(1)
    assert code(rig.command("restart", ts=UNIX)) == ("ERROR", "time_not_synced")
    set_time = rig.command("set_time", ts=UNIX, params={"unix_ts": UNIX})
    assert code(set_time) == ("DONE", None)
    assert rig.clocks[-1] == UNIX


def test_before_a_receipt_nobody_takes_the_clock_behind_what_is_past():
    """A recorded set_time, or a broadcast, of before what the node kept on flash sets no clock, and no
    command of then is done; a receipt is believed whatever it says."""
    rig = ready()
    rig.boot()
    rig.wait(1)
    rig.node.past = UNIX
    old = UNIX - 3600
    set_time = rig.command("set_time", ts=old, params={"unix_ts": old})
    assert code(set_time) == ("ERROR", "timestamp_expired")
    rig.message("hydro/time/response", {"unix_ts": old})
    assert (rig.node.wall, rig.clocks.count(old)) == (None, 0)
    set_time = rig.command("set_time", ts=UNIX + 60, params={"unix_ts": UNIX + 60})
    assert code(set_time) == ("DONE", None)
    rig.boot()
    rig.wait(1)
    rig.node.past = UNIX + 86400 * 365  # somebody's clock was ahead once
    rig.receipt(SECRET, unix_ts=UNIX)
    assert code(rig.command("report_config", cmd_id="now")) == ("DONE", None)


def test_more_than_thirty_two_in_ten_seconds_are_busy_and_none_is_forgotten():
    """The thirty-third is BUSY and not done; all thirty-two are still known as done; it may come again
    under its id when the oldest can no longer be repeated."""
    rig = ready()
    start = rig.now
    for number in range(32):
        rig.wait(0.25)
        assert code(rig.command("set_time", cmd_id="c%d" % number, params=at(rig))) == (
            "DONE",
            None,
        )
    assert rig.now - start < 10000
    clocks = len(rig.clocks)
    words = {"cmd_id": "more", "params": at(rig)}
    assert code(rig.command("set_time", **words)) == ("BUSY", "command_queue_full")
    for number in range(32):
        assert code(rig.command("set_time", cmd_id="c%d" % number, params=at(rig))) == (
            "DONE",
            None,
        )
    assert len(rig.clocks) == clocks, "known ones are answered, not done again"
    rig.wait(20 - (rig.now - start) / 1000 + 0.3)
    words["params"] = at(rig)
    assert code(rig.command("set_time", **words)) == ("DONE", None)
    assert len(rig.clocks) == clocks + 1


def at(rig):
    return {"unix_ts": rig.node.unix(rig.now)}


def test_the_window_is_ten_seconds_on_either_side():
    """Ten are in, eleven are out."""
    rig = ready()
    now = rig.node.unix(rig.now)
    for shift, expected in ((-11, False), (-10, True), (0, True), (10, True), (11, False)):
        answers = rig.command("report_config", ts=now + shift, cmd_id="s%d" % (shift + 20))
        assert (answers[0]["status"] == "DONE") == expected, shift


def test_an_old_time_cannot_be_set_by_an_old_command():
    """What was signed long ago must not take the clock back to its own time."""
    rig = ready()
    now = rig.node.unix(rig.now)
    clocks = len(rig.clocks)
    answers = rig.command("set_time", params={"unix_ts": now - 3600})
    assert code(answers) == ("INVALID", "invalid_params")
    for wrong in ({}, {"unix_ts": "x"}, {"unix_ts": True}, {"unix_ts": now + 0.5}):
        answers = rig.command("set_time", params=wrong, cmd_id="w%d" % rig.now)
        rig.wait(0.05)
        assert code(answers) == ("INVALID", "invalid_params")
    assert len(rig.clocks) == clocks


def test_a_duplicate_is_answered_the_same_and_done_once():
    """The first answer is repeated; the restart is not."""
    rig = ready()
    first = rig.command("restart", cmd_id="once", params={"reason": "x"})
    again = rig.command("restart", cmd_id="once", params={"reason": "x"})
    assert code(first) == code(again) == ("DONE", None)
    assert len(rig.restarts) == 1
    assert code(rig.command("unheard_of", cmd_id="bad")) == ("INVALID", "unknown_command")
    assert code(rig.command("unheard_of", cmd_id="bad")) == ("INVALID", "unknown_command")


def test_a_stranger_cannot_fill_the_memory_of_duplicates():
    """What is not signed is not remembered."""
    rig = ready()
    rig.command("restart", cmd_id="once")
    for number in range(100):
        rig.command("restart", secret="x" * 64, cmd_id="n%d" % number)
    rig.command("restart", cmd_id="once")
    assert len(rig.restarts) == 1
    assert len(rig.node.seen) == 1


def test_the_memory_of_duplicates_is_bounded():
    """32 of them."""
    rig = ready()
    for number in range(100):
        rig.command("report_config", cmd_id="n%d" % number)
    assert len(rig.node.seen) == 32


def test_what_may_come_again_is_not_forgotten_for_something_new():
    """While all 32 are young enough to be repeated another one waits; then it is done."""
    rig = ready()
    for number in range(32):
        rig.command("report_config", cmd_id="n%d" % number)
    assert code(rig.command("report_config", cmd_id="more")) == ("BUSY", "command_queue_full")
    rig.wait(21)
    assert code(rig.command("report_config", cmd_id="more")) == ("DONE", None)


def test_an_answer_has_milliseconds_and_goes_to_the_commands_channel():
    """A7.1: `ts` is in milliseconds, the topic is that of the channel."""
    rig = ready()
    answers = rig.command("report_config", channel="system")
    assert answers[0]["ts"] == rig.node.unix(rig.now) * 1000
    assert rig.topic_of("command_response") == TEMP + "/system/command_response"
    rig.command("set_pwm", channel="fan_1", cmd_id="fan", params={"value": 3})
    assert rig.topic_of("command_response") == TEMP + "/fan_1/command_response"
    assert rig.last("command_response")["error_code"] == "unsupported_channel_cmd"


def test_reports_are_made_when_asked_for():
    """Four names for one thing (A6.3)."""
    rig = ready()
    for name in ("report_config", "config_report", "get_config", "sync_config"):
        before = len(rig.heard("config_report"))
        assert code(rig.command(name, cmd_id=name)) == ("DONE", None)
        assert len(rig.heard("config_report")) == before + 1


def test_what_cannot_be_parsed_is_answered_where_its_id_can_be_found():
    """INVALID invalid_json; else silence (A7)."""
    rig = ready()
    topic = TEMP + "/system/command"
    rig.message(topic, b'{"cmd_id": "lost-1", "cmd": }')
    answer = rig.last("command_response")
    assert (answer["cmd_id"], answer["error_code"]) == ("lost-1", "invalid_json")
    count = len(rig.heard("command_response"))
    for silent in (
        b"",
        b"{",
        b'{"cmd_id": 7,',
        b'{"cmd_id": "a b",',
        b'{"cmd_id": "' + b"x" * 64 + b'",',
        b'{"cmd_id": "\xff",',
        b'{"cmd_id": "ok"' + b" " * 5000,
        b'["cmd_id"]',
        b"7",
        json.dumps({"cmd": "restart"}).encode(),
        json.dumps({"cmd": "restart", "cmd_id": "a/b"}).encode(),
    ):
        rig.message(topic, silent)
        assert len(rig.heard("command_response")) == count, silent


def test_the_signature_is_over_the_text_and_not_over_its_spelling():
    """White space, the order of keys and the case of the hex do not matter; a value does (A7)."""
    from gwnode import protocol

    rig = ready()
    now = rig.node.unix(rig.now)
    text = '{"params" : {"b":1.50, "a":[1e2,"\\u00e9"]},"cmd_id":"%s","cmd":"sync_config","ts":%d}'
    plain = text % ("k1", now)
    sig = protocol.sign_command(SECRET, plain.encode()).upper()
    signed = plain[:-1] + ', "sig": "' + sig + '"}'
    rig.message(TEMP + "/system/command", signed.encode())
    assert rig.last("command_response")["status"] == "DONE"
    changed = signed.replace("1.50", "1.51").replace("k1", "k1")
    rig.message(TEMP + "/system/command", changed.encode())
    assert rig.last("command_response")["error_code"] == "invalid_signature"


def test_a_hostile_number_does_not_hold_the_node_up():
    """A command that nobody signed costs no more work for a number with a huge exponent."""
    from gwnode import number

    assert number.canonical_number("1e-9999") == "0"
    assert number.canonical_number("-1E-0400") == "0"
    assert number.canonical_number("0." + "0" * 3000 + "1") == "0"
    assert HARDWARE.startswith("esp32-")


class Narrow:
    """json as on a board: its numbers with a point have 32 bits."""

    def __init__(self):
        self.narrowed = 0

    def loads(self, text):
        return self._narrow(json.loads(text))

    def _narrow(self, value):
        if isinstance(value, dict):
            return {key: self._narrow(value[key]) for key in value}
        if isinstance(value, list):
            return [self._narrow(one) for one in value]
        if isinstance(value, float):
            self.narrowed += 1
            if abs(value) > 3e38:
                return float("inf")
            return struct.unpack("<f", struct.pack("<f", value))[0]
        return value


def test_a_board_with_narrow_floats_checks_the_same_signature():
    """The signature is made on the text: what the numbers become in memory does not matter."""
    from gwnode import commands

    rig = ready()
    narrow = Narrow()
    commands.json, real = narrow, commands.json
    try:
        for number, value in enumerate(
            ("0.1", "16777217.5", "1.23456789012345", "5e-324", "1e300")
        ):
            # as a text, because the interpreter here may have no number for it either
            text = '{"cmd": "report_config", "cmd_id": "f%d", "ts": %d, ' % (
                number,
                rig.node.unix(rig.now),
            )
            text += '"params": {"ml": %s, "more": [%s, {"x": -%s}]}' % (value, value, value)
            sig = protocol.sign_command(SECRET, (text + "}").encode())
            text += ', "sig": "%s"}' % sig
            rig.message(rig.node.topic("command", "system"), text.encode())
            answer = rig.heard("command_response")[-1]
            assert (answer["cmd_id"], answer["status"]) == ("f%d" % number, "DONE"), value
    finally:
        commands.json = real
    assert narrow.narrowed > 9
