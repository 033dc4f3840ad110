"""Put umqtt.simple where the device code finds it: `.cache/umqtt/umqtt/simple.py`.

pip refuses its sdist (there is no setup.py in it), so unearth downloads it by name; the hash says
that it is the one the tests were written against. Offline and without a word once it is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NoReturn

REQUIREMENT = "micropython-umqtt.simple==1.3.4"
SHA256 = "8555d2f654deb8eb0d724f79b0811a78cc94029d070f3d96bbd74288653d63a5"
FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "umqtt" / "umqtt"
UNAVAILABLE = 69


def fail(why: str, following: str) -> NoReturn:
    """Three lines for a human, one code for a script."""
    print("error: umqtt.simple is not available", file=sys.stderr)
    print(f"why:   {why}", file=sys.stderr)
    print(f"next:  {following}", file=sys.stderr)
    raise SystemExit(UNAVAILABLE)


def is_ours(content: bytes) -> bool:
    """Whether this is byte by byte the file that the tests were written against."""
    return hashlib.sha256(content).hexdigest() == SHA256


def download(folder: Path) -> bytes:
    """The content of `umqtt/simple.py` from the package index."""
    call = [sys.executable, "-m", "unearth", REQUIREMENT, "--no-binary", "--download", str(folder)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        fail("the package index did not answer within 120 s", "check the network and repeat")
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["unearth said nothing"]
        fail(f"the download failed: {said[-1]}", "check the network, or the venv's unearth")
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            for name in tar.getnames():
                if name.endswith("/umqtt/simple.py") and (member := tar.extractfile(name)):
                    return member.read()
    fail(f"{REQUIREMENT} has no umqtt/simple.py in it", "check the package index in use")


def main() -> None:
    """Download unless it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is well")
    quiet = parser.parse_args().quiet
    target = FOLDER / "simple.py"
    if not (target.is_file() and is_ours(target.read_bytes())):
        with tempfile.TemporaryDirectory() as folder:
            content = download(Path(folder))
        if not is_ours(content):
            fail(f"the sha256 of its simple.py is not {SHA256}", "do not use this package index")
        FOLDER.mkdir(parents=True, exist_ok=True)
        # moved, not written in place: two set-ups at once never see half a file
        part = FOLDER / f"simple.{os.getpid()}.part"
        part.write_bytes(content)
        part.replace(target)
    (FOLDER / "__init__.py").touch()
    if not quiet:
        print(f"umqtt.simple: {target}")


if __name__ == "__main__":
    main()
