"""The canonical form of a command (A7), piece by piece. Pure; no clock, no I/O."""
# Rules of this file. It works on text that the scanner has passed, never on parsed numbers: a board's
# floats have 32 bits. Nothing is built up: the pieces go where the caller wants them, into a hash.

from . import const
from .number import canonical_number
from .text import blank, string

_OPEN = const(0x7B)
_CLOSE = const(0x7D)
_LIST = const(0x5B)
_END = const(0x5D)
_QUOTE = const(0x22)
_BACK = const(0x5C)
_COMMA = const(0x2C)
_SHORT = {_QUOTE: b'\\"', _BACK: b"\\\\", 8: b"\\b", 12: b"\\f", 10: b"\\n", 13: b"\\r", 9: b"\\t"}


def canonical_to(text, sink):
    """The canonical form of a command that was scanned, without its top-level "sig": piece by piece,
    so that a small heap never holds it as a whole."""
    _emit(text, blank(text, 0), sink, True)


def _emit(data, i, sink, top=False):
    # returns where the value ends; as deep as the scanner allowed, and no deeper
    c = data[i]
    if c == _OPEN:
        return _emit_object(data, i, sink, top)
    if c == _LIST:
        sink(b"[")
        i = blank(data, i + 1)
        while data[i] != _END:
            i = blank(data, _emit(data, i, sink))
            if data[i] == _COMMA:
                sink(b",")
                i = blank(data, i + 1)
        sink(b"]")
        return i + 1
    if c == _QUOTE:
        value, i = string(data, i)
        sink(_quoted(value))
        return i
    end = _token_end(data, i)
    token = data[i:end]
    sink(token if c in b"tfn" else canonical_number(token.decode()).encode())
    return end


def _emit_object(data, i, sink, top):
    pairs = []  # (key, where its value begins), to be sorted before anything is emitted
    i = blank(data, i + 1)
    while data[i] != _CLOSE:
        key, i = string(data, i)
        start = blank(data, blank(data, i) + 1)
        if not (top and key == b"sig"):
            pairs.append((key, start))
        i = blank(data, _pass(data, start))
        if data[i] == _COMMA:
            i = blank(data, i + 1)
    pairs.sort()
    before = b"{"
    for key, start in pairs:
        sink(before + _quoted(key) + b":")
        _emit(data, start, sink)
        before = b","
    sink(b"}" if pairs else b"{}")
    return i + 1


def _pass(data, i):
    # where a scanned value ends, without a look at what is in it
    depth = 0
    while True:
        c = data[i]
        if c == _QUOTE:
            i = string(data, i, False)[1]
        elif c in (_OPEN, _LIST):
            depth += 1
            i += 1
        elif c in (_CLOSE, _END):
            depth -= 1
            i += 1
        else:
            i = _token_end(data, i)
        if depth == 0:
            return i
        while data[i] in b" \t\r\n,:":
            i += 1


def _token_end(data, i):
    while i < len(data) and data[i] not in b",:]} \t\r\n":
        i += 1
    return i


def _quoted(value):
    if value and min(value) >= 32 and value.find(b'"') < 0 and value.find(b"\\") < 0:
        return b'"' + value + b'"'
    parts = bytearray(b'"')
    for c in value:
        if c in _SHORT:
            parts += _SHORT[c]
        elif c < 32:
            parts += b"\\u%04x" % c
        else:
            parts.append(c)
    return bytes(parts) + b'"'
