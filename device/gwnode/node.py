"""What the node does next: step(event, now) -> actions. Pure: no clock, no socket, no flash, no chance."""
# Rules of this file. `now` is a monotonic count of milliseconds that never wraps. Events and actions
# are tuples whose first item is their name:
#   in:  connected | failed why | lost why | message topic payload | saved | unsaved why | tick
#   out: open (with the will) | subscribe topics | publish topic payload retain | save slot record |
#        record bytes | flush | close | clock unix | restart why | log text
# Promises: hello on every connect, repeated until a receipt that counts; beats always; a config that
# cannot prove itself is left again.

import json

from . import VERSION, commands, document
from .config import pack
from .protocol import TEMP_GH, TEMP_ZONE, Refused, is_temp, same, scan, sign, temp_topic

_HELLO_MOST = 60000
_UNHEARD = 10  # hellos without any answer: this gateway knows no receipts
_TIME_EVERY = 15000
_TIME_TRIES = 40


class Node:
    """The state. One object for a boot."""

    def __init__(self, settings, store, boot_id, facts, seed):
        self.settings = settings
        self.store = store
        self.boot_id = boot_id
        self.facts = facts  # () -> a dictionary: free_heap, min_free_heap, rssi, uptime
        self.seed = seed
        self.root = settings.get("root", "hydro")
        self.hardware_id = settings["hardware_id"]
        self.seqs = {}
        self.lost_messages = 0
        self.connected = False
        self.wall = None  # unix seconds minus now in seconds, once the clock is known
        self.trusted_clock = False
        self.tries = 0  # connects that failed in a row
        self.open_at = 0
        self.hello_at = None
        self.hello_pause = 1000
        self.first_hello = 0  # the first hello since this config runs: only its answers prove it
        self.unanswered = 0
        self.beat_at = 0
        self.time_at = None
        self.time_tries = 0
        self.trial_ends = None
        self.wanted = None  # a config that is being written
        self.seen = {}  # cmd_id -> the answer that is repeated

    # -- names -----------------------------------------------------------------------------------

    @property
    def config(self):
        return self.store.running.values

    def place(self):
        """(gh, zone, node) of the name space in which we speak."""
        config = self.config
        gh, zone = config.get("gh_uid") or TEMP_GH, config.get("zone_uid") or TEMP_ZONE
        if is_temp(gh, zone):
            return TEMP_GH, TEMP_ZONE, self.hardware_id
        return gh, zone, config.get("node_id") or self.hardware_id

    def topic(self, kind, channel=None):
        gh, zone, name = self.place()
        parts = [self.root, gh, zone, name, kind]
        if channel:
            parts.insert(4, channel)
        return "/".join(parts)

    def seq(self, kind):
        self.seqs[kind] = self.seqs.get(kind, 0) + 1
        return self.seqs[kind]

    def jitter(self, most):
        """Full jitter from the seed; chance comes from outside, once."""
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return most // 8 + self.seed % max(1, most * 7 // 8)

    # -- the step --------------------------------------------------------------------------------

    def step(self, event, now):
        """The actions that follow an event."""
        out = []
        getattr(self, "on_" + event[0])(out, now, *event[1:])
        return out

    def on_connected(self, out, now):
        self.connected = True
        self.tries = 0
        out.append(("subscribe", self.topics()))
        self.unanswered = 0
        self.hello_pause = 1000
        self.hello_at = now
        self.first_hello = self.seqs.get("node_hello", 0) + 1
        self.beat_at = now + self.jitter(2000)
        self.time_at = now if self.wall is None else None
        self.time_tries = 0
        if self.store.trial and self.trial_ends is None:
            self.trial_ends = now + self.settings.get("trial_s", 120) * 1000
        if self.wall is not None:
            self._status(out, now)
        self._hello(out, now)
        if self.store.failed and not self.store.trial and not self.seqs.get("told"):
            self.seqs["told"] = 1
            self._final(out, self.store.failed)
        self.report_all(out)

    def on_failed(self, out, now, why):
        self.connected = False
        pause = min(1000 << min(self.tries, 6), 60000)
        self.tries += 1
        self.open_at = now + self.jitter(pause)
        out.append(("log", "broker not reached (%s), next try in %d s" % (why, pause // 1000)))

    def on_lost(self, out, now, why):
        self.connected = False
        self.open_at = now + self.jitter(1000)
        out.append(("log", "connection lost: %s" % why))

    def on_tick(self, out, now):
        if self.trial_ends is not None and now >= self.trial_ends and self.wanted is None:
            self._roll_back(out, now, "no receipt within %d s" % self.settings.get("trial_s", 120))
            return
        if not self.connected:
            if now >= self.open_at:
                self.open_at = now + _HELLO_MOST
                self._open(out)
            return
        if self.hello_at is not None and now >= self.hello_at:
            self._hello(out, now)
        if now >= self.beat_at:
            self.beat_at = now + int(self.interval() * 1000)
            self._beat(out)
        if self.time_at is not None and now >= self.time_at:
            self._ask_time(out, now)

    def on_message(self, out, now, topic, payload):
        kind = topic[topic.rfind("/") + 1 :]
        try:
            if kind == "hello_ack":
                self._receipt(out, now, payload)
            elif kind == "config":
                self._take_config(out, now, payload)
            elif kind == "response":
                self._take_time(out, now, payload)
            elif kind == "command":
                commands.take(self, out, now, topic.split("/")[-2], payload)
        except Refused as refused:
            out.append(("log", "refused a %s: %s %s" % (kind, refused.word, refused.detail)))

    def on_saved(self, out, now):
        """The new document is safe on flash: run it."""
        config, self.wanted = self.wanted, None
        self.first_hello = 1 << 30
        self.trial_ends = now + self.settings.get("trial_s", 120) * 1000
        out.append(("log", "config v%d on trial" % config.revision))
        self._switch(out, now)

    def on_unsaved(self, out, now, why):
        config, self.wanted = self.wanted, None
        if config is None:
            return
        self.store.trial = None
        self._header(out, config.revision, config.sha, "rejected", "flash: " + why)

    # -- what we say -----------------------------------------------------------------------------

    def topics(self):
        """Ours, and the temp ones for ever (A1)."""
        names = [temp_topic(self.root, self.hardware_id, "hello_ack")]
        temp = self.root + "/" + TEMP_GH + "/" + TEMP_ZONE + "/" + self.hardware_id
        for base in (temp, self.topic("x")[:-2]):
            for kind in ("/config", "/+/command"):
                if base + kind not in names:
                    names.append(base + kind)
        names.append(self.root + "/time/response")
        return names

    def interval(self):
        return self.settings.get("interval_s", 15)

    def say(self, out, kind, topic, message, retain=False):
        message["boot_id"] = self.boot_id
        if "seq" not in message:
            message["seq"] = self.seq(kind)
        out.append(("publish", topic, json.dumps(message).encode(), retain))

    def _open(self, out):
        will = json.dumps({"status": "OFFLINE", "boot_id": self.boot_id}).encode()
        mqtt = self.config.get("mqtt") or {}
        out.append(("open", mqtt, self.topic("lwt"), will))

    def _hello(self, out, now):
        config = self.store.running
        message = {
            "message_type": "node_hello",
            "hardware_id": self.hardware_id,
            "node_type": self.settings.get("node_type", "unknown"),
            "fw_version": VERSION,
            "protocol": 1,
            "seq": self.seq("node_hello"),
            "config_revision": config.revision,
            "config_sha256": config.sha,
        }
        for name in ("reset_cause", "board", "mpy", "capabilities", "provisioning_meta"):
            if self.settings.get(name):
                message[name] = self.settings[name]
        message["free_heap"] = self.facts().get("free_heap", 0)
        if config.secret:
            message["sig"] = self._sign("node_hello", message["seq"], config)
        if self.settings.get("claim_key"):
            text = self.hardware_id + "\n" + self.boot_id
            message["claim"] = sign(self.settings["claim_key"], text)
        self.say(out, "node_hello", self.root + "/node_hello", message)
        out.append(("log", "hello sent seq=%d" % message["seq"]))
        self.unanswered += 1
        if self.unanswered >= _UNHEARD:
            self.hello_pause = _HELLO_MOST
        self.hello_at = now + self.jitter(self.hello_pause)
        self.hello_pause = min(self.hello_pause * 2, _HELLO_MOST)

    def _sign(self, kind, seq, config):
        parts = (kind, self.hardware_id, self.boot_id, seq, config.revision, config.sha)
        return sign(config.secret, *parts)

    def _beat(self, out):
        facts = self.facts()
        message = {
            "uptime": facts.get("uptime", 0),
            "free_heap": facts.get("free_heap", 0),
            "min_free_heap": facts.get("min_free_heap", 0),
            "rssi": facts.get("rssi", -100),
            "fw_version": VERSION,
            "interval_s": self.interval(),
            "config_revision": self.store.running.revision,
            "lost": self.lost_messages,
        }
        self.say(out, "heartbeat", self.topic("heartbeat"), message)

    def _status(self, out, now):
        message = {"status": "ONLINE", "ts": self.unix(now)}
        self.say(out, "status", self.topic("status"), message, True)

    def unix(self, now):
        return int(self.wall + now / 1000) if self.wall is not None else 0

    def _report(self, out, state, full=False):
        """What runs, and how far it is proved; the document only where B6 wants it."""
        config = self.store.running
        message = {}
        if full:
            message = document.redacted(config.values)
            message["fw_version"] = VERSION
            if not message.get("type") or message["type"] == "unknown":
                message["type"] = self.settings.get("node_type", "unknown")
        self._header(out, config.revision, config.sha, state, None, message)

    def _header(self, out, revision, sha, state, reason=None, message=None, path=None):
        message = message if message is not None else {}
        seq = self.seq("config_report")
        message.update({"message_type": "config_report", "revision": revision, "sha256": sha})
        message["seq"] = seq
        for name, value in (("state", state), ("reason", reason), ("path", path)):
            if value:
                message[name] = value
        config = self.store.running
        if config.secret:
            parts = (self.hardware_id, self.boot_id, seq, revision, sha)
            message["sig"] = sign(config.secret, "config_report", *parts)
        if len(json.dumps(message)) > 4000 and "channels" in message:
            message["channels"] = [{"name": c.get("name")} for c in message["channels"]]
        self.say(out, "config_report", self.topic("config_report"), message)
        if state:
            out.append(
                ("log", "config %s v%d%s" % (state, revision, ": " + reason if reason else ""))
            )

    def report_all(self, out):
        """The whole config, because somebody asks for it."""
        if self.store.trial:
            self._report(out, "applied")
        else:
            self._report(out, "verified" if self.store.good.revision else None, full=True)

    def set_clock(self, out, now, unix_ts):
        """A signed command sets the clock."""
        self._set_clock(out, now, unix_ts, True)

    def _final(self, out, failed):
        path = failed[4] if len(failed) > 4 else None
        self._header(out, failed[0], failed[1], failed[2], failed[3], path=path)

    def _ask_time(self, out, now):
        self.time_tries += 1
        self.time_at = now + _TIME_EVERY if self.time_tries < _TIME_TRIES else None
        message = {"message_type": "time_request", "uptime": self.facts().get("uptime", 0)}
        self.say(out, "time_request", self.root + "/time/request", message)

    # -- what we hear ----------------------------------------------------------------------------

    def _receipt(self, out, now, payload):
        message = json.loads(scan(payload))
        if not isinstance(message, dict) or message.get("hardware_id") != self.hardware_id:
            raise Refused("schema", "a receipt for somebody else")
        seq = message.get("seq")
        if message.get("boot_id") != self.boot_id or not isinstance(seq, int):
            return  # it answers an earlier boot
        self.unanswered = 0
        if message.get("accepted") is False:
            self.hello_at = now + self.jitter(_HELLO_MOST) // 2 + _HELLO_MOST // 2
            out.append(("log", "not accepted: %s" % message.get("reason")))
            return
        config = self.store.running
        if config.secret and not self._is_signed(message, config):
            # somebody is there, but who? keep asking, take nothing from it
            self.hello_at = now + self.jitter(_HELLO_MOST) // 2 + _HELLO_MOST // 2
            out.append(("log", "receipt without a good signature"))
            return
        if seq < self.first_hello:
            return  # it answers what we were before
        self.hello_at = None
        out.append(
            (
                "log",
                "receipt uid=%s revision=%s" % (message.get("uid"), message.get("config_revision")),
            )
        )
        self._set_clock(out, now, message.get("unix_ts"), True)
        if self.store.trial:
            self._confirm(out)

    def _is_signed(self, message, config):
        names = ("hardware_id", "boot_id", "seq", "unix_ts", "config_revision")
        parts = [message.get(name, "") for name in names]
        return same(message.get("sig"), sign(config.secret, "hello_ack", *parts))

    def _set_clock(self, out, now, unix_ts, trusted):
        if not isinstance(unix_ts, int) or unix_ts < 1000000000:
            return
        if self.trusted_clock and not trusted:
            return  # anybody can broadcast a time; a receipt is worth more
        first = self.wall is None
        self.wall = unix_ts - now / 1000
        self.trusted_clock = self.trusted_clock or trusted
        self.time_at = None
        out.append(("clock", unix_ts))
        if first and self.connected:
            self._status(out, now)

    def _take_time(self, out, now, payload):
        message = json.loads(scan(payload))
        if isinstance(message, dict):
            self._set_clock(out, now, message.get("unix_ts"), False)

    # -- configs ---------------------------------------------------------------------------------

    def _take_config(self, out, now, payload):
        if self.wanted is not None:
            return  # one at a time; the gateway sends again
        try:
            found = self.store.take(payload, self.hardware_id)
        except Refused as refused:
            self._answer_refusal(out, payload, refused)
            raise
        if found[0] == "again":
            self._report(out, found[1], full=found[1] != "applied")
        elif found[0] == "final":
            self._final(out, found[1])
        elif found[0] == "reject":
            _, revision, sha, reason, path = found
            self.store.reject(revision, sha, reason, path)
            out.append(("record", self.store.record()))
            self._header(out, revision, sha, "rejected", reason, path=path)
        else:
            self._begin_trial(out, found[1])

    def _answer_refusal(self, out, payload, refused):
        """Silence would leave the sender guessing (field failure C5)."""
        try:
            message = json.loads(payload)
            revision, sha = message["revision"], message["sha256"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(revision, int) and isinstance(sha, str):
            self._header(out, revision, sha, "rejected", refused.word)

    def _begin_trial(self, out, config):
        if config.revision:
            self._header(out, config.revision, config.sha, "received")
        self.store.begin(config)
        self.wanted = config
        # the record first: a power cut behind it finds no such slot and the good one runs
        out.append(("save", config.slot, pack(config), self.store.record()))

    def _confirm(self, out):
        self.store.confirm()
        self.trial_ends = None
        out.append(("record", self.store.record()))
        self._report(out, "verified" if self.store.good.revision else None, full=True)

    def _roll_back(self, out, now, reason):
        self.trial_ends = None
        self.store.fail("rolled_back", reason)
        self.seqs["told"] = 0
        out.append(("record", self.store.record()))
        out.append(("log", "config rolled back: %s" % reason))
        self._switch(out, now)

    def _switch(self, out, now):
        """Everything may have changed: name space, broker, Wi-Fi. Begin the connection anew."""
        if self.connected:
            out.append(("flush",))
        out.append(("close",))
        out.append(("wifi", self.config.get("wifi")))
        self.connected = False
        self.tries = 0
        self.open_at = now
