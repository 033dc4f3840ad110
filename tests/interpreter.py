"""A script in the real MicroPython, and what it prints."""

from __future__ import annotations

import subprocess
from pathlib import Path


def played(
    micropython: str, *words: str | Path, path: str = "", heap: str = "", timeout: float = 100
) -> str:
    """The output of a script that ends well: `words` are a file, or -c and a text, and what is given to it;
    `path` where its modules lie beside the frozen ones; `heap` as `-X heapsize` wants it. Raises
    AssertionError with all that it said where it does not."""
    done = subprocess.run(
        [micropython, *(["-X", f"heapsize={heap}"] if heap else []), *words],
        env={"MICROPYPATH": f"{path}:.frozen".lstrip(":")},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
