"""A channel's wiring: pins from node.json, drivers by kind, and every mistake told with its path."""

from gwnode import check, wiring

GOOD = {
    "name": "pump",
    "type": "ACTUATOR",
    "actuator_type": "PUMP",
    "relay_type": "NO",
    "driver": "relay",
    "pin": 5,
    "metric": "PH",
    "unit": "ml",
    "pull": "up",
    "poll_interval_ms": 1000,
    "precision": 2,
    "dead_band": 0.5,
    "scale": 2,
    "offset": -1,
    "ml_per_second": 1.5,
    "safe_limits": {"max_duration_ms": 60000, "min_off_ms": 5000, "fail_safe_mode": "NO"},
}
WRONG = (None, True, [], {}, "", "x", -1, 1.5, 0, 1 << 40)
# what is right for a field although it is in WRONG
RIGHT = {
    "type": (None, "", "x"),
    "actuator_type": (None, "", "x"),
    "metric": (None, "", "x"),
    "unit": (None, "", "x"),
    "pull": (None, "", "x"),
    "driver": (None, ""),
    "name": ("x",),
    "pin": ("x", 0, 1 << 40),
    "precision": (0,),
    "dead_band": (1.5, 0, 1 << 40),
    "scale": (-1, 1.5, 0, 1 << 40),
    "offset": (-1, 1.5, 0, 1 << 40),
    "ml_per_second": (1.5, 1 << 40),
    "safe_limits": (None, {}),
    "max_duration_ms": (0,),
    "min_off_ms": (0,),
}


DOC = {"node_id": "nd-1", "version": 3, "type": "ph", "gh_uid": "gh-temp", "zone_uid": "zn-temp"}


def problem(*channels, **settings):
    return check.problem(dict(DOC, channels=list(channels), mqtt={"configured": True}), settings)


def test_a_good_channel_has_no_problem():
    """Every field that the firmware knows, with a good value."""
    assert problem(GOOD) is None


def test_each_field_of_the_wrong_type_is_told_with_its_path():
    """Whatever a config holds, what follows needs no second look at its type."""
    count = 0
    for name in GOOD:
        for value in WRONG:
            if value in RIGHT.get(name, ()) and not isinstance(value, bool):
                continue
            found = problem(dict(GOOD, **{name: value}))
            path = "channels[0].%s" % name
            assert found, (name, value)
            assert found[0].startswith(path) or name == "pin", (name, value, found)
            count += 1
    assert count > 80


def test_each_safe_limit_of_the_wrong_type_is_told_with_its_path():
    """The same one level down."""
    for name in GOOD["safe_limits"]:
        for value in WRONG:
            if value in RIGHT.get(name, ()) and not isinstance(value, bool):
                continue
            limits = dict(GOOD["safe_limits"], **{name: value})
            found = problem(dict(GOOD, safe_limits=limits))
            assert found
            assert found[0] == "channels[0].safe_limits." + name, (name, value)


def test_an_unknown_driver_is_refused():
    """By its path, so that a typing mistake does not become a silent channel."""
    assert problem(dict(GOOD, driver="relais")) == ("channels[0].driver", "Unknown driver")


def test_a_pin_used_twice_is_refused_but_for_buses():
    """Two thermometers may hang on one wire, two sensors on one I2C; a relay shares with nobody."""
    other = dict(GOOD, name="other")
    assert problem(GOOD, other) == ("channels[1].pin", "Pin 5 is used twice")
    assert problem(GOOD, dict(other, pin=6)) is None
    assert problem({"name": "i2c", "driver": "sht3x", "pin": [4, 4]}) is None
    for driver, pins in (("ds18x20", 7), ("sht3x", [8, 9])):
        one = {"name": "one", "driver": driver, "pin": pins}
        two = dict(one, name="two")
        assert problem(one, two) is None
        found = problem(one, {"name": "three", "driver": "digital", "pin": 7}, dict(two, pin=8))
        assert found, driver


def test_names_are_unique_and_fit_a_topic():
    """They become a level of one (B1)."""
    assert problem(GOOD, dict(GOOD, pin=6))[0] == "channels[1].name"
    for name in ("a/b", "+", "#", "A b", "x" * 64, "-x"):
        assert problem(dict(GOOD, name=name))[0] == "channels[0].name", name


def test_pins_come_from_node_json_and_win():
    """Backends strip pins; what the owner of the board wrote counts."""
    plain = {"name": "pump", "actuator_type": "PUMP"}
    pins = {"pump": 3, "fan": {"pin": 4, "invert": True, "driver": "pwm"}}
    assert wiring.wired(plain, pins)["pin"] == 3
    assert wiring.wired(dict(plain, pin=9), pins)["pin"] == 3
    fan = wiring.wired({"name": "fan"}, pins)
    assert (wiring.driver_of(fan, False), fan["invert"]) == ("pwm", True)
    assert problem(plain, {"name": "x", "driver": "relay", "pin": 3}, pins=pins)[0] == (
        "channels[1].pin"
    )
    assert wiring.wired(plain, None) is plain


def test_the_driver_follows_from_what_the_channel_is():
    """A channel with a pin has the usual driver of its kind; one without a pin is there in name only."""
    for channel, driver in (
        ({"type": "SENSOR", "metric": "PH"}, "analog"),
        ({"type": "SENSOR", "metric": "WATER_LEVEL_SWITCH"}, "digital"),
        ({"type": "SENSOR", "metric": "FLOW_RATE"}, "pulse"),
        ({"type": "ACTUATOR", "actuator_type": "PERISTALTIC_PUMP"}, "relay"),
        ({"type": "ACTUATOR", "actuator_type": "LED"}, "pwm"),
        ({"type": "ACTUATOR"}, "relay"),
        ({"type": "ACTUATOR", "actuator_type": "SYSTEM"}, None),
        ({"type": "ACTUATOR", "actuator_type": "DRIVE"}, None),
    ):
        assert wiring.driver_of(dict(channel, pin=1), False) == driver, channel
        assert wiring.driver_of(channel, True) == driver, channel
        assert wiring.driver_of(channel, False) is None, channel


def test_a_driver_has_all_its_pins():
    """One pin for a relay, two for I2C; simulated ones need none."""
    bus = {"name": "air", "driver": "sht3x"}
    assert problem(dict(bus, pin=4)) == ("channels[0].pin", "sht3x needs 2 pin(s)")
    assert problem(bus) == ("channels[0].pin", "sht3x needs 2 pin(s)")
    assert problem(bus, simulate=True) is None
    assert problem(dict(bus, pin=[4, 5])) is None
    assert problem(dict(GOOD, pin=[4, 5])) == ("channels[0].pin", "relay needs 1 pin(s)")


def test_the_lights_pin_is_nobody_elses():
    """A pump at the pin of the node's own light would run in its rhythm."""
    assert problem(GOOD, led=5) == ("channels[0].pin", "Pin 5 is used twice")
    assert problem(GOOD, led=6) is None
    assert problem(GOOD, led="LED") is None
    assert problem(GOOD, led=None) is None
