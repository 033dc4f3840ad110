"""A certificate authority of our own, by openssl: what a broker and a node show of themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def openssl(folder: Path, words: str) -> int:
    """Run openssl in the folder; the exit code."""
    call = ["openssl", *words.split()]
    done = subprocess.run(call, cwd=folder, capture_output=True, timeout=30, check=False)
    return done.returncode


def new_ca(folder: Path, name: str) -> None:
    """An authority that counts two days, as PEM and DER."""
    words = f"req -x509 {_KEY} -days 2 -keyout {name}.key -out {name}.pem -subj /CN={name}"
    assert openssl(folder, words) == 0
    assert openssl(folder, f"x509 -in {name}.pem -outform DER -out {name}.der") == 0


def sign(folder: Path, name: str, ca: str, days: int) -> None:
    """A certificate for `localhost` under a CA, as PEM and DER."""
    (folder / "san").write_text("subjectAltName=DNS:localhost\n")
    words = (
        f"req {_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}",
        f"x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days {days}"
        f" -out {name}.pem -extfile san",
        f"x509 -in {name}.pem -outform DER -out {name}.der",
        f"pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.key.der",
    )
    for one in words:
        assert openssl(folder, one) == 0, one


def broker_lines(keys: Path, name: str) -> list[str]:
    """What makes a mosquitto show the certificate `name`."""
    return [f"certfile {keys / name}.pem", f"keyfile {keys / name}.key", f"cafile {keys}/ca.pem"]
