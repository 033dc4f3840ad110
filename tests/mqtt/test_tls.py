"""TLS with certificates of a CA of our own, on a real mosquitto: what works, and what each error says."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import BrokerError, SettingsError
from gateway.mqtt import tls
from gateway.testing.process import until
from gateway.testing.stage import Stage, play, status

VERSIONS = pytest.mark.parametrize("kind", ["mosquitto-3.1.1", "mosquitto-5"])


def openssl(folder: Path, words: str, *more: str) -> int:
    """Run openssl in the folder; the exit code."""
    done = subprocess.run(
        ["openssl", *words.split(), *more], cwd=folder, capture_output=True, timeout=30, check=False
    )
    return done.returncode


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CAs; certificates for `localhost`: good, expired; one for a client; an encrypted key."""
    folder = tmp_path_factory.mktemp("keys")
    new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for ca in ("ca", "stranger"):
        words = f"req -x509 {new} -days 2 -keyout {ca}.key -out {ca}.pem -subj /CN={ca}"
        assert openssl(folder, words) == 0
    (folder / "san").write_text("subjectAltName=DNS:localhost\n")
    for name, days in (("good", 2), ("expired", 0), ("client", 2)):
        assert (
            openssl(folder, f"req {new} -keyout {name}.key -out {name}.csr -subj /CN={name}") == 0
        )
        words = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days}"
        assert openssl(folder, f"{words} -out {name}.pem -extfile san") == 0
    assert openssl(folder, "ec -aes256 -passout pass:x -in client.key -out locked.key") == 0
    made = time.time()  # the last second in which it counts, and Mbed TLS lets all of it pass
    until(lambda: time.time() > made + 1.5, what="the expiry")
    return folder


def server(keys: Path, name: str = "good") -> tuple[str, ...]:
    """The lines of a mosquitto with this certificate."""
    return (
        "allow_anonymous true",
        f"certfile {keys / name}.pem",
        f"keyfile {keys / name}.key",
        f"cafile {keys}/ca.pem",
    )


def options(keys: Path, **more: Any) -> dict[str, Any]:
    """The options of a link that trusts our CA."""
    return {"host": "localhost", "tls": True, "tls_ca": f"{keys}/ca.pem", **more}


def refused(folder: Path, lines: tuple[str, ...], more: dict[str, Any]) -> BrokerError:
    """The error of a link that cannot connect."""
    errors: list[BrokerError] = []

    async def story(stage: Stage) -> None:
        await stage.mosquitto(*lines)
        scribe = await stage.link(ready=False, **more)
        errors.append(await scribe.trouble())
        assert not scribe.link.connected

    play(story, folder)
    (error,) = errors
    assert error.why
    assert error.hint
    return error


@VERSIONS
def test_the_right_ca(kind: str, keys: Path, tmp_path: Path) -> None:
    """With the CA that signed the broker's certificate messages go both ways, big ones too."""

    async def story(stage: Stage) -> None:
        await stage.mosquitto(*server(keys))
        scribe = await stage.link(**options(keys))
        payloads = [b"x" * 200_000, b"y" * 70_000, b"", *(str(n).encode() for n in range(200))]
        for payload in payloads:
            await scribe.link.publish(status("n"), payload)
        await scribe.hears(b"199")
        assert scribe.payloads == payloads

    play(story, tmp_path, kind)


def test_a_stranger_s_ca(keys: Path, tmp_path: Path) -> None:
    """Another CA: the error names the setting that has to be corrected."""
    error = refused(tmp_path, server(keys), options(keys, tls_ca=f"{keys}/stranger.pem"))
    assert "no TLS connection to the broker at localhost" in error.what
    assert "certificate" in error.why
    assert "tls_ca" in error.hint


def test_the_system_s_cas(keys: Path, tmp_path: Path) -> None:
    """Without `tls_ca` the system's CAs are asked, and they do not know ours."""
    assert "tls_ca" in refused(tmp_path, server(keys), options(keys, tls_ca="")).hint


def test_an_expired_certificate(keys: Path, tmp_path: Path) -> None:
    """The error says that it has expired, and thinks of this machine's clock."""
    error = refused(tmp_path, server(keys, "expired"), options(keys))
    assert "expired" in error.why
    assert "clock" in error.hint


def test_another_name(keys: Path, tmp_path: Path) -> None:
    """A certificate of somebody else's name is refused, unless the check is switched off."""
    error = refused(tmp_path, server(keys), options(keys, host="127.0.0.1"))
    assert "127.0.0.1" in error.why
    assert "name that stands in the certificate" in error.hint

    async def story(stage: Stage) -> None:
        await stage.mosquitto(*server(keys))
        await stage.link(**options(keys, host="127.0.0.1", tls_hostname_check=False))

    play(story, tmp_path)


def test_tls_to_a_port_without(keys: Path, tmp_path: Path) -> None:
    """A port that does not speak TLS: the error mentions that possibility."""
    error = refused(tmp_path, ("allow_anonymous true",), options(keys))
    assert "TLS" in f"{error.what}{error.why}{error.hint}"


def test_no_tls_to_a_port_with(keys: Path, tmp_path: Path) -> None:
    """A port that wants TLS hangs up: the error mentions that possibility."""
    error = refused(tmp_path, server(keys), {"host": "localhost"})
    assert "tls" in f"{error.why}{error.hint}"


def test_a_client_certificate(keys: Path, tmp_path: Path) -> None:
    """Where the broker wants to know us by a certificate, ours is shown; without one it hangs up."""
    lines = (*server(keys), "require_certificate true")
    ours = {"tls_cert": f"{keys}/client.pem", "tls_key": f"{keys}/client.key"}

    async def story(stage: Stage) -> None:
        await stage.mosquitto(*lines)
        await stage.link(**options(keys, **ours))

    play(story, tmp_path)
    error = refused(tmp_path, lines, options(keys))
    assert "localhost" in error.what


@pytest.mark.parametrize(
    ("setting", "files"),
    [
        ("tls_ca", ("nowhere", "", "")),
        ("tls_ca", ("san", "", "")),
        ("tls_cert", ("", "nowhere", "client.key")),
        ("tls_key", ("", "client.pem", "")),
        ("tls_cert", ("", "client.pem", "good.key")),
        ("tls_cert", ("", "client.pem", "locked.key")),
        ("tls_ca", ("/proc/self/mem", "", "")),
    ],
    ids=["no CA", "no PEM", "no cert", "no key", "other key", "locked key", "unreadable"],
)
def test_files_that_are_not_usable(setting: str, files: tuple[str, str, str], keys: Path) -> None:
    """Each is an error of the settings that names the setting; nobody is asked for a passphrase."""
    with pytest.raises(SettingsError, match=rf"\[mqtt\] {setting}") as caught:
        tls.context(*(f and str(keys / f) for f in files), check_hostname=True)
    assert caught.value.exit_code == 78
    assert caught.value.why
    assert caught.value.hint
