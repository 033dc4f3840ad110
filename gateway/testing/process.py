"""A real gateway in a process of its own, and a field node to talk to it: for journeys and faults.

The process can be killed at any moment; what it left is read from its store with a read-only
connection, as an operator would.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def until(condition: Callable[[], Any], timeout: float = 20.0, what: str = "") -> Any:
    """Wait for a condition and return what it gave. Raises TimeoutError that says what was awaited."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what or condition}")
        time.sleep(0.02)


class GatewayProcess:
    """`gateway run` on a state folder and a broker."""

    def __init__(
        self,
        state_dir: Path,
        port: int,
        *,
        env: Mapping[str, str] | None = None,
        broker: str = "external",
    ) -> None:
        self.state_dir = state_dir
        self.env = {
            **os.environ,
            "GATEWAY__STATE_DIR": str(state_dir),
            "GATEWAY__BROKER__MODE": broker,
            "GATEWAY__MQTT__HOST": "127.0.0.1",
            "GATEWAY__MQTT__PORT": str(port),
            "GATEWAY_CONFIG": os.devnull,
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        if broker != "external":
            del self.env["GATEWAY__MQTT__HOST"], self.env["GATEWAY__MQTT__PORT"]
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def start(self, *, wait: bool = True, args: tuple[str, ...] = ()) -> Self:
        """Start it, and wait for its line `ready`."""
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "-v", "run", *args],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        if wait:
            self.wait_for("ready")
        return self

    def wait_for(self, start: str, timeout: float = 30.0) -> str:
        """The first line that starts with this, behind its time where it has one."""
        pattern = re.compile(rf"(?:\d\d:\d\d:\d\d )?{re.escape(start)}")

        def look() -> str | None:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the gateway ended: {self.output}")
            return next((line for line in list(self.lines) if pattern.match(line)), None)

        return str(until(look, timeout, f"a line {start!r} in: {self.output}"))

    @property
    def output(self) -> str:
        """Everything it has printed."""
        return "\n".join(self.lines)

    def command(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `gateway WORDS` on the same state folder, as an operator would."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """A query on its store; [] while there is none yet."""
        path = self.state_dir / "gateway.db"
        try:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)
        except sqlite3.OperationalError:
            return []
        try:
            return connection.execute(sql, params).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()

    def node(self, hardware_id: str) -> dict[str, Any] | None:
        """The node's row."""
        names = "id, uid, hardware_id, type, lifecycle_state, life, gh, zone, last_seen_at, boot_id, name"
        found = self.rows(f"SELECT {names} FROM nodes WHERE hardware_id = ?", hardware_id)
        return dict(zip(names.split(", "), found[0], strict=True)) if found else None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


class Peer:
    """A plain MQTT client: a field node, another service, or an observer."""

    def __init__(
        self,
        port: int,
        client_id: str = "",
        *,
        will: tuple[str, bytes] | None = None,
        clean: bool = True,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean
        )
        self._client.on_message = lambda _c, _u, m: self.got.append(
            (m.topic, bytes(m.payload), m.retain)
        )
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        if login is not None:
            self._client.username_pw_set(*login)
        if will is not None:
            self._client.will_set(will[0], will[1], qos=1, retain=True)
        self._client.connect("127.0.0.1", port, 30)
        self._client.loop_start()
        until(self._client.is_connected, 10, "the peer's connection")

    def say(self, topic: str, payload: Any, *, retain: bool = False, wait: bool = True) -> None:
        """Publish with QoS 1 (a dictionary as JSON) and wait for the PUBACK."""
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if wait:
            info.wait_for_publish(10)

    def listen(self, *filters: str) -> Self:
        """Subscribe and wait for the SUBACK."""
        self._subscribed.clear()
        self._client.subscribe([(f, 1) for f in filters])
        assert self._subscribed.wait(10)
        return self

    def heard(self, ending: str, **fields: object) -> list[dict[str, Any]]:
        """JSON messages on topics that end like this and have these fields."""
        found = []
        for topic, payload, _retain in list(self.got):
            if topic.endswith(ending) and payload.startswith(b"{"):
                message = json.loads(payload)
                if all(message.get(name) == value for name, value in fields.items()):
                    found.append(message)
        return found

    def vanish(self) -> None:
        """Close the socket without a DISCONNECT, so that the broker publishes the will."""
        self._client.loop_stop()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def close(self) -> None:
        """Disconnect as MQTT says."""
        leave(self._client)


def leave(client: paho.Client) -> None:
    """DISCONNECT, and the end of paho's thread.

    In this order: the thread forgets itself as it ends, and `loop_stop` of paho 2.1 raises AttributeError
    where that happens in the middle of it.
    """
    client.loop_stop()
    client.disconnect()
    client._reset_sockets()  # the pair that wakes the thread is left to the garbage collector otherwise


def hello(hardware_id: str, **more: object) -> dict[str, object]:
    """A hello as field firmware sends it."""
    return {
        "message_type": "node_hello",
        "hardware_id": hardware_id,
        "node_type": "climate",
        "fw_version": "1.0.0",
        "capabilities": ["temperature"],
        **more,
    }
