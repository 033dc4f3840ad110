"""What a PC's Python has otherwise than MicroPython; never on a board, nor in package.json."""
# Rules of this file. It stands in for what MicroPython has itself, so that no board has to carry the
# difference. board.py, wire.py, tls.py and link.py take from it what they need, and nothing else does.

import base64
import binascii
import os
import signal
import socket
import ssl
import struct
import sys
import tempfile
import time
import traceback

SSLError = ssl.SSLError

# umqtt.simple 1.3.4 asks for MicroPython's old names
sys.modules.update({"usocket": socket, "ustruct": struct, "ubinascii": binascii})
if os.getenv("UMQTT_DIR"):
    sys.path.append(os.environ["UMQTT_DIR"])


def const(value):
    """Nothing to gain here."""
    return value


def now_ms():
    return int(time.monotonic() * 1000)


def sleep_ms(count):
    time.sleep(count / 1000)


def traceback_of(error):
    return "".join(traceback.format_exception(error))


def begin():
    """Make SIGTERM end us as Ctrl+C does; whoever reads a pipe wants each line at once."""
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue] - a text file

    def end(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def stream_of(sock):
    """An unbuffered file speaks like MicroPython's sockets: None when it would block."""
    return sock.makefile("rwb", 0)


def load_cert_chain(context, certificate, key):
    """From DER, where CPython takes files in PEM form only."""
    text = base64.encodebytes(key).decode()
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # readable by us alone
        file.write(ssl.DER_cert_to_PEM_cert(certificate))
        file.write("-----BEGIN PRIVATE KEY-----\n" + text + "-----END PRIVATE KEY-----\n")
        file.flush()
        context.load_cert_chain(file.name)
