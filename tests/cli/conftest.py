"""A state folder with the core's tables, and a gateway that only answers commands."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "gateway/store/sql/0001_core.sql"
CONFIG = ROOT / "plugins/config/gateway_config/migrations/0001_config.sql"
NOW = 1_760_000_000.0


class State:
    """A state folder, filled by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run((CORE.read_text(), CONFIG.read_text()))

    def run(self, scripts: tuple[str, ...]) -> None:
        """Run SQL scripts."""
        with closing(sqlite3.connect(self.folder / "gateway.db")) as connection:
            for script in scripts:
                connection.executescript(script)
            connection.commit()

    def add(self, table: str, **values: Any) -> None:
        """Insert one row."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with closing(sqlite3.connect(self.folder / "gateway.db")) as connection, connection:
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values())
            )

    def node(self, number: int = 1, **values: Any) -> None:
        """A registered pH node `nd-ph-<number>` of the hardware `esp32-<number>`."""
        row: dict[str, Any] = {
            "id": number,
            "uid": f"nd-ph-{number}",
            "hardware_id": f"esp32-{number}",
            "type": "ph",
            "lifecycle_state": "REGISTERED_BACKEND",
            "life": "online",
            "secret": "s3cr3t",
            "created_at": NOW,
            "updated_at": NOW,
        } | values
        self.add("nodes", **row)
        for name in (row["uid"], row["hardware_id"]):
            if name:
                self.add("node_names", name=name.lower(), node_id=number)

    def message(self, number: int, kind: str, payload: Any, **values: Any) -> None:
        """A message of `esp32-1` in the journal."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        row: dict[str, Any] = {
            "id": number,
            "at": NOW,
            "observed": 0.0,
            "session": "control",
            "class": "journal",
            "kind": kind,
            "lane": "esp32-1",
            "topic": f"hydro/gh-1/zn-1/nd-ph-1/{kind}",
            "payload": body,
            "crc": 0,
            "state": 1,
        } | values
        self.add("journal", **row)

    def dead(self, number: int, plugin: str = "weather", error: str = "KeyError: 'unit'") -> None:
        """A plugin gave up on a message."""
        self.add(
            "delivery", journal_id=number, plugin=plugin, lane="esp32-1", state="dead",
            attempts=5, error=error,
        )  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> State:
    """An empty store in a folder of its own."""
    return State(tmp_path)


Call = Callable[..., Result]


@pytest.fixture
def gw(state: State, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `gateway --state-dir <state> ...` in this process."""
    monkeypatch.chdir(state.folder)
    from gateway.cli import cli

    def call(*words: str, input: str | None = None) -> Result:
        return CliRunner().invoke(
            cli, ["--state-dir", str(state.folder), *words], input=input, prog_name="gateway"
        )

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m gateway ...` as a process of its own, in an empty folder."""

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        keep = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            cwd=tmp_path,
            env={**keep, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway on a mosquitto."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        GatewayProcess(tmp_path / "state", broker.port) as running,
    ):
        yield running


class AnsweringGateway:
    """Holds the lock of a state folder and answers each command from a table, like the real one:
    into the journal's row of the command. A verb that is not in the table gets no answer."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.answers: dict[str, tuple[bool, dict[str, Any]]] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self._stop = threading.Event()
        self._lock = (state.folder / "gateway.lock").open("a+")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._lock.write("4711\n")
        self._lock.flush()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        from gateway.store.commands import CommandWatch, dedupe_key

        watch = CommandWatch(self.state.folder / "commands.db")
        while not self._stop.wait(0.005):
            for asked in watch.look():
                self.asked.append((asked.verb, asked.node, json.loads(asked.args)))
                if asked.verb in self.answers:
                    ok, result = self.answers[asked.verb]
                    self.state.message(
                        9000 + len(self.asked), asked.verb, {}, **{"class": "command"},
                        dedupe=dedupe_key(asked.id),
                        answer=json.dumps({"ok": ok, "result": result}),
                    )  # fmt: skip
        watch.close()

    def stop(self) -> None:
        """Let go of everything."""
        self._stop.set()
        self._thread.join()
        self._lock.close()


@pytest.fixture
def answering(state: State) -> Iterator[AnsweringGateway]:
    """A gateway that only answers commands."""
    found = AnsweringGateway(state)
    yield found
    found.stop()
