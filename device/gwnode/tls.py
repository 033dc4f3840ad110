"""The only file that knows ssl: what a broker must prove before anything is said to it."""
# Rules of this file. The broker's certificate is always checked, against the one CA in ca.der, with its
# dates and with the name in mqtt.host; nothing switches that off. Files are DER, the one form that boards
# read. cert.der and key.der (PKCS#8), where both are there, are what we show of ourselves.

import os

from . import pc


def context(folder):
    """The SSLContext for mqtt.tls. Raises OSError or ValueError with what is wrong with which file."""
    import ssl  # a board without TLS has the memory for something else

    refused = pc.SSLError if pc else ValueError
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        made.load_verify_locations(cadata=_read(folder, "ca.der"))
    except refused:
        raise ValueError("ca.der is no certificate in DER form")
    names = os.listdir(folder or "/")
    if "cert.der" in names and "key.der" in names:
        load = (pc or ssl.SSLContext).load_cert_chain
        try:
            load(made, _read(folder, "cert.der"), _read(folder, "key.der"))
        except refused:
            raise ValueError("cert.der and key.der are no pair in DER form")
    return made


def _read(folder, name):
    try:
        with open(folder + "/" + name, "rb") as file:
            return file.read()
    except OSError:
        raise OSError("%s is not there" % name)
