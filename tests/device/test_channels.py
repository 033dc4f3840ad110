"""Channels: sensors are read in time and told when it is worth it, actuators keep their limits and fail safe."""

from rig import SECRET, TEMP, Rig

SENSOR = {"name": "air", "type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 1000}
PUMP = {
    "name": "pump",
    "type": "ACTUATOR",
    "actuator_type": "PERISTALTIC_PUMP",
    "ml_per_second": 2,
    "safe_limits": {"max_duration_ms": 60000, "min_off_ms": 5000},
}
FAN = {"name": "fan", "type": "ACTUATOR", "actuator_type": "PWM"}
VALVE = {"name": "valve", "type": "ACTUATOR", "actuator_type": "VALVE", "relay_type": "NC"}


def ready(*channels, **changes):
    """A node that runs these channels on simulated pins, long enough for a pump to have cooled down."""
    rig = Rig(simulate=True)
    rig.values["air"] = 20
    rig.adopt(channels=list(channels), **changes)
    rig.wait(10)
    return rig


def code(answers):
    return [(answer["status"], answer.get("error_code")) for answer in answers]


def values(rig):
    return [message["value"] for message in rig.heard("telemetry")]


def levels(rig, name="pump"):
    return [level for _, channel, level in rig.levels if channel == name]


def test_a_sensor_is_read_in_its_interval_and_told_in_batches():
    """One sample a second, told at least every five, with the metric, the time and its number."""
    rig = ready(SENSOR)
    rig.wait(20)
    told = rig.heard("telemetry")
    assert [one["n"] for one in told] == list(range(1, len(told) + 1))
    assert 22 <= len(told) <= 30
    first = told[0]
    assert (first["metric_type"], first["value"]) == ("TEMPERATURE", 20)
    assert told[9]["ts"] - first["ts"] == 9
    assert rig.topic_of("telemetry") == TEMP + "/air/telemetry"
    assert max(rig.times("telemetry")) > rig.now - 6000


def test_before_the_clock_is_known_nothing_is_told():
    """A8: a sample without a time is none."""
    rig = Rig(simulate=True)
    rig.adopt(channels=[SENSOR])
    rig.said.clear()
    rig.boot()
    rig.wait(30)
    assert rig.heard("telemetry") == []
    rig.receipt(SECRET)
    rig.wait(10)
    assert rig.heard("telemetry")[0]["n"] == 1


def test_a_dead_band_keeps_noise_quiet_but_not_for_ever():
    """A change below the band is not told; after five minutes the value is told all the same."""
    rig = ready(dict(SENSOR, dead_band=0.5))
    before = len(rig.heard("telemetry"))
    rig.values["air"] = 20.4
    rig.wait(60)
    assert len(rig.heard("telemetry")) == before
    rig.values["air"] = 20.5
    rig.wait(10)
    assert values(rig)[before:] == [20.5]
    rig.wait(300)
    assert values(rig)[before:] == [20.5, 20.5]


def test_precision_rounds():
    """What is told has the digits that the config asks for."""
    rig = ready(dict(SENSOR, precision=1))
    rig.values["air"] = 20.46
    rig.wait(10)
    assert values(rig)[-1] == 20.5


def test_a_driver_that_needs_time_is_asked_again():
    """None is no value: the driver is read again within a second."""
    rig = ready(dict(SENSOR, poll_interval_ms=60000))
    before = len(rig.heard("telemetry"))
    rig.values["air"] = None
    rig.wait(60)
    rig.values["air"] = 3
    rig.wait(7)
    assert values(rig)[before:] == [3]


def test_a_broken_sensor_is_told_once_and_costs_nobody_else():
    """One error for a boot; the other channel goes on, and the sensor when it is back."""
    rig = ready(SENSOR, dict(SENSOR, name="soil"))
    rig.values["air"] = OSError("no answer")
    rig.wait(30)
    assert len(rig.heard("error", component="air")) == 1
    assert rig.heard("telemetry")[-1]["value"] == 1
    rig.values["air"] = 7
    rig.wait(10)
    assert 7 in values(rig)


def test_a_config_without_drivers_has_no_channels():
    """A channel in name only costs nothing, and a command for it is answered."""
    rig = Rig()
    rig.adopt(channels=[SENSOR])
    rig.wait(30)
    assert rig.node.channels is None
    assert code(rig.command("test_sensor", channel="air")) == [
        ("INVALID", "unsupported_channel_cmd")
    ]


def test_test_sensor_answers_with_a_fresh_value():
    """DONE with value and unit in the details, or an error."""
    rig = ready(dict(SENSOR, unit="C", poll_interval_ms=60000))
    rig.values["air"] = 21.5
    before = len(rig.heard("command_response"))
    rig.command("test_sensor", channel="air", cmd_id="t1", params=None)
    rig.wait(1)
    (answer,) = rig.heard("command_response")[before:]
    assert (answer["status"], answer["details"]) == ("DONE", {"value": 21.5, "unit": "C"})
    rig.values["air"] = OSError("gone")
    rig.command("test_sensor", channel="air", cmd_id="t2")
    rig.wait(1)
    assert rig.last("command_response")["error_code"] == "handler_error"


# -- actuators --------------------------------------------------------------------------------


def test_a_pump_runs_as_long_as_it_was_told():
    """ACK when it runs, DONE when it has run."""
    rig = ready(PUMP)
    before = len(rig.heard("command_response"))
    assert code(rig.command("run_pump", channel="pump", params={"duration_ms": 3000})) == [
        ("ACK", None)
    ]
    rig.wait(2.9)
    assert levels(rig)[-1] == 255
    rig.wait(0.2)
    assert levels(rig)[-1] == 0
    assert code(rig.heard("command_response")[before:]) == [("ACK", None), ("DONE", None)]
    assert rig.topic_of("command_response") == TEMP + "/pump/command_response"


def test_a_dose_is_a_run():
    """10 ml at 2 ml a second are five seconds."""
    rig = ready(PUMP)
    rig.command("dose", channel="pump", params={"ml": 10})
    rig.wait(4.9)
    assert levels(rig)[-1] == 255
    rig.wait(0.2)
    assert levels(rig)[-1] == 0


def test_safe_limits_are_kept():
    """Not longer than max_duration_ms, not again before min_off_ms, not twice at once."""
    rig = ready(PUMP)
    long = rig.command("run_pump", channel="pump", cmd_id="a", params={"duration_ms": 60001})
    assert code(long) == [("INVALID", "invalid_params")]
    rig.command("run_pump", channel="pump", cmd_id="b", params={"duration_ms": 1000})
    twice = rig.command("run_pump", channel="pump", cmd_id="c", params={"duration_ms": 1000})
    assert code(twice) == [("BUSY", "actuator_busy")]
    rig.wait(1.1)
    soon = rig.command("run_pump", channel="pump", cmd_id="d", params={"duration_ms": 1000})
    assert code(soon) == [("BUSY", "pump_in_cooldown")]
    rig.wait(5)
    again = rig.command("run_pump", channel="pump", cmd_id="d", params={"duration_ms": 1000})
    assert code(again) == [("ACK", None)], "a BUSY one is not remembered"


def test_what_is_switched_on_without_an_end_has_one():
    """max_duration_ms ends it; without a limit it stays on."""
    rig = ready(PUMP, FAN)
    assert code(rig.command("set_relay", channel="pump", params={"state": True})) == [
        ("DONE", None)
    ]
    rig.command("set_pwm", channel="fan", cmd_id="f", params={"value": 100})
    rig.wait(59)
    assert levels(rig)[-1] == 255
    rig.wait(2)
    assert levels(rig)[-1] == 0
    assert levels(rig, "fan")[-1] == 100


def test_a_boot_does_not_shorten_the_cooling_down():
    """Nobody knows how long the pump was off before: the pause begins with the boot."""
    rig = ready(PUMP)
    rig.boot()
    rig.wait(1)
    rig.receipt(SECRET)
    early = rig.command("run_pump", channel="pump", cmd_id="a", params={"duration_ms": 10})
    assert code(early) == [("BUSY", "pump_in_cooldown")]


def test_off_breaks_a_run_off():
    """Off is always allowed; the run is told as interrupted, and answered so when it is asked again."""
    rig = ready(PUMP)
    rig.command("run_pump", channel="pump", cmd_id="run", params={"duration_ms": 30000})
    off = rig.command("set_relay", channel="pump", cmd_id="off", params={"state": 0})
    assert code(off) == [("ERROR", "interrupted"), ("DONE", None)]
    assert levels(rig)[-1] == 0
    again = rig.command("run_pump", channel="pump", cmd_id="run", params={"duration_ms": 30000})
    assert code(again) == [("ERROR", "interrupted")]
    assert levels(rig)[-1] == 0


def test_a_run_that_is_asked_for_again_is_acknowledged_and_not_repeated():
    """ACK while it runs, DONE when it has run, and one run."""
    rig = ready(PUMP)
    for _ in range(3):
        answers = rig.command("run_pump", channel="pump", cmd_id="a", params={"duration_ms": 2000})
        assert code(answers) == [("ACK", None)]
    rig.wait(3)
    late = rig.command("run_pump", channel="pump", cmd_id="a", params={"duration_ms": 2000})
    assert code(late) == [("DONE", None)]
    assert levels(rig).count(255) == 1


def test_what_acted_is_known_after_a_reboot():
    """The same command comes again within its ten seconds, to the next boot: it is not done again."""
    rig = ready(FAN)
    rig.command("set_pwm", channel="fan", cmd_id="once", params={"value": 9})
    assert rig.acted == [("once", None)]
    ts = rig.node.unix(rig.now)
    rig.boot()
    rig.wait(1)
    rig.receipt(SECRET)
    before = len(rig.levels)
    again = rig.command("set_pwm", channel="fan", cmd_id="once", params={"value": 9}, ts=ts)
    assert code(again) == [("ERROR", "command_already_failed")]
    assert len(rig.levels) == before


def test_what_is_refused_is_not_noted():
    """Flash is not worn by commands that do nothing."""
    rig = ready(PUMP)
    rig.command("run_pump", channel="pump", cmd_id="a", params={})
    rig.command("run_pump", channel="pump", cmd_id="b", secret="x" * 64, params={"duration_ms": 5})
    rig.command("set_pwm", channel="pump", cmd_id="c", params={"value": 1})
    rig.command("report_config", cmd_id="d")
    assert rig.acted == []


def test_parameters_of_the_wrong_kind_are_refused():
    """Each with invalid_params, and nothing moves."""
    rig = ready(PUMP, FAN)
    before = len(rig.levels)
    wrong = (
        ("pump", "run_pump", {}),
        ("pump", "run_pump", {"duration_ms": 0}),
        ("pump", "run_pump", {"duration_ms": -1}),
        ("pump", "run_pump", {"duration_ms": 300001}),
        ("pump", "run_pump", {"duration_ms": "5"}),
        ("pump", "run_pump", {"duration_ms": 5.5}),
        ("pump", "run_pump", {"duration_ms": True}),
        ("pump", "dose", {}),
        ("pump", "dose", {"ml": 0}),
        ("pump", "dose", {"ml": 501}),
        ("pump", "dose", {"ml": True}),
        ("pump", "dose", {"ml": "1"}),
        ("pump", "dose", {"ml": 0.0000001}),
        ("pump", "set_relay", {}),
        ("pump", "set_relay", {"state": "on"}),
        ("pump", "set_relay", {"state": 2}),
        ("pump", "set_relay", {"state": None}),
        ("fan", "set_pwm", {"value": 256}),
        ("fan", "set_pwm", {"value": -1}),
        ("fan", "set_pwm", {"value": 1.5}),
        ("fan", "dose", {"ml": 1}),
    )
    for number, (channel, name, params) in enumerate(wrong):
        answers = rig.command(name, channel=channel, cmd_id="w%d" % number, params=params)
        assert code(answers) == [("INVALID", "invalid_params")], (name, params)
        rig.wait(1)
    assert len(rig.levels) == before


def test_commands_for_nobody_are_answered():
    """A channel that is not there, a command that it does not know, parameters that are no object."""
    rig = ready(PUMP, SENSOR)
    for number, (channel, name, params, word) in enumerate(
        (
            ("nobody", "set_relay", {"state": 1}, "unsupported_channel_cmd"),
            ("air", "set_relay", {"state": 1}, "unsupported_channel_cmd"),
            ("pump", "set_pwm", {"value": 1}, "unsupported_channel_cmd"),
            ("pump", "calibrate", {}, "unsupported_channel_cmd"),
            ("pump", "set_relay", [], "invalid_params_format"),
        )
    ):
        answers = rig.command(name, channel=channel, cmd_id="n%d" % number, params=params)
        assert code(answers) == [("INVALID", word)], (channel, name)


def test_a_driver_that_fails_is_told():
    """handler_error for the command, an error for the operator."""
    rig = ready(PUMP)
    rig.values["pump"] = OSError("short circuit")
    answers = rig.command("set_relay", channel="pump", params={"state": True})
    assert code(answers) == [("ERROR", "handler_error")]
    assert rig.last("error")["component"] == "pump"


def test_a_closed_contact_is_opened_by_current():
    """NC: the load is on without current, so that off needs it, and on is no current."""
    rig = ready(VALVE)
    assert levels(rig, "valve")[-1] == 0
    rig.command("set_relay", channel="valve", cmd_id="off", params={"state": False})
    assert levels(rig, "valve")[-1] == 255
    rig.command("set_relay", channel="valve", cmd_id="on", params={"state": True})
    assert levels(rig, "valve")[-1] == 0


def test_a_lost_link_brings_actuators_to_their_safe_state():
    """After link_loss_timeout_sec, not before; told when somebody is there again."""
    rig = ready(PUMP, VALVE, link_loss_timeout_sec=30)
    rig.command("set_relay", channel="valve", cmd_id="v", params={"state": False})
    rig.wait(1)
    rig.command("run_pump", channel="pump", cmd_id="p", params={"duration_ms": 60000})
    rig.cut()
    rig.wait(28)
    assert (levels(rig)[-1], levels(rig, "valve")[-1]) == (255, 255)
    rig.wait(4)
    assert (levels(rig)[-1], levels(rig, "valve")[-1]) == (0, 0)
    assert rig.heard("event") == []
    rig.brokers = ["one"]
    rig.wait(70)
    (event,) = rig.heard("event")
    assert (event["event_code"], event["timeout_s"]) == ("link_loss_failsafe", 30)
    assert rig.topic_of("event") == TEMP + "/system/event"
    rig.wait(70)
    assert len(rig.heard("event")) == 1


def test_without_a_timeout_a_lost_link_changes_nothing():
    """0 or absent is off; the guard may also stand in fail_safe_guards."""
    rig = ready(FAN)
    rig.command("set_pwm", channel="fan", params={"value": 7})
    rig.cut()
    rig.wait(500)
    assert levels(rig, "fan")[-1] == 7
    rig = ready(FAN, fail_safe_guards={"link_loss_timeout_sec": 5})
    rig.command("set_pwm", channel="fan", params={"value": 7})
    rig.cut()
    rig.wait(6)
    assert levels(rig, "fan")[-1] == 0


def test_another_config_begins_from_the_safe_state():
    """A run under way is broken off; the new channels are opened, and no others."""
    rig = ready(PUMP, FAN)
    rig.command("run_pump", channel="pump", cmd_id="p", params={"duration_ms": 60000})
    from rig import document

    rig.push(2, document(channels=[FAN]), "secret")
    rig.settle()
    assert levels(rig)[-1] == 0
    assert rig.opened_channels == {"fan": "pwm"}
    assert code(rig.command("set_relay", channel="pump", params={"state": 1})) == [
        ("INVALID", "unsupported_channel_cmd")
    ]


def test_in_safe_mode_no_driver_runs():
    """Hello says so, configs are taken, a channel's commands are refused; exit_safe_mode opens them."""
    rig = ready(PUMP, SENSOR)
    rig.bad_boots = 5
    rig.levels.clear()
    rig.boot()
    rig.wait(1)
    rig.receipt(SECRET)
    assert rig.last("node_hello")["safe_mode"] is True
    before = len(rig.heard("telemetry"))
    rig.wait(20)
    assert (rig.levels, len(rig.heard("telemetry"))) == ([], before)
    refused = rig.command("set_relay", channel="pump", cmd_id="a", params={"state": True})
    assert code(refused) == [("ERROR", "safe_mode_active")]
    assert code(rig.command("report_config", cmd_id="b")) == [("DONE", None)]
    assert code(rig.command("exit_safe_mode", cmd_id="c")) == [("DONE", None)]
    rig.wait(20)
    assert rig.bad_boots == 0
    assert len(rig.heard("telemetry")) > before
    rig.said.clear()
    rig.boot()
    rig.wait(1)
    assert "safe_mode" not in rig.last("node_hello")


def test_a_new_config_is_tried_outside_of_safe_mode():
    """The config may have been what was wrong: the one that replaces it runs its drivers, on trial."""
    from rig import document

    rig = ready(PUMP)
    rig.bad_boots = 5
    rig.boot()
    rig.wait(1)
    rig.receipt(SECRET)
    rig.push(2, document(channels=[FAN]), "secret")
    rig.settle()
    assert rig.opened_channels == {"fan": "pwm"}
    assert rig.node.safe_mode is False
