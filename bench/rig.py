"""What is measured, in processes of its own: the broker, the gateway, the load, and what they used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.candidates import HELLO
from gateway.testing.broker import Mosquitto
from gateway.testing.process import until

BROKER = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 1000")
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def broker() -> Iterator[tuple[Mosquitto, Path]]:
    """A mosquitto without limits on its queues, and a folder."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Mosquitto(Path(folder) / "broker", lines=BROKER) as running,
    ):
        yield running, Path(folder)


def run(*words: str, timeout: float = 300) -> dict[str, Any]:
    """Run a module to its end; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1])) if done.stdout else {}


def load(port: int, *words: object) -> dict[str, Any]:
    """Run the load; see `bench.load`."""
    return run("bench.load", str(port), *map(str, words))


class Process:
    """A program that runs beside us until the end of the `with`, and what it has used so far."""

    def __init__(self, words: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._words, self._log, self._env = words, log, {**os.environ, **(env or {})}

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._words, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(120)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(30)

    def end(self, times: int = 1) -> tuple[float, int]:
        """SIGTERM, so many times with a pause between; the seconds until it has ended, and its code."""
        began = time.monotonic()
        for number in range(times):
            if number:
                time.sleep(0.6)  # one signal that comes twice at once is one wish
            self._process.terminate()
        code = self._process.wait(120)
        return time.monotonic() - began, code

    def says(self, word: str) -> bool:
        """True where it has printed this."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended: {self._log.read_text()[-2000:]}")
        return word in self._log.read_text(errors="replace")

    @property
    def cpu(self) -> float:
        """CPU seconds, user and system."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    @property
    def rss(self) -> float:
        """Resident MB."""
        return self._status("VmRSS")

    @property
    def peak(self) -> float:
        """Resident MB, the most so far."""
        return self._status("VmHWM")

    @property
    def written(self) -> int:
        """Bytes that it has caused to be sent to the disk."""
        lines = dict(line.split(": ") for line in self._read("io").splitlines())
        return int(lines["write_bytes"])

    def settle(self, patience: float = 60.0) -> None:
        """Wait until it has nothing to do: two quarters of a second almost without CPU time."""
        deadline, quiet = time.monotonic() + patience, 0
        while quiet < 2:
            if time.monotonic() > deadline:
                raise TimeoutError(f"it is still at work after {patience:g} s")
            before = self.cpu
            time.sleep(0.25)
            quiet = quiet + 1 if self.cpu - before < 0.03 else 0

    def _status(self, name: str) -> float:
        line = next(line for line in self._read("status").splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


class Ours(Process):
    """`gateway run` with its own defaults on this broker, ready."""

    def __init__(
        self, folder: Path, port: int, settings: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        """`settings` is more TOML."""
        self.state = folder / "state"
        self.started_in = 0.0
        folder.mkdir(exist_ok=True)
        config = folder / "gateway.toml"
        broker = f'[broker]\nmode = "external"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        config.write_text(f'schema_version = 1\nstate_dir = "{self.state}"\n{broker}{settings}')
        self._gateway = [sys.executable, "-m", "gateway", "--config", str(config)]
        env = {"PYTHONUNBUFFERED": "1", **(env or {})}
        super().__init__([*self._gateway, "run"], folder / "log", env)

    def __enter__(self) -> Self:
        began = time.monotonic()
        super().__enter__()
        until(lambda: self.says("ready"), 60, "the gateway's line ready")
        self.started_in = time.monotonic() - began
        return self

    def facts(self) -> dict[str, Any]:
        """What `gateway status` says of it, as soon as it is well: a table may have starved it."""
        done = until(lambda: self._ask("status", "--json"), 180, "a gateway that is well")
        return dict(json.loads(done.stdout)["gateway"])

    def command(self, *words: str) -> str:
        """What `gateway WORDS` prints. Raises RuntimeError where it fails."""
        done = self._ask(*words)
        if done is None:
            raise RuntimeError(f"gateway {' '.join(words)} failed")
        return done.stdout

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str] | None:
        done = subprocess.run(
            [*self._gateway, *words], capture_output=True, text=True, timeout=60, check=False
        )
        return done if done.returncode == 0 else None


class Other(Process):
    """A candidate of `bench.candidates`, ready."""

    def __init__(self, name: str, folder: Path, port: int, pattern: str = HELLO) -> None:
        folder.mkdir(exist_ok=True)
        words = ["bench.candidates", name, str(port), "-1", str(folder), pattern]
        super().__init__([sys.executable, "-u", "-m", *words], folder / f"{name}.log")

    def __enter__(self) -> Self:
        super().__enter__()
        until(lambda: self.says("ready"), 60, "its line ready")
        return self
