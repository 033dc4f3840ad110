"""heartbeat: whose word counts, of an old boot, the present one, and a board with the same name."""

from __future__ import annotations

from gateway_heartbeat.liveness import late_after
from heartbeat_words import GRACE, TOPIC, beats, sweep

from gateway import ConfigReported, LastWill, NodeHello, sign
from gateway.testing.plugin import PluginBench


def test_hook_node_message_takes_wills_of_the_present_boot_only(bench: PluginBench) -> None:
    """An old boot's will, and a plain one of a node that names its boots, change nothing."""
    beats(bench, boot_id="0000000a", seq=1)
    beats(bench, boot_id="0000000b", seq=1)
    for boot in ("0000000a", None, "0000000c"):
        bench.play("node_message", LastWill(boot_id=boot), TOPIC)
        assert bench.node("hw").life == "online"
    bench.play("node_message", LastWill(boot_id="0000000b"), TOPIC)
    assert bench.node("hw").life == "offline"


def test_a_will_that_comes_late_does_not_kill_a_boot_whose_hello_was_backlog(
    bench: PluginBench,
) -> None:
    """The node rebooted while we were away: its hello was queued, and then its old will came live."""
    beats(bench, boot_id="0000000a", seq=1)
    bench.play("node_hello", NodeHello(hardware_id="hw", boot_id="0000000b"), live=False)
    bench.registered("nd-1", boot_id="0000000b")  # hello is no news of the past for the registry
    bench.play("node_message", LastWill(boot_id="0000000a"), TOPIC)
    assert bench.node("hw").life == "online"
    bench.play("node_message", LastWill(boot_id="0000000b"), TOPIC)
    assert bench.node("hw").life == "offline"


def signed_hello(boot_id: str, secret: str) -> NodeHello:
    event = NodeHello(hardware_id="hw", protocol=1, boot_id=boot_id, seq=1)
    event.sig = sign(secret, *event.signed_parts())
    return event


def test_a_clone_neither_lives_nor_kills_for_the_node(bench: PluginBench) -> None:
    """B9: what a board with the same name and no secret says leaves the node's pulse as it was."""
    bench.registered("nd-1", secret="s" * 64, protocol=1, boot_id="0000000a")
    beats(bench, boot_id="0000000a", seq=1)
    columns = "life, boot_id, boots, seq, proof_observed, wait, beats, missed"
    before = bench.read(f"SELECT {columns} FROM heartbeat_nodes")
    bench.now += 10
    bench.play("node_hello", signed_hello("0000000c", "another"), "hydro/node_hello")
    bench.play("config_reported", ConfigReported(boot_id="0000000c", seq=1), TOPIC)
    beats(bench, boot_id="0000000c", seq=1)
    bench.play("node_message", LastWill(boot_id="0000000c"), TOPIC)
    assert bench.read(f"SELECT {columns} FROM heartbeat_nodes") == before
    beats(bench, boot_id="0000000a", seq=2)
    assert bench.read("SELECT boot_id, beats, missed FROM heartbeat_nodes") == [("0000000a", 2, 0)]


def test_a_double_does_not_keep_a_dead_board_alive(bench: PluginBench) -> None:
    """However it beats, the board that died goes offline: only then may its place be taken."""
    bench.registered("nd-1", secret="s" * 64, protocol=1, boot_id="0000000a")
    beats(bench, boot_id="0000000a", seq=1, interval_s=15)
    bench.play("node_hello", signed_hello("0000000c", "another"), "hydro/node_hello")
    for seq in range(1, 10):
        bench.now += 10
        beats(bench, boot_id="0000000c", seq=seq, interval_s=15)
        sweep(bench)
    assert bench.node("hw").life == "offline"


def test_a_signed_hello_brings_the_next_boot(bench: PluginBench) -> None:
    """The node itself reboots: its signed hello moves the pulse to the new boot."""
    bench.registered("nd-1", secret="s" * 64, protocol=1, boot_id="0000000a")
    beats(bench, boot_id="0000000a", seq=1)
    bench.play("node_hello", signed_hello("0000000b", "s" * 64), "hydro/node_hello")
    assert bench.read("SELECT boot_id, life FROM heartbeat_nodes") == [("0000000b", "online")]


def test_a_boot_nobody_announced_is_taken_once_the_old_one_is_silent(bench: PluginBench) -> None:
    """After a restored backup no hello may come for weeks: the beats of the present boot are life."""
    bench.registered("nd-1", secret="s" * 64, protocol=1, boot_id="0000000a")
    beats(bench, boot_id="0000000a", seq=1, interval_s=15)
    bench.now += late_after(15, GRACE) + 1
    assert sweep(bench) == "late"
    assert beats(bench, boot_id="0000000b", seq=900, interval_s=15).life == "online"


def test_a_hello_of_the_past_that_came_late_does_not_hide_the_boot_that_runs(
    bench: PluginBench,
) -> None:
    """A broker brought the first word of an older boot behind the newer one's: the boot that runs looks
    like one of the past. It is believed as soon as the older one should have spoken and has not."""
    beats(bench, boot_id="0000000b", seq=1, interval_s=15)
    bench.now += 1
    beats(bench, boot_id="0000000a", seq=1, interval_s=15)
    for seq in range(2, 6):
        bench.now += 15
        beats(bench, boot_id="0000000b", seq=seq, interval_s=15)
        assert sweep(bench) in ("online", "late")
    assert bench.read("SELECT life, boot_id, boots FROM heartbeat_nodes") == [
        ("online", "0000000b", "0000000a")
    ]
