"""JSON as text: only what every reader reads alike passes here (B8). Pure; no clock, no I/O."""
# Rules of this file. MicroPython's json is no validator, so text is scanned before it is parsed:
# iteratively, because a hostile text must not use up the stack, and on bytes, because the n-th
# character of a text is found by counting on a board. Nobody asks whether the text has ended: to look
# behind it is an IndexError, and that is a text that was cut short.

from . import const

MAX_PAYLOAD = 4096
MAX_DEPTH = 16
_SAFE = const(9007199254740992)  # 2^53
_OPEN = const(0x7B)
_CLOSE = const(0x7D)
_LIST = const(0x5B)
_END = const(0x5D)
_QUOTE = const(0x22)
_BACK = const(0x5C)
_COMMA = const(0x2C)
_COLON = const(0x3A)
_MINUS = const(0x2D)
_DOT = const(0x2E)
_ZERO = const(0x30)
_NINE = const(0x39)
_BLANKS = const(b" \t\r\n")
_ESCAPES = {
    _QUOTE: b'"',
    _BACK: b"\\",
    0x2F: b"/",
    0x62: b"\b",
    0x66: b"\f",
    0x6E: b"\n",
    0x72: b"\r",
    0x74: b"\t",
}


class Refused(Exception):
    """A message that is not taken; word is one of B8's."""

    def __init__(self, word, detail=""):
        super().__init__(word)
        self.word = word
        self.detail = detail


def _bad(why, i):
    return Refused("not_json", "%s at %d" % (why, i))


def scan(data, most=MAX_PAYLOAD):
    """Passes a JSON payload that every reader reads alike: where the value of its "doc" begins, 0 where
    it has none. Raises Refused."""
    if len(data) > most:
        raise Refused("too_big", "%d bytes, %d too many" % (len(data), len(data) - most))
    _check_utf8(data)
    try:
        # behind a bracket nobody looks; all else gets its own end, at the price of a copy
        if data[-1:] in (b"}", b"]"):
            return _check_json(data, len(data))
        return _check_json(data + b"\0", len(data))
    except IndexError:
        raise Refused("not_json", "cut short")


def _check_utf8(data):
    # MicroPython decodes overlong forms, surrogates and what lies beyond Unicode: look first
    if not data or max(data) < 0x80:
        return
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


def _check_json(data, end):
    stack = []  # for each open container: None for an array, the set of its keys for an object
    i = blank(data, 0)
    doc = 0
    while True:
        if not doc and len(stack) == 1 and stack[0] and b"doc" in stack[0]:
            doc = i
        i, opened = _value(data, i, stack)
        if not opened:
            i = _after(data, i, stack)
        if not stack:
            if i != end:
                raise _bad("something behind the value", i)
            return doc


def blank(data, i):
    while i < len(data) and data[i] in _BLANKS:
        i += 1
    return i


def _value(data, i, stack):
    """Read one value; (where it ends, True when it opened a container that has something in it)."""
    c = data[i]
    if c in (_OPEN, _LIST):
        if len(stack) >= MAX_DEPTH:
            raise Refused("depth", "more than %d levels" % MAX_DEPTH)
        i = blank(data, i + 1)
        if data[i] == c + 2:  # the closing one is two further in ASCII
            return blank(data, i + 1), False
        stack.append(set() if c == _OPEN else None)
        return (_key(data, i, stack[-1]) if c == _OPEN else i), True
    if c == _QUOTE:
        return blank(data, string(data, i, False)[1]), False
    for word in (b"true", b"false", b"null"):
        if c == word[0] and data[i : i + len(word)] == word:
            return blank(data, i + len(word)), False
    return blank(data, _number(data, i)), False


def _after(data, i, stack):
    """Behind a value: close what ends, or go on to the next one."""
    while stack:
        c = data[i]
        if c == _COMMA:
            i = blank(data, i + 1)
            return i if stack[-1] is None else _key(data, i, stack[-1])
        if c != (_END if stack[-1] is None else _CLOSE):
            raise _bad("no comma and no end", i)
        stack.pop()
        i = blank(data, i + 1)
    return i


def _key(data, i, keys):
    if data[i] != _QUOTE:
        raise _bad("no key", i)
    key, end = string(data, i)
    if key in keys:
        raise _bad("a key for the second time", i)
    keys.add(key)
    i = blank(data, end)
    if data[i] != _COLON:
        raise _bad("no colon", i)
    return blank(data, i + 1)


def string(data, i, wanted=True):
    """The string that begins here: (its value in UTF-8, where it ends). One whose value is not wanted
    is only looked at: nothing is built up, which a small heap would have no room for."""
    parts = b""
    i += 1
    while True:
        end = data.find(b'"', i)
        if end < 0:
            raise _bad("a string without end", i)
        back = data.find(b"\\", i, end)
        stop = end if back < 0 else back
        for at in range(i, stop):
            if data[at] < 32:
                raise _bad("a control character in a string", i)
        if wanted:
            parts += data[i:stop]
        if back < 0:
            return parts, end + 1
        piece, i = _escape(data, back)
        if wanted:
            parts += piece


def unescape(data, i):
    """The string that begins here, which was scanned, loses its escapes where it stands, for a small heap
    has no room for it once more: (where its value ends, where it ended). The value begins at i."""
    view, to = memoryview(data), i
    i += 1
    while True:
        end = data.find(b'"', i)
        back = data.find(b"\\", i, end)
        stop = end if back < 0 else back
        view[to : to + stop - i] = view[i:stop]
        to += stop - i
        if back < 0:
            return to, end + 1
        piece, i = _escape(data, back)
        view[to : to + len(piece)] = piece
        to += len(piece)


def _escape(data, i):
    # (what it stands for in UTF-8, where it ends)
    c = data[i + 1]
    if c == 0x75:
        code, i = _unicode(data, i)
        return chr(code).encode(), i
    if c not in _ESCAPES:
        raise _bad("an unknown escape", i)
    return _ESCAPES[c], i + 2


def _unicode(data, i):
    code = _hex4(data, i + 2)
    if not 0xD800 <= code < 0xE000:
        return code, i + 6
    low = _hex4(data, i + 8) if code < 0xDC00 and data[i + 6 : i + 8] == b"\\u" else 0
    if not 0xDC00 <= low < 0xE000:
        raise _bad("half a character", i)
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), i + 12


def _hex4(data, i):
    code = 0
    for k in range(i, i + 4):
        at = b"0123456789abcdef0123456789ABCDEF".find(data[k : k + 1])
        if at < 0 or k >= len(data):
            raise _bad("no hex digit", k)
        code = code * 16 + at % 16
    return code


def _digits(data, i):
    start = i
    while _ZERO <= data[i] <= _NINE:
        i += 1
    if i == start:
        raise _bad("no digit", i)
    return i


def _number(data, start):
    i = start + 1 if data[start] == _MINUS else start
    whole = i
    i = i + 1 if data[i] == _ZERO else _digits(data, i)
    size = i - whole
    if data[i] not in b".eE":
        if size > 16 or (size == 16 and int(data[whole:i].decode()) > _SAFE):
            raise _bad("an integer beyond 2^53", start)
        return i
    if data[i] == _DOT:
        i = _digits(data, i + 1)
    power = 0
    if data[i] in b"eE":
        small = data[i + 1] == _MINUS
        begin = i + 2 if data[i + 1] in b"+-" else i + 1
        i = _digits(data, begin)
        if i - begin > 4:
            raise _bad("a number out of range", start)
        power = int(data[begin:i].decode()) * (-1 if small else 1)
    # by its digits, because a board's float would be infinite far earlier
    if size + power > 309:
        raise _bad("a number out of range", start)
    return i
