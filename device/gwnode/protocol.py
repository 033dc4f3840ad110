"""Names on the wire, the text scanner of B8, canonical form and signatures. Pure; no clock, no I/O."""
# Rules of this file. MicroPython's json is no validator, so text is scanned before it is parsed:
# iteratively, because a hostile text must not use up the stack. What is signed is computed on the
# text as received, never on parsed numbers: boards have 32-bit floats.

import binascii
import hashlib

from .number import canonical_number

MAX_PAYLOAD = 4096
MAX_DEPTH = 16
TEMP_GH = "gh-temp"
TEMP_ZONE = "zn-temp"
_SAFE = 9007199254740992  # 2^53
_DIGITS = "0123456789"
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Refused(Exception):
    """A message that is not taken; word is one of B8's."""

    def __init__(self, word, detail=""):
        super().__init__(word)
        self.word = word
        self.detail = detail


def temp_topic(root, hardware_id, kind):
    return "%s/%s/%s/%s/%s" % (root, TEMP_GH, TEMP_ZONE, hardware_id, kind)


def is_temp(gh, zone):
    return gh == TEMP_GH or zone == TEMP_ZONE


def is_name(name, most=64):
    """B1: a lower-case letter or digit, then these and - and _."""
    if not isinstance(name, str) or not 0 < len(name) <= most or name[0] in "-_":
        return False
    for c in name:
        if not ("a" <= c <= "z" or c in _DIGITS or c in "-_"):
            return False
    return True


# -- the scanner ------------------------------------------------------------------------------


def scan(data, most=MAX_PAYLOAD):
    """The text of a JSON payload that every reader reads alike; raises Refused."""
    if len(data) > most:
        raise Refused("too_big", "%d bytes, %d too many" % (len(data), len(data) - most))
    text = _text(data)
    stack = []  # for each open container: None for an array, the set of its keys for an object
    i = _blank(text, 0)
    while True:
        i, opened = _value(text, i, stack)
        if not opened:
            i = _after(text, i, stack)
        if not stack:
            if i != len(text):
                raise Refused("not_json", "text behind the value")
            return text


def _text(data):
    # MicroPython decodes overlong forms, surrogates and what lies beyond Unicode: look first
    i = 0
    while i < len(data):
        lead = data[i]
        i += 1
        if lead < 0x80:
            continue
        if not 0xC2 <= lead <= 0xF4:
            raise Refused("not_utf8")
        least = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        most = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        for _ in range(1 if lead < 0xE0 else 2 if lead < 0xF0 else 3):
            if i >= len(data) or not least <= data[i] <= most:
                raise Refused("not_utf8")
            least, most = 0x80, 0xBF
            i += 1
    return bytes(data).decode()


def _blank(text, i):
    while i < len(text) and text[i] in " \t\r\n":
        i += 1
    return i


def _value(text, i, stack):
    """Read one value; (where it ends, True when it opened a container that has something in it)."""
    c = text[i : i + 1]
    if c == "{" or c == "[":
        if len(stack) >= MAX_DEPTH:
            raise Refused("depth", "more than %d levels" % MAX_DEPTH)
        end = "}" if c == "{" else "]"
        i = _blank(text, i + 1)
        if text[i : i + 1] == end:
            return _blank(text, i + 1), False
        stack.append(set() if c == "{" else None)
        return (_key(text, i, stack[-1]) if c == "{" else i), True
    if c == '"':
        return _blank(text, string(text, i)[1]), False
    for word in ("true", "false", "null"):
        if text.startswith(word, i):
            return _blank(text, i + len(word)), False
    return _blank(text, _number(text, i)), False


def _after(text, i, stack):
    """Behind a value: close what ends, or go on to the next one."""
    while stack:
        c = text[i : i + 1]
        if c == ",":
            i = _blank(text, i + 1)
            return i if stack[-1] is None else _key(text, i, stack[-1])
        if c != ("]" if stack[-1] is None else "}"):
            raise Refused("not_json", "at %d" % i)
        stack.pop()
        i = _blank(text, i + 1)
    return i


def _key(text, i, keys):
    if text[i : i + 1] != '"':
        raise Refused("not_json", "a key is expected at %d" % i)
    key, i = string(text, i)
    if key in keys:
        raise Refused("not_json", "a key comes twice")
    keys.add(key)
    i = _blank(text, i)
    if text[i : i + 1] != ":":
        raise Refused("not_json", "a colon is expected at %d" % i)
    return _blank(text, i + 1)


def string(text, i):
    """Decode the string that begins here; (its value, where it ends)."""
    parts = []
    start = i = i + 1
    while True:
        c = text[i : i + 1]
        if c == "" or ord(c) < 32:
            raise Refused("not_json", "a string does not end")
        if c == '"':
            parts.append(text[start:i])
            return "".join(parts), i + 1
        if c != "\\":
            i += 1
            continue
        parts.append(text[start:i])
        c = text[i + 1 : i + 2]
        if c == "u":
            code, i = _unicode(text, i)
            parts.append(chr(code))
        elif c in _ESCAPES and c:
            parts.append(_ESCAPES[c])
            i += 2
        else:
            raise Refused("not_json", "an unknown escape at %d" % i)
        start = i


def _unicode(text, i):
    code = _hex4(text, i + 2)
    if 0xD800 <= code < 0xDC00 and text[i + 6 : i + 8] == "\\u":
        low = _hex4(text, i + 8)
        if 0xDC00 <= low < 0xE000:
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), i + 12
    if 0xD800 <= code < 0xE000:
        raise Refused("not_json", "half a character")
    return code, i + 6


def _hex4(text, i):
    code = 0
    for c in text[i : i + 4]:
        at = "0123456789abcdef".find(c.lower())
        if at < 0:
            raise Refused("not_json", "no hex digits at %d" % i)
        code = code * 16 + at
    if i + 4 > len(text):
        raise Refused("not_json", "no hex digits at %d" % i)
    return code


def _digits(text, i):
    start = i
    while i < len(text) and text[i] in _DIGITS:
        i += 1
    if i == start:
        raise Refused("not_json", "no digit at %d" % i)
    return i


def _number(text, i):
    start = i
    if text[i : i + 1] == "-":
        i += 1
    whole = i
    i = i + 1 if text[i : i + 1] == "0" else _digits(text, i)
    size = i - whole
    if text[i : i + 1] not in (".", "e", "E") or text[i : i + 1] == "":
        if size > 16 or (size == 16 and abs(int(text[start:i])) > _SAFE):
            raise Refused("not_json", "an integer beyond 2^53")
        return i
    if text[i] == ".":
        i = _digits(text, i + 1)
    if text[i : i + 1] in ("e", "E") and text[i : i + 1] != "":
        sign = text[i + 1 : i + 2]
        begin = i + 2 if sign in ("+", "-") and sign else i + 1
        i = _digits(text, begin)
        # by its digits, because a board's float would be infinite far earlier
        if sign != "-" and (i - begin > 4 or size + int(text[begin:i]) > 309):
            raise Refused("not_json", "a number without end")
    return i


# -- canonical form and signatures (A7, B5) ---------------------------------------------------


def canonical(text):
    """The canonical form of a command that was scanned, without its top-level "sig"."""
    return _canonical(text, _blank(text, 0), True)[0]


def _canonical(text, i, top=False):
    c = text[i]
    if c == "{":
        return _canonical_object(text, i, top)
    if c == "[":
        parts = []
        i = _blank(text, i + 1)
        while text[i] != "]":
            part, i = _canonical(text, i)
            parts.append(part)
            if text[i] == ",":
                i = _blank(text, i + 1)
        return "[" + ",".join(parts) + "]", _blank(text, i + 1)
    if c == '"':
        value, i = string(text, i)
        return _quoted(value), _blank(text, i)
    end = i
    while end < len(text) and text[end] not in ",]} \t\r\n":
        end += 1
    token = text[i:end]
    return token if token[0] in "tfn" else canonical_number(token), _blank(text, end)


def _canonical_object(text, i, top):
    pairs = []
    i = _blank(text, i + 1)
    while text[i] != "}":
        key, i = string(text, i)
        i = _blank(text, _blank(text, i) + 1)
        value, i = _canonical(text, i)
        if not (top and key == "sig"):
            pairs.append((key.encode(), _quoted(key) + ":" + value))
        if text[i] == ",":
            i = _blank(text, i + 1)
    pairs.sort()
    return "{" + ",".join([pair[1] for pair in pairs]) + "}", _blank(text, i + 1)


def _quoted(value):
    parts = []
    for c in value:
        if c in _SHORT:
            parts.append(_SHORT[c])
        elif ord(c) < 32:
            parts.append("\\u%04x" % ord(c))
        else:
            parts.append(c)
    return '"' + "".join(parts) + '"'


def sha256_hex(data):
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def hmac_hex(key, message):
    """HMAC-SHA256 with the key as its raw text (MicroPython has no hmac module)."""
    key = key.encode() if isinstance(key, str) else key
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + b"\0" * (64 - len(key))
    inner = hashlib.sha256(bytes([b ^ 0x36 for b in key]))
    inner.update(message.encode() if isinstance(message, str) else message)
    outer = hashlib.sha256(bytes([b ^ 0x5C for b in key]))
    outer.update(inner.digest())
    return binascii.hexlify(outer.digest()).decode()


def sign(key, *parts):
    return hmac_hex(key, "\n".join([str(part) for part in parts]))


def same(one, other):
    """Compare signatures without telling by the time it takes; the case of hex does not matter."""
    if not isinstance(one, str) or not isinstance(other, str) or len(one) != len(other):
        return False
    wrong = 0
    for a, b in zip(one.lower().encode(), other.lower().encode()):
        wrong |= a ^ b
    return wrong == 0
