# The clock of a node that lives for months in seconds: ahead of the real `time` in MICROPYPATH. It goes
# on only when somebody waits, and ticks as a board's: they wrap at 2^30, 12.4 days.

import utime as real

_WRAP = 1 << 30
START = 2147040000  # four days ahead of 2^31 seconds, the end of 32-bit clocks, in January 2038
_now = [_WRAP - 3600000]  # the first wrap comes within the first hour


def advance(count):
    _now[0] += count


def elapsed():
    """Milliseconds since the start, for the story."""
    return _now[0] - (_WRAP - 3600000)


def ticks_ms():
    return _now[0] % _WRAP


def ticks_add(ticks, delta):
    return (ticks + delta) % _WRAP


def ticks_diff(end, start):
    return (end - start + _WRAP // 2) % _WRAP - _WRAP // 2


def sleep_ms(count):
    advance(count)


def time():
    return START + elapsed() // 1000


gmtime = real.gmtime
localtime = real.localtime
