"""The only file that knows ssl: what a broker must prove before anything is said to it."""
# Rules of this file. The broker's certificate is always checked, against the one CA in ca.der, with its
# dates and with the name in mqtt.host; nothing switches that off. Files are DER, the one form that boards
# read. cert.der and key.der (PKCS#8), where both are there, are what we show of ourselves.

import os
import sys


def context(folder):
    """The SSLContext for mqtt.tls. Raises OSError or ValueError with what is wrong with which file."""
    import ssl  # a board without TLS has the memory for something else

    refused = (ValueError, getattr(ssl, "SSLError", ValueError))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        made.load_verify_locations(cadata=_read(folder, "ca.der"))
    except refused:
        raise ValueError("ca.der is no certificate in DER form")
    names = os.listdir(folder or "/")
    if "cert.der" in names and "key.der" in names:
        try:
            _show(made, folder, ssl)
        except refused:
            raise ValueError("cert.der and key.der are no pair in DER form")
    return made


def _read(folder, name):
    try:
        with open(folder + "/" + name, "rb") as file:
            return file.read()
    except OSError:
        raise OSError("%s is not there" % name)


def _show(made, folder, ssl):
    if sys.implementation.name == "micropython":
        made.load_cert_chain(_read(folder, "cert.der"), _read(folder, "key.der"))
        return
    # CPython takes files in PEM form only
    import base64
    import tempfile

    key = base64.encodebytes(_read(folder, "key.der")).decode()
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # readable by us alone
        file.write(ssl.DER_cert_to_PEM_cert(_read(folder, "cert.der")))
        file.write("-----BEGIN PRIVATE KEY-----\n" + key + "-----END PRIVATE KEY-----\n")
        file.flush()
        made.load_cert_chain(file.name)
