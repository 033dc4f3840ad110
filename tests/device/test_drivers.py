"""Drivers against a strict stand-in for `machine`: what they do to pins, and what they make of values."""

import sys

from fake_machine import Bench, OneWire, Sht3x
from gwnode import board, wiring

REAL = board.machine, board.sleep_ms


def teardown_function(_):
    """The board is what it was (pytest calls this; in MicroPython each file has its own process)."""
    board.machine, board.sleep_ms = REAL
    sys.modules.pop("onewire", None)
    sys.modules.pop("ds18x20", None)


def bench():
    made = Bench()
    board.machine = made.machine
    board.sleep_ms = lambda ms: setattr(made, "waited", made.waited + ms)
    return made


def driver(name, pins, **channel):
    module = __import__("gwnode.drivers." + name, None, None, ("Driver",))
    return module.Driver(pins, channel)


def raised(call, *words):
    try:
        call(*words)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return ""


def test_an_analog_input_reads_volts_or_what_scale_makes_of_them():
    """65535 are 3.3 V; scale and offset come after."""
    at = bench()
    at.volts[26] = 65535
    assert abs(driver("analog", [26]).read() - 3.3) < 0.001
    assert abs(driver("analog", [26], scale=2, offset=-1).read() - 5.6) < 0.001


def test_a_digital_input_can_be_inverted():
    """1 while high, or while low."""
    at = bench()
    plain = driver("digital", [3], pull="up")
    other = driver("digital", [4], invert=True)
    at.inputs.update({3: 1, 4: 1})
    assert (plain.read(), other.read()) == (1, 0)
    at.inputs.update({3: 0, 4: 0})
    assert (plain.read(), other.read()) == (0, 1)


def test_pulses_are_counted():
    """Falling edges since the boot, times scale; nothing is heard after close()."""
    at = bench()
    counter = driver("pulse", [5], scale=0.5, metric="WATER_LEVEL")
    for _ in range(7):
        at.pulse(5)
    assert counter.read() == 3.5
    at.pulse(5)
    assert counter.read() == 4
    counter.close()
    at.pulse(5)
    assert counter.read() == 4


def test_a_flow_is_pulses_each_second():
    """What came since the last reading, over the time that it took."""
    at = bench()
    clock = [1000]
    known, board.now_ms = board.now_ms, lambda: clock[0]
    try:
        counter = driver("pulse", [5], metric="FLOW_RATE", scale=10)
        for _ in range(6):
            at.pulse(5)
        clock[0] += 2000
        assert counter.read() == 30
        clock[0] += 2000
        assert counter.read() == 0
    finally:
        board.now_ms = known


def test_a_relay_is_off_from_the_first_moment():
    """The level is set with the direction, so that it never clicks; inverted boards switch at low."""
    at = bench()
    plain = driver("relay", [15])
    other = driver("relay", [16], invert=True)
    assert (at.outputs[15], at.outputs[16]) == ([0], [1])
    for level, seen in ((255, 1), (0, 0), (128, 1), (127, 0)):
        plain.do(level)
        other.do(level)
        assert (at.outputs[15][-1], at.outputs[16][-1]) == (seen, 1 - seen)


def test_a_pwm_has_the_whole_range():
    """0 is off, 255 is on all the time; close() gives the pin back."""
    at = bench()
    output = driver("pwm", [2])
    assert at.duties[2] == 0
    output.do(255)
    assert at.duties[2] == 65535
    output.do(1)
    assert at.duties[2] == 257
    output.close()
    assert at.duties[2] is None


def test_an_sht3x_is_read_as_its_data_sheet_says():
    """Temperature and humidity from one measurement, after 15 ms, with their checksums."""
    at = bench()
    at.i2c[68] = Sht3x(at, 0x6666, 0x8000)
    assert abs(driver("sht3x", [5, 4], metric="TEMPERATURE").read() - 25) < 0.01
    assert abs(driver("sht3x", [5, 4], metric="HUMIDITY").read() - 50) < 0.01
    at.i2c[68].spoilt = True
    assert raised(driver("sht3x", [5, 4]).read) == "OSError"
    assert raised(driver("sht3x", [5, 4], address=69).read) == "OSError"


def test_a_thermometer_is_read_in_two_steps():
    """The first read starts the conversion and has no value; of many on a wire rom names one."""
    bench()
    wire = OneWire()
    wire.roms = {b"\x28\xff\x00\x01": 19.5}
    sys.modules["onewire"] = sys.modules["ds18x20"] = wire
    first = driver("ds18x20", [2])
    assert first.read() is None
    assert first.read() == 19.5
    wire.roms[b"\x28\xff\x00\x02"] = 30
    second = driver("ds18x20", [2], rom="28ff0002")
    assert [second.read(), second.read()] == [None, 30]
    assert [second.read(), second.read()] == [None, 30]
    assert raised(driver("ds18x20", [2], rom="28ff0003").read) == "OSError"


def test_every_kind_has_a_simulated_driver():
    """Sensors read numbers that change, actuators take levels, and no pin is touched."""
    from gwnode.drivers import sim

    at = bench()
    for name in wiring.DRIVERS:
        made = sim.kind(name)([], {"name": "x"})
        if name in wiring.ACTUATORS:
            made.do(255)
            assert made.level == 255
        else:
            assert made.read() >= 0
    assert at.users == {}


def test_the_stand_in_is_strict():
    """It refuses what a real board might let pass: a driver that works here uses pins as it should."""
    at = bench()
    machine = at.machine
    machine.Pin(1, machine.Pin.OUT)
    assert raised(machine.Pin, 1, machine.Pin.IN) == "ValueError"
    assert raised(machine.Pin(1, machine.Pin.OUT).value, 2) == "ValueError"
    assert raised(machine.PWM(machine.Pin(2), 1000, 0).duty_u16, 65536) == "ValueError"
    assert raised(machine.SoftI2C, machine.Pin(3), machine.Pin(3)) == "ValueError"
