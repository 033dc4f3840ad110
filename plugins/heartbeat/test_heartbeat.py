"""heartbeat: who is alive, by proof and by age, on the observed clock."""

from __future__ import annotations

import logging

import pytest
from gateway_heartbeat import watch
from gateway_heartbeat.liveness import late_after, offline_after
from heartbeat_words import GRACE, TOPIC, beats, sweep

from gateway import ConfigReported, LastWill, NodeHello, Status
from gateway.testing.plugin import NOW, PluginBench


def test_hook_node_heartbeat_makes_online_and_keeps_the_facts(bench: PluginBench) -> None:
    """A beat is proof of life, sets last_seen_at, and its facts are kept."""
    node = beats(
        bench, uptime=5, free_heap=1000, rssi=-60, interval_s=15, boot_id="0000000a", seq=1
    )
    assert (node.life, node.last_seen_at) == ("online", NOW)
    found = bench.read("SELECT uptime, free_heap, rssi, declared, beats FROM heartbeat_nodes")
    assert found == [(5.0, 1000, -60, 15.0, 1)]


def test_a_beat_of_the_past_tells_how_often_the_node_beats(bench: PluginBench) -> None:
    """Its first beats waited in the broker, then it is heard: it is not offline before its next beat."""
    beats(bench, interval_s=600, boot_id="0000000a", seq=1, live=False)
    assert bench.node("hw").life == "seen"
    bench.play("node_message", Status(status="ONLINE", boot_id="0000000a"), name="hw")
    bench.now += 590
    assert sweep(bench) == "online"


def test_a_status_before_the_backlog_does_not_make_a_lazy_node_late(bench: PluginBench) -> None:
    """The same in the other order: what is learnt moves the deadline that was set without it."""
    bench.play("node_message", Status(status="ONLINE", boot_id="0000000a"), name="hw")
    beats(bench, interval_s=600, boot_id="0000000a", seq=1, live=False)
    bench.now += 590
    assert sweep(bench) == "online"
    bench.now += 400
    assert sweep(bench) == "late"


def test_facts_stay_until_the_node_says_others(bench: PluginBench) -> None:
    """Heap comes under either of its two names; a beat that leaves something out takes nothing away."""
    beats(bench, uptime=5, free_heap_bytes=1000, rssi=-60)
    beats(bench, uptime=20)
    found = bench.read("SELECT uptime, free_heap, rssi FROM heartbeat_nodes")
    assert found == [(20.0, 1000, -60)]


def test_a_transition_is_told_once(bench: PluginBench, caplog: pytest.LogCaptureFixture) -> None:
    """Each change of life is one line of the log and one time in the row, however often it beats."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            beats(bench, interval_s=15)
            bench.now += 1
        bench.now += 1000
        for _ in range(3):
            sweep(bench)
    told = [record.message for record in caplog.records]
    assert told == ["node nd-1 is online (was seen)", "node nd-1 is offline (was online)"]
    assert bench.read("SELECT since FROM heartbeat_nodes") == [(bench.now,)]


def test_a_sleeper_is_asleep_until_it_has_overslept(bench: PluginBench) -> None:
    """ASLEEP for ten minutes: not late, not offline; awake with its next hello; and offline after three
    naps that nobody heard the end of."""
    boot = {"boot_id": "0000000a"}
    beats(bench, interval_s=15, **boot)
    nap = Status(status="ASLEEP", sleep_s=600, **boot)
    bench.play("node_message", nap, TOPIC)
    assert bench.node("hw").life == "asleep"
    bench.now += 700
    assert sweep(bench) == "asleep"
    bench.play("node_hello", NodeHello(hardware_id="hw", boot_id="0000000b"), "hydro/node_hello")
    assert bench.node("hw").life == "online"
    bench.play("node_message", Status(status="ASLEEP", sleep_s=600, boot_id="0000000b"), TOPIC)
    bench.now += offline_after(600, GRACE) - 1
    assert sweep(bench) == "asleep"
    bench.now += 2
    assert sweep(bench) == "offline"


def test_an_old_boot_cannot_put_a_node_to_sleep(bench: PluginBench) -> None:
    """What an earlier boot said of its sleep, what was retained, and a sleep without a time change nothing."""
    beats(bench, boot_id="0000000a")
    beats(bench, boot_id="0000000b")
    nap = Status(status="ASLEEP", sleep_s=600, boot_id="0000000a")
    bench.play("node_message", nap, TOPIC)
    assert bench.node("hw").life == "online"
    newer = Status(status="ASLEEP", sleep_s=600, boot_id="0000000b")
    bench.play("node_message", newer, TOPIC, live=False)
    assert bench.node("hw").life == "online"
    bench.play("node_message", Status(status="ASLEEP", boot_id="0000000b"), TOPIC)
    assert bench.node("hw").life == "online"


def test_a_death_is_no_sign_of_life(bench: PluginBench) -> None:
    """A will ends the life and moves no last_seen_at: the node did not speak."""
    seen = beats(bench).last_seen_at
    bench.now += 10
    bench.play("node_message", LastWill(), TOPIC)
    assert (bench.node("hw").life, bench.node("hw").last_seen_at) == ("offline", seen)


def test_a_reboot_begins_to_count_anew(bench: PluginBench) -> None:
    """Beats and gaps are those of the boot."""
    for seq in (1, 5):
        beats(bench, boot_id="0000000a", seq=seq)
    beats(bench, boot_id="0000000b", seq=1)
    assert bench.read("SELECT beats, missed, seq FROM heartbeat_nodes") == [(1, 0, 1)]


def test_silence_makes_late_and_then_offline(bench: PluginBench) -> None:
    """By the node's own interval: nothing before, late between, offline after."""
    beats(bench, interval_s=60)
    bench.now = NOW + late_after(60, GRACE) - 1
    assert sweep(bench) == "online"
    bench.now = NOW + late_after(60, GRACE) + 1
    assert sweep(bench) == "late"
    bench.now = NOW + offline_after(60, GRACE) + 1
    assert sweep(bench) == "offline"
    beats(bench, interval_s=60)
    assert bench.node("hw").life == "online"


def test_a_broker_outage_is_no_fleet_outage(bench: PluginBench) -> None:
    """While the broker is away nothing expires, and afterwards every deadline starts anew."""
    beats(bench, interval_s=15)
    bench.host.connected = False
    bench.now = NOW + 10_000
    assert sweep(bench) == "online"
    bench.host.connected = True
    assert sweep(bench) == "online"
    bench.now += 20
    assert sweep(bench) == "online"
    bench.now += 60
    assert sweep(bench) in ("late", "offline")


def test_history_is_no_life(bench: PluginBench) -> None:
    """Backlog and retained messages move neither life nor last_seen_at."""
    beats(bench, live=False)
    bench.play("node_message", Status(status="ONLINE"), TOPIC, live=False, retained=True)
    bench.play("node_message", LastWill(), TOPIC, live=False, retained=True)
    assert (bench.node("hw").life, bench.node("hw").last_seen_at) == ("seen", None)


def test_a_wall_clock_that_was_set_back_expires_nobody_and_hides_nobody(bench: PluginBench) -> None:
    """The observed clock starts at the wall clock: after a start on a clock that is behind, silence
    counts from then."""
    beats(bench, interval_s=15)
    bench.now -= 86_400
    watch.listening[bench.config] = watch.Listening(bench.host)
    assert sweep(bench) == "online"
    bench.now += 20
    assert beats(bench, interval_s=15).life == "online"
    bench.now += 20
    assert sweep(bench) == "online"
    bench.now += offline_after(15, GRACE)
    assert sweep(bench) == "offline"


def test_a_node_that_died_before_the_wall_clock_was_set_back_is_found(bench: PluginBench) -> None:
    """Its last proof lies a day ahead and no other one comes: it is offline in time, not in a day."""
    beats(bench, interval_s=15)
    bench.now -= 86_400
    watch.listening[bench.config] = watch.Listening(bench.host)
    assert sweep(bench) == "online"
    bench.now += offline_after(15, GRACE)
    assert sweep(bench) == "offline"


def test_a_node_keeps_its_own_promise_however_long(bench: PluginBench) -> None:
    """A sleeper that beats once a day is online all day; what is merely learnt is never that long."""
    beats(bench, interval_s=86_400)
    bench.now += 86_400
    assert sweep(bench) == "online"
    bench.now += 3 * 86_400
    assert sweep(bench) == "offline"


def test_an_interval_that_nobody_declared_is_learnt(bench: PluginBench) -> None:
    """A field node that beats every 15 s is offline long before the 120 s of the unknown."""
    for _ in range(5):
        beats(bench, uptime=1)
        bench.now += 15
    assert bench.read("SELECT declared, learnt FROM heartbeat_nodes") == [(None, 15.0)]
    bench.now += 85  # one long pause does not make the node lazy
    beats(bench, uptime=1)
    ((learnt,),) = bench.read("SELECT learnt FROM heartbeat_nodes")
    assert 15 < learnt < 17
    bench.now += offline_after(learnt, GRACE) + 1
    assert sweep(bench) == "offline"


@pytest.mark.parametrize(
    ("status", "life"),
    [
        (Status(status="ONLINE"), "online"),
        (Status(status="OFFLINE"), "offline"),
        (Status(status="RESTARTING"), "online"),
        (Status(state="safe_mode"), "online"),
    ],
)
def test_every_form_of_status_is_understood(bench: PluginBench, status: Status, life: str) -> None:
    """A field node's status in each of the forms that were seen."""
    beats(bench)
    bench.play("node_message", status, TOPIC)
    assert bench.node("hw").life == life


def test_hello_and_report_are_proofs_too(bench: PluginBench) -> None:
    """hook node_hello and hook config_reported: the node spoke, so it lives."""
    bench.play("node_hello", NodeHello(hardware_id="hw"), "hydro/node_hello")
    assert bench.node("hw").life == "online"
    bench.play("node_message", LastWill(), TOPIC)
    bench.play("config_reported", ConfigReported(), TOPIC)
    assert bench.node("hw").life == "online"


def test_missing_beats_are_counted(bench: PluginBench) -> None:
    """Gaps in seq are counted, folded beats are not gaps, late ones count nothing."""
    for seq, count in ((1, 1), (4, 1), (9, 5), (3, 1)):
        beats(bench, boot_id="0000000a", seq=seq, count=count)
    assert bench.read("SELECT beats, missed, seq FROM heartbeat_nodes") == [(7, 2, 9)]


def test_hook_startup_and_hook_shutdown(bench: PluginBench) -> None:
    """A gateway listens from its start to its end, and is not held in memory afterwards."""
    assert watch.listening[bench.config].host is bench.host
    bench.ask("shutdown")
    assert bench.config not in watch.listening
    bench.ask("startup")
    assert watch.listening[bench.config].host is bench.host


def test_hook_health_counts_lives(bench: PluginBench) -> None:
    """The check says how many nodes are how."""
    beats(bench)
    (check,) = bench.ask("health")
    assert (check.ok, check.detail) == (True, "1 online")
