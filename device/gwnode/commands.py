"""Commands (A7): checked in the order of A7, answered as A7.1, done once. Pure, as node.py."""
# Rules of this file. The signature is over the text as received. What has been answered is remembered
# (32 of them, which no window of 10 s outlives), and that comes after the signature, so that a
# stranger cannot fill it. Drivers of channels come later; the node itself listens on "system".

import json

from . import greeting, say
from .protocol import Refused, is_integer, is_word, same, scan, sign_command

_WINDOW = 10
_REMEMBER = 32
_LONGEST = 9007199254740992  # 2^53
_REPORT = ("report_config", "config_report", "get_config", "sync_config")
_RESTART = ("restart", "reboot")


def take(node, out, now, channel, payload):
    """Check a command, do it or refuse it, and answer."""
    try:
        text = scan(payload)
    except Refused as refused:
        cmd_id = _find_id(payload) if refused.word != "too_big" else None
        if cmd_id:
            _answer(node, out, now, (channel, cmd_id), ("INVALID", "invalid_json"))
        raise
    command = json.loads(text)
    if not isinstance(command, dict):
        raise Refused("schema", "no object")
    if not _is_id(command.get("cmd_id")):
        raise Refused("schema", "cmd_id")
    to = channel, command["cmd_id"]
    result = _check(node, now, command, text)
    if result is None:
        result = _known(node, to[1])
        if result is None:
            result = _do(node, out, now, channel, command)
            node.seen = node.seen[1 - _REMEMBER :] + [(to[1], result)]
            _answer(node, out, now, to, result)
            if command["cmd"] in _RESTART and result[0] == "DONE":
                out.append(("flush",))
                out.append(("restart", "command"))
            return
    _answer(node, out, now, to, result)


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
    secret = node.store.running.secret
    name, ts, sig = command.get("cmd"), command.get("ts"), command.get("sig")
    if not isinstance(name, str) or not 0 < len(name) <= 63:
        return "INVALID", "invalid_command_format"
    if ts is None and sig is None:
        return "ERROR", "hmac_required"
    if not is_integer(ts, 0, _LONGEST) or not isinstance(sig, str):
        return "ERROR", "invalid_hmac_format"
    if not secret:
        return "ERROR", "missing_node_secret"
    if len(sig) != 64:
        return "ERROR", "invalid_hmac_format"
    if node.wall is None and name != "set_time":
        return "ERROR", "time_not_synced"
    if node.wall is not None and abs(node.unix(now) - ts) > _WINDOW:
        return "ERROR", "timestamp_expired"
    if not same(sig, sign_command(secret, text)):
        return "ERROR", "invalid_signature"
    return None


def _known(node, cmd_id):
    for known, result in node.seen:
        if known == cmd_id:
            return result
    return None


def _do(node, out, now, channel, command):
    name, params = command["cmd"], command.get("params")
    if channel != "system":
        return "INVALID", "unsupported_channel_cmd"
    if not isinstance(params, dict):
        return "INVALID", "invalid_params_format"
    if name in _RESTART:
        return "DONE", None
    if name in _REPORT:
        say.report_all(node, out)
        return "DONE", None
    if name == "set_time":
        # what was signed long ago must not set the clock back to its own time
        if not is_integer(params.get("unix_ts"), command["ts"] - _WINDOW, command["ts"] + _WINDOW):
            return "INVALID", "invalid_params"
        if not greeting.set_clock(node, out, now, params["unix_ts"], True):
            return "ERROR", "set_time_failed"
        return "DONE", None
    return "INVALID", "unknown_command"


def _answer(node, out, now, to, result):
    message = {"cmd_id": to[1], "status": result[0], "ts": node.unix(now) * 1000}
    if result[1]:
        message["error_code"] = result[1]
    say.say(node, out, "command_response", node.topic("command_response", to[0]), message)
