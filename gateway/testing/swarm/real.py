"""The fleet of real nodes: the device's files on the real interpreter, a process for each.

Rules of this file. A node's folder is its flash. What a node says is read from its log, as a person would.
A node that ends is started again, as a board's reset would; who loses its link has a door of its own to
the broker. No node outlives us.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.child import bound
from gateway.testing.proxy import Proxy
from gateway.testing.swarm.scenario import Make, Play, Scenario, only_for_light

_RESTART_PAUSE = 1.0
_MANY = 3  # so often it may end by itself before somebody is told
_MOST_LOG = 1 << 20
_SAID = {
    "connected to ": "connections",
    "hello sent ": "said node_hello",
    "receipt uid=": "got hello_ack",
}
"""How a line of its log begins -> what it counts as."""
_NO_LINK = ("connection lost", "broker not reached", "Wi-Fi lost", "asleep ")


class RealNode:
    """One process and what its log says."""

    def __init__(self, folder: Path, start: list[str], counts: Counter[str]) -> None:
        self.folder = folder
        self.make = Make()
        self.door: Proxy | None = None
        self.restarts = 0
        self.connected = self.heard = self.answered = False
        self._start = start
        self._counts = counts
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = 0.0
        self.last_words = "its log is empty"
        self._log = folder / "node.log"
        self._read = self._log.stat().st_size if self._log.exists() else 0

    @property
    def is_on(self) -> bool:
        """True while it has power."""
        return self._process is not None

    def boot(self) -> None:
        """Power on."""
        self._counts["boots"] += 1
        self._ended_at = 0.0
        with self._log.open("ab") as log:
            if log.tell() > _MOST_LOG:
                log.truncate(0)
                self._read = 0
            self._process = subprocess.Popen(
                self._start,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C is not for it
            )

    def cut_power(self) -> None:
        """SIGKILL, in the middle of anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        self.tick()
        self.connected = self.heard = False

    def lose_link(self) -> None:
        """Its connection is reset, on both sides of the door."""
        if self.door is not None:
            self.door.cut()

    def tick(self) -> None:
        """Read what it said; start it again where it has ended."""
        for line in self._new_lines():
            self.last_words = line.strip() or self.last_words
            self._take(line)
        if self._process is None or self._process.poll() is None:
            return
        now = time.monotonic()
        if not self._ended_at:
            self._ended_at = now
            self.restarts += 1
            self.connected = self.heard = False
        elif now - self._ended_at >= _RESTART_PAUSE:
            self.boot()

    def _new_lines(self) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(self._read)
            whole, end, _part = log.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        return whole.decode("utf-8", "replace").splitlines()

    def _take(self, line: str) -> None:
        if " boot=" in line:  # perhaps behind the torn last line of the boot before
            self.connected = self.heard = False
            return
        for start, name in _SAID.items():
            if line.startswith(start):
                self._counts[name] += 1
        if line.startswith("connected to "):
            self.connected, self.heard = True, False
        elif line.startswith("receipt uid="):
            self.heard = self.answered = True
        elif line.startswith(_NO_LINK):
            self.connected = self.heard = False


class RealFleet:
    """All of them."""

    starts = 20
    unanswered = 20

    def __init__(self, order: dict[str, Any], counts: Counter[str], dice: random.Random) -> None:
        self._dice = dice
        self._host, self._port = order["broker"]
        self._doors: list[Proxy] = []
        self.nodes = [
            RealNode(Path(folder), bound(start), counts) for folder, start in order["real"].items()
        ]
        self._told: set[Path] = set()

    async def play(self, scenario: Scenario) -> Play[RealNode]:
        """Let things happen to them. Raises ValueError for what cannot."""
        wrong = only_for_light(scenario)
        if wrong:
            raise ValueError(f"{wrong} is for light nodes: leave out --micropython")
        if any(step.does == "link_loss" for step in scenario.steps):
            for node in self.nodes:
                await self._give_door(node)
        return Play(scenario, self.nodes, self._dice, {})

    async def _give_door(self, node: RealNode) -> None:
        node.door = await Proxy(self._port, to=self._host).__aenter__()
        self._doors.append(node.door)
        path = node.folder / "node.json"
        settings = json.loads(path.read_text())
        settings["mqtt"] |= {"host": "127.0.0.1", "port": node.door.port}
        path.write_text(json.dumps(settings, indent=1) + "\n")  # its mode stays as it is

    def news(self) -> list[str]:
        """A line for each node that keeps ending, with its last words."""
        bad = [n for n in self.nodes if n.restarts >= _MANY and n.folder not in self._told]
        self._told |= {node.folder for node in bad}
        return [f"{node.folder.name} keeps ending: {node.last_words}" for node in bad]

    async def close(self) -> None:
        """Shut the doors."""
        for door in self._doors:
            await door.__aexit__(None, None, None)

    def save(self) -> None:
        """Their folders are their flash."""
