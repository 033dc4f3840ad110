"""A real mosquitto on a free port of the loopback, that can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.broker.choose import speaks_mqtt


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """`lines` are added to its configuration; without any it has the field's defaults."""

    def __init__(
        self, folder: Path, *, port: int = 0, persistence: bool = False, lines: Iterable[str] = ()
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._lines = [
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            f"persistence {'true' if persistence else 'false'}",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            *(lines or ["allow_anonymous true"]),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._lines) + "\n")
        binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if binary is None:
            raise RuntimeError("mosquitto is not installed: sudo apt install mosquitto")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not speaks_mqtt("127.0.0.1", self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto: {(self.folder / 'log').read_text()}")
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

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish one message with mosquitto's own tool, QoS 1."""
        words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic]
        subprocess.run([*words, "-m", payload, *(["-r"] if retain else [])], check=True, timeout=10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
