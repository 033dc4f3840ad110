"""heartbeat: who is alive, by proof and by age, on the observed clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_heartbeat
import pytest
from gateway_heartbeat import watch
from gateway_heartbeat.liveness import (
    Beat,
    Grace,
    Pulse,
    beat,
    late_after,
    offline_after,
    passed,
    proof,
    will,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigReported, LastWill, Node, NodeHeartbeat, NodeHello, Status, Wake
from gateway.testing.plugin import NOW, PluginBench

TOPIC = "hydro/gh-temp/zn-temp/hw/heartbeat"
GRACE = Grace()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PluginBench]:
    """The plugin, and one registered node."""
    made = PluginBench(tmp_path, gateway_heartbeat, name="heartbeat")
    node = Node(id=1, known=False)
    after = Node(id=1, uid="nd-1", hardware_id="hw", life="seen", created_at=NOW, updated_at=NOW)
    from gateway.store import nodes

    nodes.write(made._db, node, after)
    made.roster.put(after)
    watch.due(made.host, made.config)
    yield made
    made.close()


def beats(bench: PluginBench, **more: Any) -> Node:
    source = {name: more.pop(name) for name in ("live", "retained", "count") if name in more}
    return bench.play("node_heartbeat", NodeHeartbeat(**more), TOPIC, **source)


def sweep(bench: PluginBench) -> str:
    """The job, and the turns that it asks for."""
    for _ in watch.due(bench.host, bench.config):
        bench.play("node_message", Wake(job="expire"), name="hw")
    return bench.node("hw").life


def test_hook_node_heartbeat_makes_online_and_keeps_the_facts(bench: PluginBench) -> None:
    """A beat is proof of life, sets last_seen_at, and its facts are kept."""
    node = beats(
        bench, uptime=5, free_heap=1000, rssi=-60, interval_s=15, boot_id="0000000a", seq=1
    )
    assert (node.life, node.last_seen_at) == ("online", NOW)
    found = bench.read("SELECT uptime, free_heap, rssi, declared, beats FROM heartbeat_nodes")
    assert found == [(5.0, 1000, -60, 15.0, 1)]


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


def test_silence_counts_from_when_we_listen_again() -> None:
    """Also where a turn was asked for before the outage and comes behind it."""
    pulse = beat(Pulse(), Beat("0000000a", 1, 1, 1, 15.0), NOW, GRACE)
    later = NOW + 1000
    assert passed(pulse, later, later - 10, GRACE) == pulse
    assert passed(pulse, later, later - late_after(15, GRACE), GRACE).life == "late"


def test_history_is_no_life(bench: PluginBench) -> None:
    """Backlog and retained messages move neither life nor last_seen_at."""
    beats(bench, live=False)
    bench.play("node_message", Status(status="ONLINE"), TOPIC, live=False, retained=True)
    bench.play("node_message", LastWill(), TOPIC, live=False, retained=True)
    assert (bench.node("hw").life, bench.node("hw").last_seen_at) == ("seen", None)


def test_hook_node_message_takes_wills_of_the_present_boot_only(bench: PluginBench) -> None:
    """An old boot's will, and a plain one of a node that names its boots, change nothing."""
    beats(bench, boot_id="0000000a", seq=1)
    beats(bench, boot_id="0000000b", seq=1)
    for boot in ("0000000a", None, "0000000c"):
        bench.play("node_message", LastWill(boot_id=boot), TOPIC)
        assert bench.node("hw").life == "online"
    bench.play("node_message", LastWill(boot_id="0000000b"), TOPIC)
    assert bench.node("hw").life == "offline"


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


def test_hook_health_counts_lives(bench: PluginBench) -> None:
    """The check says how many nodes are how."""
    beats(bench)
    (check,) = bench.ask("health")
    assert (check.ok, check.detail) == (True, "1 online")


BOOTS = st.sampled_from(["a", "b", "c", None])
STEPS = st.one_of(
    st.tuples(st.just("beat"), BOOTS, st.integers(0, 5)),
    st.tuples(st.just("will"), BOOTS, st.just(0)),
    st.tuples(st.just("time"), st.none(), st.integers(0, 200)),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_comes_in_whatever_order(steps: list[tuple[str, str | None, int]]) -> None:
    """No boot that was followed revives or kills; online is never longer than its grace without a
    proof; time alone never makes a node online."""
    pulse, now = Pulse(), 0.0
    for kind, boot, number in steps:
        before = pulse
        past = bool(boot) and boot != before.boot_id and boot in before.boots.split()
        if kind == "beat":
            pulse = beat(pulse, Beat(boot, number, 0, 1, 15.0), now, GRACE)
            assert pulse is before if past else pulse.life == "online"
        elif kind == "will":
            pulse = will(pulse, boot)
            if before.boot_id and boot != before.boot_id:
                assert pulse is before
        else:
            now += number
            pulse = passed(pulse, now, 0.0, GRACE)
            if before.life == "offline":
                assert pulse.life == "offline"
        if pulse.life == "online" and kind == "time":
            assert now - pulse.proof < late_after(pulse.interval, GRACE)
        assert pulse.boot_id not in pulse.boots.split() or not pulse.boot_id


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_proof_never_goes_back(first: float, second: float) -> None:
    """Messages out of order do not move the last proof into the past."""
    pulse = proof(proof(Pulse(), None, first, GRACE), None, second, GRACE)
    assert pulse.proof == max(first, second)
