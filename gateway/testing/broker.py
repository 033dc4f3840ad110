"""Real brokers on a free port of the loopback, that can be killed and started again.

`Mosquitto` and `Nats` have the same interface, so that one test can run on both.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker.choose import speaks_mqtt
from gateway.broker.embedded import find_binary, spawn
from gateway.broker.ports import free_port as free_port

_PATIENCE = 15.0


class Broker:
    """What both have in common: a process, a folder and a port."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def answers(self) -> bool:
        """True where a CONNECT gets its CONNACK."""
        return speaks_mqtt("127.0.0.1", self.port)

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = self._spawn()
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                text = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{type(self).__name__}: {text}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def restart(self) -> None:
        """An ordinary restart on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stand, and nobody answers on them."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish one message with mosquitto's own tool, QoS 1."""
        words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic]
        subprocess.run([*words, "-m", payload, *(["-r"] if retain else [])], check=True, timeout=10)

    def publish_many(self, topic: str, payloads: Iterable[str]) -> None:
        """Publish many messages on one topic over one connection, QoS 1, in order."""
        words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic]
        text = "".join(f"{payload}\n" for payload in payloads)
        subprocess.run([*words, "-l"], input=text.encode(), check=True, timeout=60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class Mosquitto(Broker):
    """`lines` are added to its configuration; without any it has the field's defaults."""

    def __init__(
        self, folder: Path, *, port: int = 0, persistence: bool = False, lines: Iterable[str] = ()
    ) -> None:
        super().__init__(folder, port=port)
        self.lines = [
            # started by root it would become somebody who may not write into our folder
            *(["user root"] if os.geteuid() == 0 else []),
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            f"persistence {'true' if persistence else 'false'}",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            *(lines or ["allow_anonymous true"]),
        ]

    def answers(self) -> bool:
        """True where a CONNECT gets its CONNACK; behind TLS, where it takes connections."""
        if not any(line.startswith("certfile") for line in self.lines):
            return super().answers()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self.lines) + "\n")
        binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if binary is None:
            raise RuntimeError("mosquitto is not installed: sudo apt install mosquitto")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Nats(Broker):
    """The embedded broker's binary and settings, without the gateway that keeps it alive."""

    def _spawn(self) -> subprocess.Popen[bytes]:
        return spawn(find_binary(), self.folder.resolve(), self.port)

    def stop(self) -> None:
        """As the gateway ends it: never by a SIGTERM (gateway/broker/embedded.py)."""
        self.kill()
