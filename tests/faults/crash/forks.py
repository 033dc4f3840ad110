"""Gateways without the second that Python needs to start: a server that has imported everything forks.

    with Forks() as forks:
        gateway = ForkedGateway(forks, state_dir, port, env=...).start()

The child is `gateway run` as the command line has it, with the same arguments and environment; only
waiting times are shorter (`QUICK`). `python -m tests.faults.crash.forks` is the server: it has one
thread and no socket, so that what it forks is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.testing.process import GatewayProcess, until

ROOT = Path(__file__).parents[3]
QUICK = {
    ("gateway.mqtt.session", "FIRST_PAUSE"): 0.1,
    ("gateway.engine.life", "PRUNE_EVERY"): 0.3,
    ("gateway.store.journal", "LEAST"): 50,
}
"""Constants that are waiting times, and how many rows are always kept; nothing else is changed. A talker whose
connection breaks says twenty messages again, which others have followed: more rows than that are kept."""
REDELIVERY = ('ack_wait: "30s"', 'ack_wait: "4s"')
"""The same in the settings of the embedded broker."""

CLOCK = "LAB_CLOCK"
"""Names the file with the error of the wall clock, in seconds."""


class Forks:
    """The server as its clients see it; any thread may fork."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crash.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._lock = threading.Lock()
        self._asked = 0
        self._pids: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def fork(self, words: list[str], env: Mapping[str, str], log: Path) -> Forked:
        """A child that runs `gateway WORDS`; what it prints goes into `log`."""
        with self._lock:
            self._asked += 1
            number = self._asked
        self._ask(number, words=words, env=dict(env), log=str(log))
        return Forked(self, number, until(lambda: self._pids.get(number), 30, "a fork"))

    def send_signal(self, number: int, which: int) -> None:
        """Signal a child, unless it has ended.

        Its parent does it: whoever else has only a process id may hit whom the system gave that next.
        """
        self._ask(number, signal=int(which))

    def end_of(self, number: int) -> int | None:
        """The exit code of a child, as `subprocess` has it; None while it lives.

        Not by its process id: the system gives that to another child some minutes later.
        """
        return self._ends.get(number)

    def _ask(self, number: int, **wish: Any) -> None:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"number": number, **wish}) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, first, second = line.split()
            if word == "began":
                self._pids[int(first)] = int(second)
            else:
                self._ends[int(first)] = int(second)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it ends its children and itself
        self._process.wait(20)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Forked:
    """A child; what `GatewayProcess` needs of `subprocess.Popen`."""

    def __init__(self, forks: Forks, number: int, pid: int) -> None:
        self.pid = pid
        self._number = number
        self._forks = forks

    @property
    def returncode(self) -> int | None:
        """Negative for a signal."""
        return self._forks.end_of(self._number)

    poll = returncode.fget

    def wait(self, timeout: float) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.returncode) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        """To a process that may have ended."""
        if self.returncode is None:
            self._forks.send_signal(self._number, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class ForkedGateway(GatewayProcess):
    """`gateway run` from the server."""

    def __init__(self, forks: Forks, state_dir: Path, port: int, **options: Any) -> None:
        super().__init__(state_dir, port, **options)
        self._forks = forks
        self._log = state_dir.with_name(state_dir.name + ".log")
        self._log.touch()
        self._from = 0

    def start(
        self,
        *,
        wait: bool = True,
        args: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        words: tuple[str, ...] = ("-v", "run"),
    ) -> Self:
        """Start it; `env` is for this run alone, and `words` may be another command of it."""
        self._from = self._log.stat().st_size
        found: Any = self._forks.fork([*words, *args], {**self.env, **(env or {})}, self._log)
        self.process = found
        if wait:
            self.wait_for("ready")
        return self

    @property
    def lines(self) -> list[str]:
        """What this run has printed."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace").splitlines()

    @lines.setter
    def lines(self, _lines: list[str]) -> None:
        """The log keeps everything."""

    def whole_log(self) -> str:
        """What all runs have printed."""
        return self._log.read_text(errors="replace")


# -- the server ------------------------------------------------------------------------------------


def _prepare() -> None:
    """Import everything, and shorten what waits."""
    import gateway_config  # noqa: F401 - the same
    import gateway_heartbeat  # noqa: F401 - the same
    import gateway_hello  # noqa: F401 - the same

    import gateway.app
    import gateway.cli.run  # noqa: F401 - the same
    from gateway.broker import embedded

    for (module, name), value in QUICK.items():
        assert type(getattr(sys.modules[module], name)) is type(value), name
        setattr(sys.modules[module], name, value)
    assert REDELIVERY[0] in embedded._CONFIG
    embedded._CONFIG = embedded._CONFIG.replace(*REDELIVERY)


def _serve() -> None:
    _prepare()
    children: dict[int, int] = {}
    rest = b""
    while True:
        for pid in list(children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                os.write(1, f"ended {children.pop(pid)} {code}\n".encode())
        if not select.select([0], [], [], 0.005)[0]:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _grant(json.loads(line), children)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _grant(wish: dict[str, Any], children: dict[int, int]) -> None:
    """A new child, or a signal to one that is there."""
    if "signal" in wish:
        for pid, number in children.items():
            if number == wish["number"]:
                os.kill(pid, wish["signal"])  # ours until we have asked for its end
        return
    pid = os.fork()
    if not pid:
        _child(wish)
    children[pid] = wish["number"]
    os.write(1, f"began {wish['number']} {pid}\n".encode())


def _child(wish: dict[str, Any]) -> None:
    """Become `gateway WORDS`; never returns."""
    from gateway.cli import main

    handle = os.open(wish["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in ((0, nothing), (1, handle), (2, handle)):
        os.dup2(source, number)
    os.environ.clear()
    os.environ.update(wish["env"])
    sys.argv = ["gateway", *wish["words"]]
    if CLOCK in os.environ:
        _follow(Path(os.environ[CLOCK]))
    code = 70
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _follow(file: Path) -> None:
    """The wall clock is wrong by as many seconds as stand in a file; every other clock runs on."""
    right = time.time
    time.time = lambda: right() + float(file.read_text() or 0)


if __name__ == "__main__":
    _serve()
