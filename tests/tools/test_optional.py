"""What a machine has no wheel for is told, and the set-up goes on; any other trouble ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools" / "optional.sh"


def install(folder: Path, requirement: str) -> subprocess.CompletedProcess[str]:
    """Run the script against an index that has nothing."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"# a comment\n{requirement}\n")
    return subprocess.run(
        [
            "sh",
            str(SCRIPT),
            f"{sys.executable} -m pip -qq",
            str(wanted),
            "sudo apt install mosquitto",
        ],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_no_wheel_for_this_machine_is_told_with_what_follows(tmp_path: Path) -> None:
    """One line names the package and what to do, and the set-up goes on."""
    done = install(tmp_path, "hellogate-has-no-such-wheel==1.0")
    assert done.returncode == 0
    assert "no wheel of hellogate-has-no-such-wheel" in done.stdout
    assert "sudo apt install mosquitto" in done.stdout


def test_other_trouble_ends_the_set_up(tmp_path: Path) -> None:
    """What pip said is shown, and the exit code is not 0."""
    done = install(tmp_path, "not a requirement")
    assert done.returncode == 69
    assert "not a requirement" in done.stderr
