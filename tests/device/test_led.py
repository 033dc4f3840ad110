"""The light: what it shows in each state of a real node, on a strict stand-in for a pin."""

from fake_machine import Bench
from gwnode import board, led, log
from rig import SECRET, Rig, document

REAL = board.machine, log.error
PIN = 25


def teardown_function(_):
    """The board is what it was (pytest calls this; in MicroPython each file has its own process)."""
    board.machine, log.error = REAL


def light(**settings):
    bench = Bench()
    board.machine = bench.machine
    settings["led"] = PIN
    return led.Led(settings), bench.outputs[PIN]


def shown(rig, seconds=1):
    """What a person sees from the next full second on, a character for each tenth of a second."""
    made, outputs = light()
    made.turn(rig.node, rig.now)
    rig.wait((1000 - rig.now % 1000 + 200) / 1000)  # a beat of before this moment is over
    rig.wait((1000 - rig.now % 1000) / 1000)
    made.turn(rig.node, rig.now - 50)
    seen = ""
    for _ in range(seconds * 10):
        made.turn(rig.node, rig.now)
        seen += ".#"[int(outputs[-1])]
        rig.wait(0.1)
    return seen


def test_each_state_has_its_pattern():
    """Looking for the broker, asking for a receipt, on trial, in safe mode."""
    rig = Rig(mqtt={"host": "two", "port": 1})
    assert led.state(rig.node) == "looking"
    assert shown(rig) == led.PATTERNS["looking"]
    rig = Rig()
    assert led.state(rig.node) == "asking"
    assert shown(rig) == led.PATTERNS["asking"]
    rig.receipt(accepted=False, reason="pending_approval")
    assert shown(rig) == led.PATTERNS["asking"]
    rig = Rig(trial_s=60)
    rig.adopt(1)
    rig.push(2, document(channels=[]), "secret")
    rig.wait(2)
    assert shown(rig) == led.PATTERNS["trial"]
    rig.receipt(SECRET)
    assert led.state(rig.node) == "heard"
    rig = Rig()
    rig.bad_boots = 5
    rig.boot()
    rig.receipt()
    assert shown(rig) == led.PATTERNS["safe mode"]


def test_a_node_that_is_heard_blinks_at_each_beat_and_is_dark_between():
    """One tenth of a second of light in each interval, and no more than beats were said."""
    rig = Rig(interval_s=2)
    rig.receipt()
    before = len(rig.heard("heartbeat"))
    seen = shown(rig, 20)
    beats = len(rig.heard("heartbeat")) - before
    assert 9 <= seen.count("#") <= beats
    assert "##" not in seen


def test_patterns_are_told_apart():
    """Ten tenths each, no two alike, and none that a dark light or a steady one could be."""
    rows = list(led.PATTERNS.values())
    assert len(set(rows)) == len(rows)
    for row in rows:
        assert len(row) == 10
        assert set(row) == {"#", "."}


def test_a_light_that_is_on_at_low_is_turned_round():
    """`led_invert`: dark is high, from the first moment on."""
    made, outputs = light(led_invert=True)
    assert [int(value) for value in outputs] == [1]
    made.show(True)
    made.show(False)
    assert [int(value) for value in outputs] == [1, 0, 1]


def test_a_pin_that_cannot_be_had_costs_the_light_alone():
    """A board without such a pin, or no board at all: it is told, and the node goes on."""
    rig = Rig()
    told = []
    log.error = told.append
    for machine in (None, object(), Bench().machine):
        board.machine = machine
        made = led.Led({"led": "NOWHERE"})
        made.turn(rig.node, 0)
        made.show(True)
    assert [text[:5] for text in told] == ["led: "] * 3
