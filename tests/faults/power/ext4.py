"""A real ext4 that loses its power: shut down by ioctl without a flush of its log, and mounted again.

Needs root and loop devices. What the file system had written stays, what it had promised to have
written must be there; everything else is gone, as on a board whose plug is pulled.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.faults.power.child import FOLDER, Job
from tests.faults.power.rounds import CHILD
from tests.faults.power.truth import Truth, Wrong

EXT4_IOC_SHUTDOWN, WITHOUT_LOG_FLUSH = 0x8004587D, 2
OPERATIONS = 40


class Crash(NamedTuple):
    """What one crash left. `stands` is where the store is, of what was begun and acknowledged."""

    seed: int
    acknowledged: int
    begun: int
    stands: list[int]

    @property
    def wrong(self) -> bool:
        """True where something acknowledged is gone."""
        return not any(self.acknowledged <= stand <= self.begun for stand in self.stands)


def why_not() -> str:
    """Why it cannot be done here; empty where it can."""
    if os.geteuid() != 0:
        return "mounting and shutting down a file system needs root"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4 is not installed: sudo apt install e2fsprogs"
    return ""


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """The file system, mounted. Raises RuntimeError where that is not allowed."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def new_image(folder: Path) -> Path:
    """An empty ext4."""
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    return image


def crash(image: Path, seed: int, synchronous: str = "FULL") -> Crash:
    """A gateway's writer at work until the power goes, and what is there afterwards."""
    dice = random.Random(f"ext4 {seed}")
    place = image.with_name("mnt")
    with mounted(image, place):
        before, after = _work_until(dice.randint(2, OPERATIONS - 2), place, seed, synchronous)
    acknowledged = before.count("acknowledged")
    with mounted(image, place):
        try:
            stands = Truth(seed, OPERATIONS).judge(place / FOLDER, not acknowledged)
        except Wrong:
            stands = []  # not even its tables are there
        shutil.rmtree(place / FOLDER, ignore_errors=True)
    return Crash(seed, acknowledged, (before + after).count("begun"), stands)


def _work_until(limit: int, place: Path, seed: int, synchronous: str) -> tuple[str, str]:
    """What it said before and after the power went. Only what came before counts as acknowledged: a
    machine without power says nothing, and ext4 calls a sync that the shutdown overtakes a success."""
    job = Job(str(place), seed, OPERATIONS, synchronous=synchronous, pages=2000)
    disk = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    reading, writing = os.pipe()
    said = b""
    words = [sys.executable, "-m", CHILD, json.dumps(job)]
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.DEVNULL) as at_work:
        os.close(writing)
        while b"acknowledged %d\n" % limit not in said:
            said += os.read(reading, 1 << 16)
        fcntl.ioctl(disk, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        at_work.kill()
    after = b""
    while more := os.read(reading, 1 << 16):
        after += more
    os.close(reading)
    os.close(disk)
    return said.decode(), after.decode()
