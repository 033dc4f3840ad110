"""A node that sleeps: it says so, wakes with a hello, takes what waits for it, and sleeps again."""

from rig import SECRET, Rig, document

SENSOR = {"name": "air", "type": "SENSOR", "metric": "TEMPERATURE"}


def sleeper(**changes):
    """A sleeping node that runs a config with one sensor; it has just woken."""
    rig = Rig(simulate=True, sleep_s=600)
    rig.adopt(channels=[SENSOR], **changes)
    while not rig.slept:
        rig.wait(1)
    return rig


def until_asleep(rig, most=40):
    """How long it stays awake, in seconds."""
    before, start = len(rig.slept), rig.now
    while len(rig.slept) == before:
        rig.wait(0.5)
        assert rig.now - start < (600 + most) * 1000, "it does not sleep"
    return (rig.now - start) / 1000 - 600


def test_it_says_that_it_sleeps_and_for_how_long():
    """A retained status ASLEEP before the connection ends; hello and beats carry sleep_s."""
    rig = sleeper()
    status = rig.last("status")
    assert (status["status"], status["sleep_s"]) == ("ASLEEP", 600)
    assert [retain for _, topic, _, retain in rig.said if topic.endswith("/status")][-1] is True
    assert rig.heard("node_hello")[0]["sleep_s"] == 600
    assert rig.slept == [600]
    rig.wait(3)
    assert rig.last("heartbeat")["sleep_s"] == 600


def test_it_wakes_with_a_hello_and_sleeps_when_all_is_done():
    """Hello, receipt, one sample of each sensor, two quiet seconds: awake for a few seconds."""
    rig = sleeper()
    before = len(rig.heard("telemetry"))
    rig.wait(1)
    rig.receipt(SECRET, config_revision=1)
    until_asleep(rig)
    assert len(rig.heard("telemetry")) == before + 1
    awake = rig.times("status")[-1] - rig.times("node_hello")[-1]
    assert awake < 12000


def test_it_waits_for_the_config_that_the_receipt_speaks_of():
    """A newer revision is desired: the node is awake for it, and through its trial."""
    rig = sleeper()
    rig.wait(1)
    rig.receipt(SECRET, config_revision=2)
    rig.wait(12)
    assert len(rig.slept) == 1
    rig.push(2, document(channels=[SENSOR]), "secret")
    rig.settle()
    assert rig.state() == ("verified", 2)
    until_asleep(rig)
    assert rig.running.revision == 2


def test_a_command_that_waits_is_done_first():
    """Each message keeps it awake for two seconds more."""
    rig = sleeper()
    rig.wait(1)
    rig.receipt(SECRET, config_revision=1)
    for number in range(8):
        rig.wait(1.5)
        (answer,) = rig.command("report_config", cmd_id="c%d" % number)
        assert answer["status"] == "DONE"
    assert len(rig.slept) == 1
    until_asleep(rig)


def test_where_nobody_answers_the_battery_is_saved():
    """After awake_s it sleeps all the same, and does not pretend to have said so."""
    rig = sleeper()
    rig.brokers = []
    rig.cut()
    said = len(rig.said)
    until_asleep(rig)
    assert len(rig.said) == said


def test_samples_that_nobody_took_are_on_flash_before_it_sleeps():
    """They are told when somebody is there again."""
    rig = sleeper()
    rig.node.wall = rig.node.wall or 1737355112000  # the board's clock outlives a deep sleep
    rig.brokers = []
    rig.cut()
    until_asleep(rig)
    assert rig.ring.count == 1
    rig.brokers = ["one"]
    rig.wait(5)
    rig.receipt(SECRET, config_revision=1)
    rig.wait(5)
    assert "n_boot" in rig.heard("telemetry")[-2] or "n_boot" in rig.last("telemetry")
    assert rig.ring.count == 0


def test_a_trial_is_never_slept_through():
    """A config that cuts the node off is left by time, awake."""
    rig = sleeper()
    rig.wait(1)
    rig.receipt(SECRET, config_revision=1)
    rig.push(2, document(channels=[], mqtt={"host": "nowhere", "port": 1}), "secret")
    rig.wait(110)
    assert len(rig.slept) == 1
    rig.wait(15)
    assert rig.running.revision == 1


def test_a_pump_that_runs_keeps_it_awake():
    """And what is on when the time is up goes to its safe state first."""
    pump = {"name": "pump", "type": "ACTUATOR", "actuator_type": "PUMP"}
    rig = sleeper()
    rig.wait(1)
    rig.receipt(SECRET, config_revision=1)
    rig.push(2, document(channels=[pump]), "secret")
    rig.settle()
    rig.wait(1)
    rig.command("run_pump", channel="pump", params={"duration_ms": 20000})
    before = len(rig.slept)
    rig.wait(15)
    assert len(rig.slept) == before
    until_asleep(rig)
    assert rig.levels[-1][2] == 0 or rig.levels[-2][2] == 0
