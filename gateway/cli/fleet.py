"""Nodes without hardware: the device's own files as processes, for `gateway run` and `gateway simulate`.

Rules of this file. A node is real MicroPython where there is one, else the same files under CPython.
Each has a folder of its own that is kept, so that the next run finds the same hardware. A node that
ends is started again, as a board's reset would. No node outlives us.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.child import bound
from gateway.cli import output
from gateway.cli.operator import Operator
from gateway.cli.parts import Parts, find_parts
from gateway.errors import BrokerError

TYPES = ("climate", "ph", "relay", "ec", "irrig", "light", "water_sensor", "recirculation")
HEAP = "192k"
_HARDWARE = re.compile(r"esp32-[0-9a-f]{12}")
_RESTART_PAUSE = 1.0
_MOST_RESTARTS = 20
_LONG_LIFE = 60.0


class Broker(NamedTuple):
    """Where the nodes connect."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    root: str = "hydro"


def start_line(parts: Parts, folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that start one node: the one place that knows them."""
    main, given = str(parts.device / "main.py"), ["--dir", str(folder)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY", "PYTHON"))}
    environment["UMQTT_DIR"] = str(parts.umqtt)
    if parts.micropython is None:
        return [sys.executable, "-u", main, *given], environment
    environment["MICROPYPATH"] = f"{parts.device}:{parts.umqtt}:.frozen"
    return [str(parts.micropython), "-X", f"heapsize={HEAP}", main, *given], environment


def title(parts: Parts, number: int, done: str = "") -> str:
    """`3 real MicroPython nodes (192 KB heap each)`."""
    heap = f" ({HEAP[:-1]} KB heap each)" if parts.micropython else ""
    return f"{output.count(number, f'{parts.kind} node')}{done}{heap}"


def node_settings(hardware_id: str, node_type: str, broker: Broker) -> dict[str, Any]:
    """The node.json of a simulated node."""
    mqtt: dict[str, Any] = {"host": broker.host, "port": broker.port}
    if broker.username:
        mqtt |= {"username": broker.username, "password": broker.password}
    who = {"hardware_id": hardware_id, "node_type": node_type}
    return {**who, "root": broker.root, "mqtt": mqtt, "interval_s": 5}


def make_folders(where: Path, number: int, broker: Broker) -> list[Path]:
    """Folders of `number` nodes: those of the last run first, then new ones."""
    where.mkdir(parents=True, exist_ok=True)
    found = sorted(f for f in where.iterdir() if _HARDWARE.fullmatch(f.name) and f.is_dir())
    folders = found[:number]
    stem = folders[0].name[6:16] if folders else secrets.token_hex(5)
    for index in range(len(folders), number):
        tail = index + 1
        while (where / f"esp32-{stem}{tail & 0xFF:02x}").exists() or tail > 0xFF:
            stem, tail = secrets.token_hex(5), 1
        folder = where / f"esp32-{stem}{tail:02x}"
        folder.mkdir()
        folders.append(folder)
    for index, folder in enumerate(folders):
        _write_settings(folder, node_settings(folder.name, TYPES[index % len(TYPES)], broker))
    return folders


def _write_settings(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Keep what is there (an identity, somebody's edits), but for where the broker is."""
    path = folder / "node.json"
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {}
    kept = {**wanted, **kept, "mqtt": {**kept.get("mqtt", {}), **wanted["mqtt"]}}
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)  # the broker's password may be in it
    fresh.write_text(json.dumps(kept, indent=1) + "\n")
    fresh.replace(path)


class _Node:
    """One process and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.streak = 0  # restarts without a long life between them
        self.started_at = 0.0
        self.ended_at = 0.0


class Fleet:
    """Some nodes on this machine."""

    def __init__(self, where: Path, number: int, broker: Broker) -> None:
        self.parts = find_parts()
        self._nodes = [_Node(folder) for folder in make_folders(where, number, broker)]

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def hardware_ids(self) -> list[str]:
        """The nodes' hardware ids."""
        return [node.folder.name for node in self._nodes]

    @property
    def title(self) -> str:
        """`3 real MicroPython nodes started (192 KB heap each)`."""
        return title(self.parts, len(self), " started")

    def start(self) -> None:
        """Start all of them."""
        for node in self._nodes:
            self._start(node)

    def _start(self, node: _Node) -> None:
        command, environment = start_line(self.parts, node.folder.resolve())
        with (node.folder / "node.log").open("ab") as log:
            if log.tell() > 1 << 20:
                log.truncate(0)
            node.process = subprocess.Popen(  # noqa: S603 - our own files, no shell
                bound(command),  # a node must not go on alone for ever
                env=environment,
                cwd=node.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C is for us; we stop them in our order
            )

    def tend(self, now: float) -> list[str]:
        """Start again what has ended; returns a line for each node that is given up."""
        given_up = []
        for node in self._nodes:
            if node.process is None or node.process.poll() is None:
                continue
            if not node.ended_at:
                node.ended_at = now
                node.restarts += 1
                lived = now - node.started_at
                node.streak = 1 if lived > _LONG_LIFE else node.streak + 1
                if node.streak > _MOST_RESTARTS:
                    given_up.append(
                        f"{node.folder.name} keeps ending: {self.last_words(node.folder)}"
                    )
                    node.process = None
            elif now - node.ended_at >= _RESTART_PAUSE:
                node.ended_at, node.started_at = 0.0, now
                self._start(node)
        return given_up

    def last_words(self, folder: Path) -> str:
        """The last line of a node's log."""
        try:
            lines = (
                (folder / "node.log").read_bytes()[-2000:].decode("utf-8", "replace").split("\n")
            )
        except OSError:
            return "no log"
        return output.clean(next((x for x in reversed(lines) if x.strip()), "its log is empty"))

    def restarts(self, hardware_id: str) -> int:
        """How often this node ended and was started again."""
        return next((n.restarts for n in self._nodes if n.folder.name == hardware_id), 0)

    def stop(self, grace: float = 1.5) -> None:
        """End all of them."""
        running = [n.process for n in self._nodes if n.process and n.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def find_broker(operator: Operator) -> Broker:
    """The running gateway's broker, else the configured one. Raises BrokerError for none at all."""
    mqtt = operator.loaded.settings.mqtt
    host, port = mqtt.host, mqtt.port
    if operator.running:
        facts = operator.ask("status", wait=5.0).result
        host, port = facts.get("host") or host, facts.get("port") or port
    if not host:
        raise BrokerError(
            "there is no broker to connect to",
            why=f"no gateway runs on {operator.state_dir}, and [mqtt] host is not set",
            hint="gateway run (in another terminal), then this again",
        )
    return Broker(host, port, mqtt.username, mqtt.password, mqtt.root)
