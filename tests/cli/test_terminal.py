"""`gateway` at a real terminal: a PTY, what is drawn on it, and Ctrl+C from its keyboard."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path
from subprocess import Popen

import pytest

from gateway.testing.broker import Mosquitto
from gateway.testing.process import until

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A process whose terminal is ours."""

    def __init__(self, folder: Path, *words: str, **settings: str) -> None:
        self._master, slave = pty.openpty()
        keep = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
        self.process = Popen(
            [sys.executable, "-m", "gateway", "--state-dir", str(folder / "state"), *words],
            cwd=folder,
            env={**keep, "PYTHONPATH": str(ROOT), "TERM": "xterm", **settings},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self._seen = b""

    @property
    def text(self) -> str:
        """Everything that was written, without what steers the terminal."""
        try:
            while chunk := os.read(self._master, 65_536):
                self._seen += chunk
        except (BlockingIOError, OSError):
            pass  # nothing more just now, or the child has closed it
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", self._seen.decode("utf-8", "replace"))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait(10)
        os.close(self._master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _see(terminal: Terminal, pattern: str) -> None:
    """Wait until this is on the screen; a failure shows the screen."""
    try:
        until(lambda: re.search(pattern, terminal.text), 100)
    except TimeoutError as error:
        raise AssertionError(f"{pattern} is not in:\n{terminal.text}") from error


def test_a_run_at_a_terminal(tmp_path: Path) -> None:
    """With the file that `gateway init` writes the log stays quiet, the fleet's story is told line by
    line, the table stays under it, and Ctrl+C ends all of it with a line of its own."""
    (tmp_path / "gateway.toml").write_text((ROOT / "gateway.toml").read_text())
    terminal = Terminal(tmp_path, "run", "--broker", "embedded", "--simulate", "1")
    try:
        _see(terminal, r"config +nd-clim-\S+ v1 sent → .*verified in")
        _see(terminal, r"NODE +TYPE +STATE .*\n.*v1 verified")
        terminal.press("\x03")
        until(lambda: terminal.process.poll() is not None, 20)
        told = terminal.text
    finally:
        terminal.close()
    assert terminal.process.returncode == 130
    assert " INFO " not in told
    assert " WARNING " not in told, "that our own nodes go offline at the end is no news"
    assert re.search(r"hello +nd-clim-\S+ \(climate, \S+\) registered, receipt sent", told)
    assert re.search(r"^stopping +1 node, gateway \(0 messages left to do\), broker", told, re.M)


@pytest.mark.parametrize(("settings", "colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_at_a_terminal(tmp_path: Path, settings: dict[str, str], colour: bool) -> None:
    """A terminal gets a heading in bold, and none where NO_COLOR asks for none."""
    terminal = Terminal(tmp_path, "plugins", "list", **settings)
    try:
        until(lambda: terminal.process.poll() is not None, 30)
        assert "PLUGIN" in terminal.text
        assert (b"\x1b[1mPLUGIN" in terminal._seen) is colour
    finally:
        terminal.close()


def test_the_sum_of_a_simulation_has_a_line_of_its_own(tmp_path: Path) -> None:
    """The line that is written over again and again is gone when Ctrl+C brings the sum."""
    with Mosquitto(tmp_path / "broker") as broker:
        where = {"GATEWAY__MQTT__HOST": "127.0.0.1", "GATEWAY__MQTT__PORT": str(broker.port)}
        terminal = Terminal(tmp_path, "simulate", "-n", "1", **where)
        try:
            _see(terminal, "1 of 1 connected, 0 receipted")
            terminal.press("\x03")
            _see(terminal, "1 node, 0 of 1 receipted")
            until(lambda: terminal.process.poll() is not None, 20)
            assert b"\x1b[K1 node, 0 of 1 receipted" in terminal._seen
        finally:
            terminal.close()
    assert terminal.process.returncode == 1
