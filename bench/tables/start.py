"""T7, the second half: how long a command needs before it does anything, and the gateway to be ready."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from bench.frame import Options, in_turn, middle, spread, table
from bench.rig import Ours, broker

COMMANDS = {
    'python -c "import click"': ["-c", "import click"],
    'python -c "import paho.mqtt.client"': ["-c", "import paho.mqtt.client"],
    "gateway version": ["-m", "gateway", "version"],
    "gateway --help": ["-m", "gateway", "--help"],
    "gateway nodes --help": ["-m", "gateway", "nodes", "--help"],
}


def command(words: list[str]) -> Callable[[], float]:
    """Milliseconds of one run."""

    def go() -> float:
        began = time.monotonic()
        # no timeout: with one, Python looks for the end in steps of up to 50 ms
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
        return (time.monotonic() - began) * 1000

    return go


def run(options: Options) -> None:
    """Print it."""
    with broker() as (running, folder):

        def ready() -> float:
            shutil.rmtree(folder / "us", ignore_errors=True)
            with Ours(folder / "us", running.port) as us:
                return us.started_in * 1000

        candidates = {f"`{name}`": command(words) for name, words in COMMANDS.items()}
        candidates["`gateway run` to its line `ready`, store made anew"] = ready
        found = in_turn(Options(options.rounds * 2, options.quick), candidates)
    base = middle(next(iter(found.values())))
    rows = [[name, spread(ms), f"{middle(ms) / base:.2f}"] for name, ms in found.items()]
    table("Start", "Milliseconds.", ["command", "median (least-most)", "ratio"], rows)
