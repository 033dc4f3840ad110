"""Commands (A7): checked in the order of A7, answered as A7.1, done once. Pure, as node.py."""
# Rules of this file. The signature is over the text as received. What was taken is remembered, and that
# comes after the signature, so that a stranger cannot fill it: 32 of them, and nothing is done while
# all of these are so young that one could come again. What acts is remembered on flash too, before it
# acts. The node itself listens on "system"; what a channel does is channels.py.

import json

from . import const, follow, greeting, say
from .protocol import Refused, is_integer, is_word, same, scan, sign_command

_WINDOW = const(10)
_REMEMBER = const(32)
_LONGEST = const(9007199254740992)  # 2^53
_REPORT = const(("report_config", "config_report", "get_config", "sync_config"))
_RESTART = const(("restart", "reboot"))


def take(node, out, now, channel, payload):
    """Check a command, do it or refuse it, and answer."""
    try:
        scan(payload)
    except Refused as refused:
        cmd_id = _find_id(payload) if refused.word != "too_big" else None
        if cmd_id:
            answer(node, out, now, (channel, cmd_id), ("INVALID", "invalid_json"))
        raise
    command = json.loads(payload)
    if not isinstance(command, dict):
        raise Refused("schema", "no object")
    if not _is_id(command.get("cmd_id")):
        raise Refused("schema", "cmd_id")
    to = channel, command["cmd_id"]
    restart = False
    result = _check(node, now, command, payload) or _known(node, now, to[1])
    if result is None:
        seen = [to[1], ("ACK", None), now]
        node.seen = node.seen[1 - _REMEMBER :] + [seen]
        result = _do(node, out, now, to, command)
        if result is None:
            return  # finish() answers
        restart = channel == "system" and command["cmd"] in _RESTART and result[0] == "DONE"
        seen[1] = result
        if result[0] == "BUSY":
            node.seen.remove(seen)  # the same command may come when there is time for it
    answer(node, out, now, to, result)
    if restart:
        out.append(("flush",))
        out.append(("restart", "command"))


def finish(node, out, now, to, result):
    """The answer to a command that took its time."""
    for seen in node.seen:
        if seen[0] == to[1]:
            seen[1] = result
    answer(node, out, now, to, result)


def _is_id(value):
    return isinstance(value, str) and 0 < len(value) <= 63 and is_word(value)


def _find_id(payload):
    """The cmd_id in a text that cannot be parsed, so that somebody gets an answer."""
    at = payload.find(b'"cmd_id"')
    if at < 0:
        return None
    parts = payload[at + 8 : at + 8 + 80].split(b'"')
    if len(parts) < 3 or parts[0].strip() != b":":
        return None
    try:
        found = parts[1].decode()
    except UnicodeError:
        return None
    return found if _is_id(found) else None


def _check(node, now, command, text):
    name = command.get("cmd")
    if not isinstance(name, str) or not 0 < len(name) <= 31:
        return "INVALID", "invalid_command_format"
    wrong = _distrust(node, now, command, text)
    return ("ERROR", wrong) if wrong else None


def _distrust(node, now, command, text):
    """Why it may be anybody's, or of any time; None where it is neither."""
    secret = node.store.running.secret
    ts, sig = command.get("ts"), command.get("sig")
    if ts is None and sig is None:
        return "hmac_required"
    if not is_integer(ts, 0, _LONGEST) or not isinstance(sig, str):
        return "invalid_hmac_format"
    if not secret:
        return "missing_node_secret"
    if len(sig) != 64:
        return "invalid_hmac_format"
    if node.wall is None and command["cmd"] != "set_time":
        return "time_not_synced"
    known = node.trusted_clock or ts >= node.past  # else it was recorded before the last boots
    if not known or (node.wall is not None and abs(node.unix(now) - ts) > _WINDOW):
        return "timestamp_expired"
    if not same(sig, sign_command(secret, text)):
        return "invalid_signature"
    return None


def _known(node, now, cmd_id):
    for known in node.seen:
        if known[0] == cmd_id:
            return known[1]
    if len(node.seen) >= _REMEMBER and now - node.seen[0][2] < 2000 * _WINDOW:
        return "BUSY", "command_queue_full"
    return None


def _do(node, out, now, to, command):
    if to[0] == "system":
        return _system(node, out, now, command)
    if node.safe_mode:
        return "ERROR", "safe_mode_active"
    if not node.channels:
        return "INVALID", "unsupported_channel_cmd"
    return node.channels.command(node, out, now, to, command)


def _system(node, out, now, command):
    name, params = command["cmd"], command.get("params")
    if name not in _RESTART + _REPORT + ("set_time", "exit_safe_mode"):
        return "INVALID", "unknown_command"
    if not isinstance(params, dict):
        return "INVALID", "invalid_params_format"
    if name in _RESTART:
        out.append(("remember", command["cmd_id"], "DONE"))
    elif name in _REPORT:
        say.report_all(node, out)
    elif name == "exit_safe_mode":
        follow.leave_safe_mode(node, out)
    # what was signed long ago must not set the clock back to its own time
    elif not is_integer(params.get("unix_ts"), command["ts"] - _WINDOW, command["ts"] + _WINDOW):
        return "INVALID", "invalid_params"
    elif not greeting.set_clock(node, out, now, params["unix_ts"], True):
        return "ERROR", "set_time_failed"
    return "DONE", None


def answer(node, out, now, to, result):
    """A7.1: a result is status, error code or None, and perhaps details. Who is not there to read it
    asks again."""
    if not node.connected:
        return
    message = {"cmd_id": to[1], "status": result[0], "ts": node.unix(now) * 1000}
    if result[1]:
        message["error_code"] = result[1]
    if len(result) > 2:
        message["details"] = result[2]
    say.say(node, out, "command_response", node.topic("command_response", to[0]), message)
