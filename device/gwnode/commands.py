"""Commands (A7): checked in the order of A7, answered as A7.1, done once."""
# The signature is over the text as received. What has been answered is remembered (32 of them), and
# the cache comes after the signature, so that a stranger cannot fill it.

import json

from .protocol import Refused, canonical, hmac_hex, same, scan

_WINDOW = 10
_REMEMBER = 32


def take(node, out, now, channel, payload):
    """Check a command, do it or refuse it, and answer."""
    text = scan(payload)
    command = json.loads(text)
    if not isinstance(command, dict):
        raise Refused("schema", "no object")
    name, cmd_id = command.get("cmd"), command.get("cmd_id")
    if not isinstance(cmd_id, str) or not 0 < len(cmd_id) <= 63 or not isinstance(name, str):
        raise Refused("schema", "cmd or cmd_id")
    wrong = _check(node, now, command, text)
    if wrong:
        _answer(node, out, now, channel, cmd_id, wrong[0], wrong[1])
        return
    if cmd_id in node.seen:
        _answer(node, out, now, channel, cmd_id, *node.seen[cmd_id])
        return
    if not isinstance(command.get("params"), dict):
        _answer(node, out, now, channel, cmd_id, "INVALID", "invalid_params_format")
        return
    result = _do(node, out, now, channel, name, command["params"])
    if len(node.seen) >= _REMEMBER:
        node.seen.pop(next(iter(node.seen)))
    node.seen[cmd_id] = result
    _answer(node, out, now, channel, cmd_id, *result)
    if name in ("restart", "reboot") and result[0] == "DONE":
        out.append(("flush",))
        out.append(("restart", "command"))


def _check(node, now, command, text):
    secret = node.store.running.secret
    ts, sig = command.get("ts"), command.get("sig")
    if ts is None or sig is None:
        return "ERROR", "hmac_required"
    if not secret:
        return "ERROR", "missing_node_secret"
    if not isinstance(sig, str) or len(sig) != 64 or not isinstance(ts, int):
        return "ERROR", "invalid_hmac_format"
    if node.wall is None and command["cmd"] != "set_time":
        return "ERROR", "time_not_synced"
    if node.wall is not None and abs(node.unix(now) - ts) > _WINDOW:
        return "ERROR", "timestamp_expired"
    if not same(sig, hmac_hex(secret, canonical(text))):
        return "ERROR", "invalid_signature"
    return None


def _do(node, out, now, channel, name, params):
    if channel != "system":
        return "INVALID", "unsupported_channel_cmd"
    if name in ("restart", "reboot"):
        return ("DONE", None)
    if name in ("report_config", "config_report", "get_config", "sync_config"):
        node.report_all(out)
        return ("DONE", None)
    if name == "set_time":
        ts = params.get("unix_ts")
        if not isinstance(ts, int) or ts < 1000000000:
            return "INVALID", "invalid_params"
        node.set_clock(out, now, ts)
        return ("DONE", None)
    return "INVALID", "unknown_command"


def _answer(node, out, now, channel, cmd_id, status, code):
    message = {"cmd_id": cmd_id, "status": status, "ts": node.unix(now) * 1000}
    if code:
        message["error_code"] = code
    node.say(out, "command_response", node.topic("command_response", channel), message)
