"""What the node says: every message of ours is made here. Pure, as node.py."""
# Rules of this file. Each message carries boot_id and seq, one count for each kind and boot (B4). No
# secret is ever put into one (B5). Lines for a person are log actions; one line for one fact.

from . import VERSION, const, document
from .protocol import MAX_PAYLOAD, PROTOCOL, encode, sign

_LONGEST_HEADER = const(308)  # what header() and say() add to a report


def say(node, out, kind, topic, message, retain=False):
    """The publish action of a message; `mark` names what its PUBACK means to us."""
    mark = message.pop("mark", None)
    message["boot_id"] = node.boot_id
    if "seq" not in message:
        message["seq"] = node.seq(kind)
    out.append(("publish", topic, encode(message), retain, mark))


def will(node):
    """Where the broker says that we are gone, and its words (B4)."""
    return node.topic("lwt"), encode({"status": "OFFLINE", "boot_id": node.boot_id})


def hello(node, out):
    """B2; signed where there is a secret, with a claim where there is a key (B9)."""
    config = node.store.running
    message = {
        "message_type": "node_hello",
        "hardware_id": node.hardware_id,
        "node_type": node.settings.get("node_type", "unknown"),
        "fw_version": VERSION,
        "protocol": PROTOCOL,
        "seq": node.seq("node_hello"),
        "config_revision": config.revision,
        "config_sha256": config.sha,
        "free_heap": node.facts()["free_heap"],
    }
    if node.safe_mode:
        message["safe_mode"] = True
    more = ["reset_cause", "board", "mpy", "sleep_s"]
    more += ["hardware_revision", "capabilities", "provisioning_meta"]
    for name in more:
        if node.settings.get(name):
            message[name] = node.settings[name]
    if config.secret:
        message["sig"] = _sign(node, "node_hello", message["seq"], config.revision, config.sha)
    if node.settings.get("claim_key"):
        text = node.hardware_id + "\n" + node.boot_id
        message["claim"] = sign(node.settings["claim_key"], text)
    say(node, out, "node_hello", node.root + "/node_hello", message)
    out.append(("log", "hello sent seq=%d" % message["seq"]))


def _sign(node, kind, seq, revision, sha):
    secret = node.store.running.secret
    return sign(secret, kind, node.hardware_id, node.boot_id, seq, revision, sha)


def beat(node, out):
    """A4 and B4: a promise to beat again within interval_s."""
    message = node.facts()
    message["fw_version"] = VERSION
    message["interval_s"] = node.interval()
    message["config_revision"] = node.store.running.revision
    message["lost"] = node.lost_messages
    if node.settings.get("sleep_s"):
        message["sleep_s"] = node.settings["sleep_s"]
    say(node, out, "heartbeat", node.topic("heartbeat"), message)


def status(node, out, now, word="ONLINE"):
    """ONLINE or ASLEEP, retained; nobody calls this before the clock is known (A3)."""
    message = {"status": word, "ts": node.unix(now)}
    if word != "ONLINE":
        message["sleep_s"] = node.settings["sleep_s"]
    say(node, out, "status", node.topic("status"), message, True)


def ask_time(node, out):
    """A3: for gateways that know no receipt."""
    message = {"message_type": "time_request", "uptime": node.facts()["uptime"]}
    say(node, out, "time_request", node.root + "/time/request", message)


def error(node, out, now, component, word, text):
    """A8: what could not be told in any other answer. Its PUBACK is known by the word."""
    message = {"level": "ERROR", "component": component, "error_code": word}
    message.update({"message": text, "mark": word})
    if node.wall is not None:
        message["ts"] = node.unix(now) * 1000
    say(node, out, "error", node.topic("error"), message)


def telemetry(node, out, sample, boot_id, mark):
    """A8: a value of a channel; `n` counts samples, `n_boot` where it is of an earlier boot."""
    number, ts, channel, metric, value = sample
    message = {"metric_type": metric, "value": value, "ts": ts, "n": number, "mark": mark}
    if boot_id != node.boot_id:
        message["n_boot"] = boot_id
    say(node, out, "telemetry", node.topic("telemetry", channel), message)


def event(node, out, now, channel, code, fields):
    """A8: something happened."""
    message = {"event_code": code, "ts": node.unix(now)}
    message.update(fields)
    say(node, out, "event", node.topic("event", channel), message)


# -- config reports (B6) ----------------------------------------------------------------------


def header(node, out, state, pair, why=(None, None), message=None):
    """A config_report: how far the pair (revision, sha256) came, why = (reason, path)."""
    message = message if message is not None else {}
    seq = node.seq("config_report")
    message.update({"message_type": "config_report", "revision": pair[0], "sha256": pair[1]})
    message["seq"] = seq
    for name, value in (("state", state), ("reason", why[0]), ("path", why[1])):
        if value:
            message[name] = value
    if node.store.running.secret:
        message["sig"] = _sign(node, "config_report", seq, pair[0], pair[1])
    say(node, out, "config_report", node.topic("config_report"), message)
    if state:
        text = "config %s v%d" % (state, pair[0])
        out.append(("log", text + ": " + why[0] if why[0] else text))


def report(node, out, state, full):
    """What runs; the document only where B6 wants it."""
    config = node.store.running
    message = {}
    if full:
        message = document.redacted(config.values)
        message["fw_version"] = VERSION
        if message.get("type") in (None, "", "unknown"):
            message["type"] = node.settings.get("node_type", "unknown")
        if len(encode(message)) + _LONGEST_HEADER > MAX_PAYLOAD:
            message = _names_only(message)
    if node.store.trial and not config.revision:
        message["mark"] = "plain"  # its PUBACK is the proof of a plain document (B5)
    header(node, out, state, (config.revision, config.sha), message=message)


def _names_only(message):
    short = {"channels": [{"name": c.get("name")} for c in message.get("channels", ())]}
    for name in ["node_id", "version", "type", "gh_uid", "zone_uid", "fw_version"]:
        if name in message:
            short[name] = message[name]
    return short


def report_all(node, out):
    """On connect, and whenever somebody asks: what runs, and how far it is proved."""
    if node.store.trial and node.store.trial.revision:
        report(node, out, "applied", False)
    else:
        report(node, out, "verified" if node.store.running.revision else None, True)


def final(node, out):
    """The end of the last pair that failed; asked again, answered again, never tried again (B5)."""
    failed = node.store.failed
    path = failed[4] if len(failed) > 4 else None
    header(node, out, failed[2], (failed[0], failed[1]), (failed[3], path))
