"""Names on the wire, topics and signatures. Pure; no clock, no I/O."""
# Rules of this file. Whatever is spelled on the wire and used in more than one place is spelled here.
# Nothing that a stranger sent becomes part of a topic unless is_name() has looked at it.

import hashlib
import json

from . import const
from .text import MAX_PAYLOAD, Refused, scan, unescape  # noqa: F401 - one door to the wire

PROTOCOL = 1
TEMP_GH = "gh-temp"
TEMP_ZONE = "zn-temp"
MAX_REVISION = 2147483647
_QUOTE = const(0x22)
_WORD = const(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


def temp_topic(root, hardware_id, kind):
    return "%s/%s/%s/%s/%s" % (root, TEMP_GH, TEMP_ZONE, hardware_id, kind)


def is_temp(gh, zone):
    return gh.lower() == TEMP_GH or zone.lower() == TEMP_ZONE


def is_word(text):
    """Letters, digits, - and _ alone (MicroPython knows no isalnum)."""
    # on bytes: each character that a board looks at would stay in memory as a name of its own
    return all([c in _WORD for c in text.lower().encode()])


def is_name(name, most=64):
    """B1, after lower-casing: a letter or digit, then these and - and _."""
    if not isinstance(name, str) or not 0 < len(name) <= most or name[0] in "-_":
        return False
    return is_word(name)


def is_integer(value, least, most):
    """True and False are integers for CPython, and for nobody else on the wire."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def parse(payload, opens=False):
    """A message that is an object; raises Refused. Of one that is opened the payload, a bytearray, becomes
    the text that is its "doc", and is that: a small heap has no room for both of them."""
    doc = scan(payload)
    if not opens or not doc or payload[doc] != _QUOTE:
        message = json.loads(payload)
        if not isinstance(message, dict):
            raise Refused("schema", "no object")
        return message
    to, end = unescape(payload, doc)
    message = json.loads(payload[:doc] + b'""' + payload[end:])
    payload[to:] = b""
    payload[:doc] = b""
    message["doc"] = payload
    return message


def encode(message):
    """A message as bytes, without white space."""
    return json.dumps(message, separators=(",", ":")).encode()


# -- signatures (A7, B2, B3, B5, B6) ----------------------------------------------------------


def sha256_hex(data):
    return hashlib.sha256(data).digest().hex()


def hmac_hex(key, message):
    """HMAC-SHA256 with the key as its raw text (MicroPython has no hmac module)."""
    inner, outer = _hashes(key)
    inner.update(message.encode() if isinstance(message, str) else message)
    return _finish(inner, outer)


def sign_command(key, text):
    """The signature of a command that was scanned, over its canonical form (A7)."""
    from .canonical import canonical_to  # not before the first command

    inner, outer = _hashes(key)
    canonical_to(text, inner.update)
    return _finish(inner, outer)


def _hashes(key):
    key = key.encode() if isinstance(key, str) else key
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + b"\0" * (64 - len(key))
    return [hashlib.sha256(bytes([b ^ pad for b in key])) for pad in (0x36, 0x5C)]


def _finish(inner, outer):
    outer.update(inner.digest())
    return outer.digest().hex()


def sign(key, *parts):
    return hmac_hex(key, "\n".join([str(part) for part in parts]))


def same(one, other):
    """Compare signatures without telling by the time it takes; the case of hex does not matter."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    one, other = one.lower().encode(), other.lower().encode()
    if len(one) != len(other):
        return False
    wrong = 0
    for a, b in zip(one, other):
        wrong |= a ^ b
    return wrong == 0
