"""A: lost hellos and the event loop, the origin of the project (field failures A1 to A10)."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway import Gateway, load_settings
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

if TYPE_CHECKING:
    from conftest import Site

Join = Callable[..., Peer]
HELLO = "hydro/node_hello"
STEPS = (
    "intake.writing",  # nothing is on disk
    "intake.written",  # journaled, not acknowledged
    "intake.acknowledged",  # acknowledged, nobody has worked on it
    "hook.before",
    "unit.marked",  # in the middle of the transaction that registers it
    "outbox.sending",  # registered, and no receipt has left
)


def library(tmp_path: Path, broker: Mosquitto) -> Gateway:
    overrides = {
        "state_dir": str(tmp_path / "library"),
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
    }
    return Gateway(load_settings(overrides=overrides, environ={}).settings)


def registered(gateway: GatewayProcess) -> set[str]:
    return {
        name
        for (name,) in gateway.rows(
            "SELECT hardware_id FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
        )
    }


def registers(gateway: GatewayProcess, count: int) -> set[str]:
    """Wait until this many nodes are registered; who they are."""
    return set(until(lambda: len(r := registered(gateway)) >= count and r, 60, gateway.output))


def test_a1_async_handlers_run_without_a_loop(
    tmp_path: Path, broker: Mosquitto, join: Join
) -> None:
    """A1: ten messages for an async handler of an application without any event loop: ten processed."""
    done: list[bytes] = []

    async def handle(_topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        done.append(payload)

    gateway = library(tmp_path, broker)
    gateway.subscribe(HELLO, handle)
    gateway.start()
    try:
        gateway.ready(10)
        peer = join()
        for n in range(10):
            peer.say(HELLO, hello(f"a1-{n}"))
        until(lambda: len(done) == 10, what="ten processed messages")
    finally:
        gateway.stop()
    assert len(done) == 10


def test_a2_one_lock_serves_all_messages(tmp_path: Path, broker: Mosquitto, join: Join) -> None:
    """A2: a lock made in the handler's loop works from message to message, on one thread: 10 of 10."""
    lock = asyncio.Lock()
    done: list[str] = []

    async def handle(topic: str, _payload: bytes) -> None:
        async with lock:
            await asyncio.sleep(0.01)
            done.append(threading.current_thread().name)
        assert topic == HELLO

    gateway = library(tmp_path, broker)
    gateway.subscribe(HELLO, handle)
    gateway.start()
    try:
        gateway.ready(10)
        peer = join()
        for n in range(10):
            peer.say(HELLO, hello(f"a2-{n}"), wait=False)
        until(lambda: len(done) == 10, what="ten processed messages")
    finally:
        gateway.stop()
    assert set(done) == {"gateway-fallback"}


def test_a3_back_after_a_broker_restart(site: Site, meet: Join) -> None:
    """A3: after the broker was gone the gateway is back in less than five seconds, and three of three
    hellos that follow are registered."""
    gateway = site.start()
    site.crash_broker()
    began = time.monotonic()
    gateway.wait_for("back")
    assert time.monotonic() - began < 5
    peer = meet()
    for n in range(3):
        peer.say(HELLO, hello(f"a3-{n}"))
    assert registers(gateway, 3) == {"a3-0", "a3-1", "a3-2"}


def test_a4_queued_hellos_survive_restarts_of_the_gateway(
    gateway: GatewayProcess, join: Join
) -> None:
    """A4: five hellos queued in the broker during each of five restarts: 25 of 25 registered."""
    gateway.start()
    gateway.stop()
    peer = join()
    for turn in range(5):
        for n in range(5):
            peer.say(HELLO, hello(f"a4-{turn}-{n}"))
        gateway.start()
        registers(gateway, 5 * (turn + 1))
        gateway.stop()
    assert registered(gateway) == {f"a4-{turn}-{n}" for turn in range(5) for n in range(5)}


@pytest.mark.parametrize(
    ("site", "step"),
    # what the embedded broker has not been told to forget comes again after 30 s: too long for here
    [*(("mosquitto", step) for step in STEPS), *(("embedded", step) for step in STEPS[2:])],
    indirect=["site"],
)
def test_a5_sigkill_during_registration_loses_nothing(site: Site, meet: Join, step: str) -> None:
    """A5: the gateway dies by SIGKILL at this step of a hello's way; after the restart the node is
    registered."""
    gateway = site.start(HELLOGATE_FAILPOINT=f"{step}=kill")
    assert gateway.process is not None
    meet().say(HELLO, hello("a5"), wait=False)
    assert gateway.process.wait(30) == -signal.SIGKILL
    gateway = site.start()
    assert registers(gateway, 1) == {"a5"}


def test_a6_telemetry_does_not_push_hellos_out(
    tmp_path: Path, broker: Mosquitto, join: Join
) -> None:
    """A6: 1,200 telemetry messages and then five hellos wait in the broker: five of five registered."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "meter.py").write_text(
        "from gateway import Manifest, Telemetry, hookimpl\n"
        "@hookimpl\n"
        "def manifest():\n    return Manifest(messages=(Telemetry,))\n"
        "@hookimpl\n"
        "def node_message(event, tx):\n    pass\n"
    )
    env = {"GATEWAY__PLUGINS__DIRS": f'["{plugins}"]'}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env)
    with gateway:
        gateway.stop()
        peer = join()
        for n in range(1200):
            payload = {"metric_type": "PH", "value": 5.8, "ts": 1710001234}
            peer.say("hydro/gh-1/zn-1/nd-1/ph/telemetry", payload, wait=n == 1199)
        for n in range(5):
            peer.say(HELLO, hello(f"a6-{n}"))
        gateway.start()
        assert registers(gateway, 5) == {f"a6-{n}" for n in range(5)}


def test_a7_a_site_that_comes_back_at_once_is_registered(site: Site, meet: Join) -> None:
    """A7: 300 nodes say hello within a moment; no rate limit, no third try: all are registered."""
    gateway = site.start()
    peer = meet()
    for n in range(300):
        peer.say(HELLO, hello(f"a7-{n}"), wait=n == 299)
    assert registers(gateway, 300) == {f"a7-{n}" for n in range(300)}


def test_a8_a_bound_node_that_never_says_hello_becomes_known(
    gateway: GatewayProcess, join: Join
) -> None:
    """A8: with an empty store, the report, the beat and the status of bound nodes make them known;
    the one that carries an identity is registered."""
    gateway.start()
    peer = join()
    report = {"node_id": "nd-a8", "version": 3, "type": "ph", "gh_uid": "gh-1", "zone_uid": "zn-1"}
    peer.say("hydro/gh-1/zn-1/nd-a8/config_report", {**report, "channels": [], "mqtt": {}})
    peer.say("hydro/gh-1/zn-1/nd-b8/heartbeat", {"uptime": 5, "free_heap": 1000})
    peer.say("hydro/gh-1/zn-1/nd-c8/status", {"status": "ONLINE", "ts": 1710001555}, retain=False)
    query = "SELECT uid, lifecycle_state FROM nodes ORDER BY uid"
    until(lambda: len(gateway.rows(query)) == 3)
    states = dict(gateway.rows(query))
    assert states["nd-a8"] == "REGISTERED_BACKEND"
    assert states["nd-b8"] == states["nd-c8"] == "PROVISIONED_WIFI"


def test_a9_nodes_that_were_faster_than_the_gateway(gateway: GatewayProcess, join: Join) -> None:
    """A9: six nodes say hello before the gateway has ever subscribed; what they send afterwards gets
    six of six registered anyway."""
    peer = join()
    for n in range(6):
        peer.say(HELLO, hello(f"a9-{n}"))
    gateway.start()
    for n in range(6):
        topic = f"hydro/gh-temp/zn-temp/a9-{n}"
        peer.say(f"{topic}/heartbeat", {"uptime": 5, "free_heap": 1000})
        report = {"node_id": f"a9-{n}", "version": 3, "type": "ph", "channels": []}
        peer.say(f"{topic}/config_report", {**report, "gh_uid": "gh-temp", "zone_uid": "zn-temp"})
    assert registers(gateway, 6) == {f"a9-{n}" for n in range(6)}


def test_a10_an_exception_in_a_handler_is_seen(
    tmp_path: Path, broker: Mosquitto, join: Join
) -> None:
    """A10: a plugin that raises is named in the log, its message is kept as a dead letter with the
    reason, and nobody else is harmed."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "weather.py").write_text(
        "from gateway import hookimpl\n"
        "@hookimpl\n"
        "def node_hello(event):\n    raise KeyError('unit')\n"
    )
    env = {
        "GATEWAY__PLUGINS__DIRS": f'["{plugins}"]',
        "GATEWAY__HANDLERS__BACKOFF": "0.01",
        "GATEWAY__HANDLERS__ATTEMPTS": "3",
    }
    with GatewayProcess(tmp_path / "state", broker.port, env=env) as gateway:
        join().say(HELLO, hello("a10"))
        dead = until(
            lambda: gateway.rows(
                "SELECT plugin, attempts, error FROM delivery WHERE state = 'dead'"
            )
        )
        ((plugin, attempts, error),) = dead
        assert (plugin, attempts) == ("weather", 3)
        reason, _, trace = error.partition("\n")
        assert reason == "KeyError: 'unit'"
        assert "weather.py" in trace
        assert registered(gateway) == {"a10"}
        assert "plugin weather failed on node_hello" in gateway.output
