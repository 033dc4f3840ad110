"""What an acknowledgement and a receipt mean: looked up in the store at the moment when they arrive."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway.failpoint import arm
from gateway.flow.recent import Recent
from gateway.testing.process import Peer, hello, until

Make = Callable[..., Gateway]
HARDWARE = "esp32-0123456789ab"


@pytest.fixture
def slow_commits() -> Iterator[None]:
    """Every commit takes a while: whoever does not wait for it is early."""
    arm("writer.applied=sleep:200@1+")
    yield
    arm("")


def rows(state: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"{(state / 'gateway.db').as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def running(make: Make, **more: Any) -> Gateway:
    gateway = make(**more)
    gateway.start()
    until(lambda: gateway.facts()["connected"], what="the connection")
    return gateway


@pytest.mark.usefixtures("slow_commits")
def test_a_receipt_means_that_the_node_is_on_disk(make: Make, peer: Peer, tmp_path: Path) -> None:
    """Whoever hears the receipt finds the registration committed, not about to be."""
    running(make)
    peer.listen(f"hydro/gh-temp/zn-temp/{HARDWARE}/hello_ack")
    peer.say("hydro/node_hello", hello(HARDWARE, boot_id="00000001", seq=1))
    until(lambda: peer.heard("hello_ack"), what="the receipt")
    assert rows(tmp_path / "state", "SELECT lifecycle_state FROM nodes") == [
        ("REGISTERED_BACKEND",)
    ]


@pytest.mark.usefixtures("slow_commits")
def test_what_is_acknowledged_is_in_the_journal(
    make: Make, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every PUBACK, the message is committed."""
    found: list[int] = []
    gateway = running(make)
    assert gateway._engine is not None
    intake = gateway._engine.wiring.intake
    acknowledge = intake._ack

    def look(tokens: list[Any]) -> None:
        found.append(
            len(rows(tmp_path / "state", "SELECT 1 FROM journal WHERE kind = 'node_hello'"))
        )
        acknowledge(tokens)

    monkeypatch.setattr(intake, "_ack", look)
    peer.say("hydro/node_hello", hello(HARDWARE, boot_id="00000001", seq=1))
    until(lambda: found, what="the acknowledgement")
    assert found[0] == 1


def test_a_message_is_the_same_by_boot_and_number(make: Make, peer: Peer) -> None:
    """Repeated within its boot it is a duplicate; the same number in the next boot is news."""
    gateway = running(make)
    peer.listen(f"hydro/gh-temp/zn-temp/{HARDWARE}/hello_ack")
    for boot in ("00000001", "00000001", "00000002"):
        peer.say("hydro/node_hello", hello(HARDWARE, boot_id=boot, seq=1))
    until(lambda: peer.heard("hello_ack", boot_id="00000002"), what="the second boot's receipt")
    counts = gateway.facts()["counts"]
    assert (counts["journaled"], counts["duplicate"]) == (2, 1)


def test_made_up_names_are_forgotten() -> None:
    """What the intake remembers of names has a bound, and it is the oldest that go."""
    recent: Recent[int, str] = Recent(3)
    for number in range(10):
        recent[number] = "x"
        recent[number] = "y"
    assert dict(recent) == {7: "y", 8: "y", 9: "y"}


def test_a_beat_of_the_next_boot_is_no_old_one(make: Make, peer: Peer, tmp_path: Path) -> None:
    """Beats count from 1 in each boot."""
    gateway = running(make)
    topic = f"hydro/gh-temp/zn-temp/{HARDWARE}/heartbeat"
    for boot, seq in (("00000001", 5), ("00000001", 4), ("00000002", 1)):
        peer.say(topic, {"uptime": 1, "boot_id": boot, "seq": seq})
    until(lambda: gateway.facts()["counts"].get("journaled", 0) == 2, what="two beats on disk")
    kept = rows(
        tmp_path / "state", "SELECT first_seq FROM journal WHERE kind = 'heartbeat' ORDER BY id"
    )
    assert kept == [(5,), (1,)]
    assert gateway.facts()["counts"]["duplicate"] == 1


def test_what_is_refused_is_acknowledged_too(make: Make, peer: Peer) -> None:
    """Else the broker's window fills with what nobody will ever take."""
    gateway = running(make)
    for number in range(200):
        peer.say("hydro/node_hello", b"\xff%d" % number, wait=False)
    peer.listen(f"hydro/gh-temp/zn-temp/{HARDWARE}/hello_ack")
    peer.say("hydro/node_hello", hello(HARDWARE, boot_id="00000001", seq=1))
    until(lambda: peer.heard("hello_ack"), what="the receipt behind them")
    assert gateway.facts()["counts"]["refused:not_utf8"] == 200


METER = """
from gateway import Manifest, Telemetry, hookimpl

class Meter(Telemetry):
    durability = "DURABILITY"

@hookimpl
def manifest():
    return Manifest(messages=(Meter,))

@hookimpl
def node_message(event, tx):
    pass
"""


def meter(tmp_path: Path, durability: str) -> list[str]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "meter.py").write_text(METER.replace("DURABILITY", durability))
    return [str(folder)]


def say_value(peer: Peer, channel: str, seq: int, wait: bool = True) -> None:
    message = {"metric_type": "PH", "value": seq, "ts": 1, "boot_id": "00000001", "seq": seq}
    peer.say(f"hydro/gh-1/zn-1/nd-1/{channel}/telemetry", message, wait=wait)


def test_channels_are_not_folded_into_each_other(make: Make, peer: Peer, tmp_path: Path) -> None:
    """Of what one node measures with two channels nothing is taken for a repetition of the other's,
    also where the second one's number overtakes the first one's."""
    gateway = running(make, plugins__dirs=meter(tmp_path, "latest"))
    arm("writer.applied=sleep:300@1+")  # so that all of them lie in one group
    for channel, seq in (("ph", 1), ("ec", 3), ("ph", 2), ("ph", 4), ("ph", 5)):
        say_value(peer, channel, seq, wait=False)
    until(lambda: gateway.facts()["counts"].get("received", 0) >= 5, what="five values")
    arm("")
    until(lambda: gateway._engine is not None and gateway._engine.wiring.intake.idle)
    kept = rows(
        tmp_path / "state",
        "SELECT topic, sum(copies) FROM journal WHERE kind = 'telemetry' GROUP BY 1",
    )
    assert dict(kept) == {
        "hydro/gh-1/zn-1/nd-1/ec/telemetry": 1,
        "hydro/gh-1/zn-1/nd-1/ph/telemetry": 4,
    }
    assert gateway.facts()["counts"].get("duplicate", 0) == 0


def test_beats_that_name_no_boot_are_not_folded(make: Make, peer: Peer, tmp_path: Path) -> None:
    """A foreign node may have restarted between two of them: each is an event of its own."""
    gateway = running(make)
    arm("writer.applied=sleep:300@1+")
    for uptime in (500, 10):
        peer.say(f"hydro/gh-temp/zn-temp/{HARDWARE}/heartbeat", {"uptime": uptime}, wait=False)
    until(lambda: gateway.facts()["counts"].get("received", 0) >= 2, what="two beats")
    arm("")
    until(lambda: gateway.facts()["counts"].get("journaled", 0) == 2, what="two rows")
    kept = rows(tmp_path / "state", "SELECT copies FROM journal WHERE kind = 'heartbeat'")
    assert kept == [(1,), (1,)]


@pytest.mark.parametrize("durability", ["latest", "journal"])
def test_a_flood_of_telemetry_is_refused(
    make: Make, peer: Peer, tmp_path: Path, durability: str
) -> None:
    """What comes on the bulk session above the rate is refused with its word and acknowledged, whatever
    class its plugin gave it; a hello of the same node is not."""
    gateway = running(make, plugins__dirs=meter(tmp_path, durability), limits__flood_rate=1.0)
    for seq in range(1, 101):
        say_value(peer, "ph", seq, wait=seq == 100)
    peer.listen(f"hydro/gh-temp/zn-temp/{HARDWARE}/hello_ack")
    peer.say("hydro/node_hello", hello(HARDWARE))
    until(lambda: peer.heard("hello_ack"), what="the receipt")
    until(lambda: gateway.facts()["counts"].get("received", 0) >= 101)
    assert gateway.facts()["counts"]["refused:flood"] > 50


def test_what_the_broker_kept_is_no_flood(make: Make, peer: Peer, tmp_path: Path) -> None:
    """Five hundred values of one node that came while the gateway was away are all taken, where live
    ones above the rate are refused."""
    plugins = meter(tmp_path, "journal")
    running(make, plugins__dirs=plugins, limits__flood_rate=1.0).stop()
    for seq in range(1, 501):
        say_value(peer, "ph", seq, wait=seq == 500)
    gateway = running(make, plugins__dirs=plugins, limits__flood_rate=1.0)
    until(lambda: gateway.facts()["counts"].get("journaled", 0) == 500, 60, "all of them")
    assert "refused:flood" not in gateway.facts()["counts"]
    for seq in range(501, 701):
        say_value(peer, "ph", seq, wait=False)
    until(lambda: gateway.facts()["counts"].get("refused:flood", 0) > 50, 60, "refused ones")
