"""One script: a fleet behind a proxy, six acts, configs pushed in the middle of them, and the way out.

Rules of this file. A script is a seed. An act need not last: it has done its work when it has thrown out
half of the fleet, or after three seconds. What counts is how everybody comes out of it, and how soon.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.cli.fleet import Broker, Fleet
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, until
from gateway.testing.proxy import CLEAR, Proxy, running
from tests.faults.weather.acts import COUNT, Acts

PUSHED = 8
AN_ACT = 3.0
CONFIG = {
    "channels": [{"name": "t", "type": "SENSOR", "metric": "TEMPERATURE"}],
    "mqtt": {"configured": True},
    "wifi": {"configured": True},
}
LINES = ["allow_anonymous true", "max_queued_messages 0"]
REGISTERED = "SELECT 1 FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
ONLINE = "SELECT 1 FROM nodes WHERE life = 'online' AND last_seen_at > ?"
VERIFIED = "SELECT 1 FROM config_desired WHERE state = 'verified' AND revision = 1"


class Outcome(NamedTuple):
    """What a script came to."""

    seed: int
    nodes: int
    acts: list[str]
    connections: int
    """Those that the proxy saw: the fleet's first ones, and each return."""
    seconds: float
    """From the first node's start to the end."""
    well: float
    """From the end of the bad weather until everybody was well."""
    broken: list[str]
    """What should be and is not; empty for a good script."""


class Site:
    """Broker, proxy, gateway and fleet."""

    def __init__(self, folder: Path, nodes: int, proxy: Proxy, broker: Mosquitto) -> None:
        self.nodes = nodes
        self.proxy = proxy
        self.gateway = GatewayProcess(folder / "state", broker.port)
        self.fleet = Fleet(folder / "nodes", nodes, Broker("127.0.0.1", proxy.port))
        self._folder = folder
        self._patience = 120 + nodes
        (folder / "config.json").write_text(json.dumps(CONFIG))
        for path in (folder / "nodes").glob("*/node.json"):
            known = json.loads(path.read_text())
            # a trial outlasts the weather: else going back would be right
            known |= {"interval_s": 2, "trial_s": 300}
            known["mqtt"]["keepalive"] = 6  # half-open connections are noticed within 13 s
            path.write_text(json.dumps(known))

    def wait(self, count: int, what: str, sql: str, *params: object) -> None:
        """Until so many rows are there. Raises TimeoutError that says how many are."""
        try:
            until(lambda: len(self.gateway.rows(sql, *params)) >= count, self._patience)
        except TimeoutError:
            found = len(self.gateway.rows(sql, *params))
            raise TimeoutError(f"{found} of {count} {what} within {self._patience} s") from None

    def push(self, name: str) -> None:
        """A config for a node, as soon as the gateway knows it."""
        until(lambda: self.gateway.node(name), self._patience, f"{name} known")
        words = ("config", "push", name, str(self._folder / "config.json"))
        done = self.gateway.command(*words, timeout=self._patience)
        if done.returncode not in (0, 75):  # 75: not answered yet, and will be done
            raise TimeoutError(f"config push {name}: {done.stderr}")

    def play(self, acts: list[Callable[[], None]]) -> None:
        """Each in turn, and a share of the configs after each. Raises TimeoutError."""
        names = self.fleet.hardware_ids[:PUSHED]
        for number, act in enumerate(acts):
            before = self.proxy.connections
            act()
            for name in names[number::COUNT]:
                self.push(name)
            deadline = time.monotonic() + AN_ACT
            # either it has thrown nodes out and they come back, or it only hinders them
            while self.proxy.connections < before + self.nodes // 2 and time.monotonic() < deadline:
                time.sleep(0.1)

    def well(self) -> None:
        """Until everybody is: seen since this moment, heard by the gateway on the connection that it
        has now, and every config proved. Raises TimeoutError."""
        now = time.time()
        self.wait(self.nodes, "registered", REGISTERED)
        self.wait(self.nodes, "online, and seen since the weather is fine", ONLINE, now)
        self.wait(min(PUSHED, self.nodes), "configs verified", VERIFIED)
        until(lambda: not self._unheard(), self._patience, "a receipt on every last connection")

    def _unheard(self) -> list[str]:
        return [
            name
            for name, log in self.logs().items()
            if log.rfind("receipt uid=") < log.rfind("connected to")
        ]

    def logs(self) -> dict[str, str]:
        """What each node has printed."""
        return {p.parent.name: p.read_text() for p in (self._folder / "nodes").glob("*/node.log")}

    def broken(self) -> list[str]:
        """A node that booted again or said that something is wrong, a plugin that was switched off, a
        message that was half one."""
        lines = self.gateway.lines
        (self._folder / "gateway.log").write_text("\n".join(lines))
        found = [line for line in lines if "switched off" in line]
        for name, log in self.logs().items():
            if log.count(" boot=") != 1:
                found.append(f"{name} booted {log.count(' boot=')} times")
            found += [f"{name}: {line}" for line in log.split("\n") if "rror:" in line]
        refused = self.gateway.rows("SELECT word FROM refused")
        return found + [f"the gateway refused a message: {word}" for (word,) in refused]


def play(folder: Path, seed: int, nodes: int) -> Outcome:
    """One script, in a folder of its own."""
    dice = random.Random(seed)
    with (
        Mosquitto(folder / "broker", lines=LINES) as broker,
        running(Proxy(broker.port, seed=seed)) as proxy,
    ):
        site = Site(folder, nodes, proxy, broker)
        acts = Acts(dice, proxy, broker)
        names = [act.__name__ for act in acts.chosen]
        broken = []
        with site.gateway:
            began = cleared = time.monotonic()
            acts.slow()
            site.fleet.start()
            try:
                site.wait(nodes // 2, "registered behind a slow line", REGISTERED)
                site.play(acts.chosen)
                proxy.weather, cleared = CLEAR, time.monotonic()
                site.well()
            except TimeoutError as error:
                broken.append(str(error))
            finally:
                ended = time.monotonic()
                site.fleet.stop()
        times = round(ended - began, 1), round(ended - cleared, 1)
        return Outcome(seed, nodes, names, proxy.connections, *times, broken + site.broken())
