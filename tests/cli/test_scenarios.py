"""Each shipped scenario, shortened, on a real gateway and broker: what it is there to show."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.testing.process import GatewayProcess, until
from gateway.testing.swarm import scenario

SHORTER = 4
LIGHT, REAL = ("-n", "20"), ("-n", "3", "--micropython")
KINDS = pytest.mark.parametrize("kind", [LIGHT, REAL], ids=["light", "real"])
REGISTERED = "SELECT count(*) FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
ONLINE = "SELECT count(*) FROM nodes WHERE life = 'online'"


class Simulation:
    """`gateway simulate` while it runs, and what it said in the end."""

    def __init__(self, gateway: GatewayProcess, name: str, words: tuple[str, ...]) -> None:
        folder = gateway.state_dir.parent
        file, self._said = folder / "short.toml", folder / "said"
        text = scenario.find(name).read_text()
        short = r"(?m)^(at|off|within|every) = (\d+)$"
        file.write_text(re.sub(short, lambda m: f"{m[1]} = {int(m[2]) / SHORTER}", text))
        command = [sys.executable, "-m", "gateway", "simulate", *words]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [*command, "--json", "--scenario", str(file)],
                env=gateway.env,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.code: int | None = None
        self.told: dict[str, Any] = {}

    def happened(self, what: str) -> int:
        """How many steps of this name there have been."""
        return self._said.read_text().count(f" {what}: ")

    def finish(self, number: signal.Signals | None = None) -> None:
        """Let it end, or end it."""
        if number is not None:
            self._process.send_signal(number)
        out, _ = self._process.communicate(timeout=60)
        self.code = self._process.returncode
        self.told = json.loads(out) if out else {}

    def kill(self) -> None:
        """Nothing of it may stay."""
        self._process.kill()
        self._process.wait(10)


@contextmanager
def simulated(gateway: GatewayProcess, name: str, *words: str) -> Iterator[Simulation]:
    """A scenario on its way."""
    simulation = Simulation(gateway, name, words)
    try:
        yield simulation
    finally:
        simulation.kill()


def number_of(gateway: GatewayProcess, sql: str) -> int:
    """A count in its store."""
    found = gateway.rows(sql)
    return int(found[0][0]) if found else 0


@KINDS
def test_after_a_storm_everybody_has_a_receipt_again(
    gateway: GatewayProcess, kind: tuple[str, ...]
) -> None:
    """All lose power at once, all come back, each boot gets its receipt, and nobody is new."""
    count = int(kind[1])
    with simulated(gateway, "storm", *kind, "--for", "4") as storm:
        storm.finish()
    assert storm.happened("power cut") == 1
    assert (storm.code, storm.told["receipted"], storm.told["nodes"]) == (0, count, count)
    assert storm.told["counts"]["boots"] == 2 * count
    assert storm.told["counts"]["got hello_ack"] >= 2 * count - 1
    assert gateway.rows(REGISTERED) == [(count,)]
    assert gateway.rows("SELECT count(*) FROM nodes") == [(count,)]


@KINDS
def test_who_flaps_is_offline_online_and_never_lost(
    gateway: GatewayProcess, kind: tuple[str, ...]
) -> None:
    """Links break all the time: the gateway sees nodes go and come back, and in the end all are there."""
    count = int(kind[1])
    with simulated(gateway, "flapping", *kind) as flapping:
        until(lambda: "is online (was offline)" in gateway.output, 60, "a node comes back")
        until(lambda: number_of(gateway, REGISTERED) == count, 60, "all are registered")
        flapping.finish(signal.SIGINT)
    assert flapping.happened("link loss") >= 1
    assert flapping.told["counts"]["boots"] == flapping.told["nodes"] == count
    assert flapping.told["counts"]["connections"] > count
    assert gateway.rows("SELECT count(*) FROM nodes") == [(count,)]


def test_clocks_that_jump_take_nobody_offline(gateway: GatewayProcess) -> None:
    """Hours ahead and a day behind: every beat after it is believed, nothing is refused for its time."""
    with simulated(gateway, "clock jump", *LIGHT) as jumping:
        until(lambda: jumping.happened("clock jump") >= 2, 60, "both jumps")
        newest = number_of(gateway, "SELECT max(id) FROM journal")
        beats = (
            f"SELECT count(DISTINCT lane) FROM journal WHERE kind = 'heartbeat' AND id > {newest}"
        )
        until(lambda: number_of(gateway, beats) == 20, 60, "a beat of each node")
        until(lambda: number_of(gateway, f"{beats} AND state > 0") == 20, 60, "all are taken")
        assert gateway.rows(ONLINE) == [(20,)]
        jumping.finish(signal.SIGTERM)
    assert jumping.code == 0
    assert gateway.rows("SELECT * FROM refused") == []


def test_a_fleet_of_versions_is_one_fleet(gateway: GatewayProcess) -> None:
    """Older nodes and field firmware are registered beside ours; who is updated says so."""
    others = "SELECT count(*) FROM nodes WHERE protocol = 0 OR fw_version = '0.9.0'"
    with simulated(gateway, "version mix", *LIGHT) as mixed:
        until(lambda: number_of(gateway, others) == 10, 60, "older nodes and field firmware")
        until(lambda: number_of(gateway, REGISTERED) == 20, 60, "all are registered")
        until(lambda: number_of(gateway, others) < 10, 90, "one of them is updated")
        mixed.finish(signal.SIGTERM)
    assert mixed.happened("upgrade") >= 1
    assert 10 < mixed.told["expect_receipts"] <= 20
    assert gateway.rows("SELECT count(*) FROM nodes") == [(20,)]
