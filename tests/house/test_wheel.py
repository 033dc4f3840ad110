"""What is installed: no module of ours under a name that belongs to everybody."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_claims_only_its_own_names(tmp_path: Path) -> None:
    """`plugins`, `device` and `tests` never reach site-packages; the device's files travel as data."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"gateway", "gateway_hello", "gateway_heartbeat", "gateway_config"}
    assert "gateway/_device/gwnode/node.py" in names
    assert "gateway/store/sql/0001_core.sql" in names
    assert "gateway/host/scaffold/plugin.txt" in names
    assert not [name for name in names if "test_" in name]
