"""Put each seeded defect into a copy of the code and see whether its test notices.

`python tests/mutants [NAME ...]`: prints a line for each defect and exits 1 where one survives. A
test that fails to run at all (an import that breaks, a test that is not there) has caught nothing.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from defect import Defect
from defects import DEFECTS

ROOT = Path(__file__).parents[2]
_FAILED = 1  # pytest: tests ran, and some failed
_PATIENCE = 120.0


def main() -> int:
    """Run what was asked for; the number of survivors decides."""
    parser = argparse.ArgumentParser(prog="python tests/mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these defects")
    parser.add_argument("--list", action="store_true", help="print the defects and their tests")
    parser.add_argument(
        "--jobs", type=int, default=3, help="how many copies, each with its own test"
    )
    asked = parser.parse_args()
    chosen = [d for d in DEFECTS if not asked.names or d.name in asked.names]
    unknown = set(asked.names) - {d.name for d in DEFECTS}
    if unknown:
        parser.error(f"no such defect: {', '.join(sorted(unknown))}")
    if asked.list:
        for defect in chosen:
            print(f"{defect.name:36} {defect.test}")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        return _run(chosen, Path(folder), asked.jobs)


def _run(chosen: list[Defect], folder: Path, jobs: int) -> int:
    copy, began = folder / "0", time.monotonic()
    _copy(copy)
    tests = sorted({defect.test for defect in chosen})
    print(f"{len(chosen)} defects, {len(tests)} tests; first without any defect")
    code, _, output = _test(copy, tests)
    if code != 0:
        print(output)
        print("these tests must pass before they can catch anything")
        return 1
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(jobs):
        if number:
            _copy(folder / str(number))
        free.put(folder / str(number))

    def is_caught(defect: Defect) -> bool:
        place = free.get()
        try:
            return _is_caught(place, defect)
        finally:
            free.put(place)

    with ThreadPoolExecutor(jobs) as pool:
        caught = list(pool.map(is_caught, chosen))
    survivors = [d.name for d, was_caught in zip(chosen, caught, strict=True) if not was_caught]
    took = time.monotonic() - began
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} caught in {took:.0f} s")
    for name in survivors:
        print(f"survived: {name}")
    return 1 if survivors else 0


def _is_caught(copy: Path, defect: Defect) -> bool:
    path = copy / defect.file
    sound = path.read_text("utf-8")
    path.write_text(defect.applied(sound), "utf-8")
    try:
        code, seconds, output = _test(copy, [defect.test])
    finally:
        path.write_text(sound, "utf-8")
    caught = code == _FAILED
    print(f"{'caught' if caught else 'SURVIVED':9}{seconds:6.1f} s  {defect.name:36} {defect.test}")
    if code not in (0, _FAILED):
        print(output[-2000:])
    sys.stdout.flush()
    return caught


def _test(copy: Path, tests: Iterable[str]) -> tuple[int, float, str]:
    """pytest's exit code, seconds, output. A test that hangs on a defect has noticed it."""
    began = time.monotonic()
    words = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    words += ["--hypothesis-profile", "first-failure", *tests]
    # before what is installed: the copy's own plugins
    path = os.pathsep.join(map(str, [copy, *(copy / "plugins").glob("*/")]))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            words,
            cwd=copy,
            env=env,
            capture_output=True,
            text=True,
            timeout=_PATIENCE * (1 + len(list(tests)) / 10),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _FAILED, time.monotonic() - began, "it hangs"
    return done.returncode, time.monotonic() - began, done.stdout + done.stderr


def _copy(target: Path) -> None:
    """The files that git knows, and what was downloaded beside them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, to = ROOT / name, target / name
        if source.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to)
    if (ROOT / ".cache").is_dir():
        (target / ".cache").symlink_to(ROOT / ".cache")


if __name__ == "__main__":
    sys.exit(main())
