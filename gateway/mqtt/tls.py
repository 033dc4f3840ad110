"""A TLS context from files, with errors that name the file and the way out."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.errors import BrokerError, SettingsError


def context(ca: str, cert: str, key: str, *, check_hostname: bool) -> ssl.SSLContext:
    """A client's context: CERT_REQUIRED always; the hostname unless it is switched off.

    Raises SettingsError where a file is missing or is not what it should be.
    """
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    made.check_hostname = check_hostname
    made.verify_mode = ssl.CERT_REQUIRED
    if ca:
        _need(ca, "tls_ca")
        # Python 3.13 refuses a CA made as mosquitto's own manual says (no key usage); who names a CA
        # of his own vouches for it, and its signatures, dates and names are checked as ever
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            made.load_verify_locations(Path(ca).expanduser())
        except OSError as error:  # SSLError is one
            raise _wrong("tls_ca", ca, error) from error
    if cert or key:
        _need(cert, "tls_cert")
        _need(key, "tls_key")
        try:
            # without a password OpenSSL would ask for one on the terminal, and wait
            made.load_cert_chain(Path(cert).expanduser(), Path(key).expanduser(), password="")
        except OSError as error:
            raise _wrong("tls_cert", cert, error) from error
    return made


def explain(error: OSError, host: str) -> BrokerError:
    """What a failed handshake means, in the operator's words."""
    words = (getattr(error, name, "") for name in ("verify_message", "reason", "strerror"))
    text = next((str(word) for word in words if word), str(error))
    hint = "check [mqtt] tls_ca: it must be the CA that signed the broker's certificate"
    if "expired" in text:
        hint = "renew the broker's certificate, or set this machine's clock"
    elif "ostname" in text or "IP address mismatch" in text:
        hint = f"use a name that stands in the certificate instead of {host}"
    elif isinstance(error, ConnectionError | ssl.SSLEOFError) or "wrong version" in _plain(text):
        hint = "that port may not speak TLS: [mqtt] tls = false, or another port"
    return BrokerError(f"no TLS connection to the broker at {host}", why=text, hint=hint)


def _plain(text: str) -> str:
    return text.lower().replace("_", " ")


def _need(path: str, name: str) -> None:
    if not path or not Path(path).expanduser().is_file():
        raise SettingsError(
            f"[mqtt] {name}: there is no file {path or '(empty)'}",
            why="TLS needs it",
            hint=f"correct [mqtt] {name} in gateway.toml",
        )


def _wrong(name: str, path: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"[mqtt] {name}: {path} is not usable",
        why=error.strerror or str(error),
        hint="it must be a readable PEM file without a passphrase",
    )
