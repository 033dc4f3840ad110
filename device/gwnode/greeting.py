"""Hello until it is heard, the receipt, and the clock that comes with it (A3, B2, B3). Pure, as node.py."""
# Rules of this file. Only a receipt that answers a hello of this boot, sent since this config runs and
# signed where there is a secret, ends the asking. Whatever else is heard is "somebody is there".

from . import const, say, trial
from .protocol import MAX_REVISION, Refused, is_integer, is_name, parse, same, sign

_MINUTE = const(60000)
_UNHEARD = const(10)  # hellos without any answer: this gateway knows no receipts
_TIME_FIRST = const(5000)  # a receipt brings the time too, and usually sooner
_TIME_EVERY = const(15000)
_TIME_TRIES = const(40)
_YEAR_2001 = const(1000000000)
_YEAR_2106 = const(4294967295)


def begin(node, out, now):
    """A new connection: everything is asked from the start."""
    node.unanswered = 0
    node.hello_pause = 1000
    node.first_hello = node.seqs.get("node_hello", 0) + 1
    node.time_at = now + _TIME_FIRST if node.wall is None else None
    node.time_tries = 0
    _hello(node, out, now)


def due(node, out, now):
    """What has to be asked again by now."""
    if node.hello_at is not None and now >= node.hello_at:
        _hello(node, out, now)
    if node.time_at is not None and now >= node.time_at:
        node.time_tries += 1
        node.time_at = now + _TIME_EVERY if node.time_tries < _TIME_TRIES else None
        say.ask_time(node, out)


def _hello(node, out, now):
    say.hello(node, out)
    node.unanswered += 1
    if node.unanswered >= _UNHEARD:
        _ask_slowly(node, now)
        return
    node.hello_at = now + node.jitter(node.hello_pause)
    node.hello_pause = min(node.hello_pause * 2, _MINUTE)


def _ask_slowly(node, now):
    """Once a minute, and a fleet not all at once."""
    node.hello_at = now + _MINUTE + node.chance(6000)


def receipt(node, out, now, payload):
    """hello_ack."""
    message = parse(payload)
    if message.get("hardware_id") != node.hardware_id:
        raise Refused("schema", "a receipt for somebody else")
    if node.wanted is not None:
        return  # came with a config that is still being written: it cannot speak of that
    seq = message.get("seq")
    said = node.seqs.get("node_hello", 0)
    if message.get("boot_id") != node.boot_id or not is_integer(seq, 1, said):
        return  # it answers an earlier boot, or nothing that we said
    config = node.store.running
    if not _is_signed(message, config.secret):
        # somebody is there, but who? keep asking, take nothing from it
        out.append(("log", "receipt without a good signature"))
        _somebody(node, now)
    elif message.get("accepted") is False:
        out.append(("log", "not accepted: %s" % _word(message.get("reason"))))
        _somebody(node, now)
    elif seq >= node.first_hello:  # else it answers what we were before
        node.hello_at = None
        node.heard = True
        node.unanswered = 0
        wanted = message.get("config_revision")
        node.desired = wanted if is_integer(wanted, 0, MAX_REVISION) else 0
        words = _word(message.get("uid")), config.revision
        out.append(("log", "receipt uid=%s revision=%d" % words))
        set_clock(node, out, now, message.get("unix_ts"), True)
        if node.store.trial:
            trial.confirm(node, out)


def _somebody(node, now):
    # what answers a hello already answered must not wake the asking up again
    if node.hello_at is not None:
        node.unanswered = _UNHEARD  # slowly from now on, whether or not the next one is answered
        _ask_slowly(node, now)


def _is_signed(message, secret):
    if not secret:
        return True
    names = ["hardware_id", "boot_id", "seq", "unix_ts", "config_revision"]
    parts = [message.get(name, "") for name in names]
    return same(message.get("sig"), sign(secret, "hello_ack", *parts))


def _word(value):
    """What a stranger sent, fit for a line of the log."""
    return value if is_name(value) else "?"


def time_response(node, out, now, payload):
    """Anybody can broadcast a time; a receipt is worth more."""
    message = parse(payload)
    if not node.trusted_clock:
        set_clock(node, out, now, message.get("unix_ts"), False)


def set_clock(node, out, now, unix_ts, trusted):
    """From a receipt or a signed command (trusted), or from a broadcast: which cannot take it back."""
    if not is_integer(unix_ts, max(_YEAR_2001, not trusted and node.past), _YEAR_2106):
        return False
    first = node.wall is None
    node.wall = unix_ts * 1000 - now
    node.trusted_clock = node.trusted_clock or trusted
    node.time_at = None
    out.append(("clock", unix_ts))
    if first and node.connected:
        say.status(node, out, now)
    return True
