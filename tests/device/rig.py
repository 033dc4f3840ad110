# A node on a table: virtual time, a broker and a gateway played by hand, flash in two dictionaries.
# No typing, no pathlib and no pytest: the scenarios that use it run in MicroPython too.

import json

from gwnode import config, follow, protocol, ring
from gwnode.node import Node

HARDWARE = "esp32-a0b1c2d3e4f5"
TEMP = "hydro/gh-temp/zn-temp/" + HARDWARE
SECRET = "s" * 64
UNIX = 1737355112
STEP = 50


def document(**changes):
    """A good document; None takes a key away."""
    doc = {
        "node_id": "nd-ph-1",
        "version": 3,
        "type": "ph",
        "gh_uid": "gh-temp",
        "zone_uid": "zn-temp",
        "channels": [{"name": "ph_sensor", "type": "SENSOR", "metric": "PH"}],
        "mqtt": {"configured": True},
        "wifi": {"configured": True},
        "node_secret": SECRET,
    }
    doc.update(changes)
    return {name: doc[name] for name in doc if doc[name] is not None}


def facts():
    """What a board tells of itself."""
    return {"uptime": 0, "free_heap": 0, "min_free_heap": 0, "rssi": -100}


class Blocks(ring.Ring):
    """The ring itself, on blocks in memory."""

    def __init__(self, blocks):
        self.files = {}  # place -> (sequence, content)
        self.full = False
        super().__init__("", blocks)

    def _sequence(self, place):
        return self.files.get(place, (None,))[0]

    def _load(self, sequence):
        return self.files.get(sequence % self._blocks)

    def _save(self, sequence, content):
        if self.full:
            raise OSError(28)
        self.files[sequence % self._blocks] = (sequence, content)

    def _remove(self, sequence):
        self.files.pop(sequence % self._blocks, None)

    def again(self):
        """What a boot finds."""
        found = Blocks(self._blocks)
        found.files = self.files
        ring.Ring.__init__(found, "", self._blocks)
        return found


class Rig:
    """What surrounds a node, and the node."""

    def __init__(self, seed=1, **settings):
        self.settings = {
            "hardware_id": HARDWARE,
            "node_type": "ph",
            "mqtt": {"host": "one", "port": 1883},
            "wifi": [{"ssid": "home", "pass": "word"}],
        }
        self.settings.update(settings)
        self.now = 1000
        self.step = STEP  # how finely time passes, in milliseconds
        self.seed = seed
        self.boots = 0
        self.slots = {}  # slot -> content
        self.record = None
        self.writes = 0
        self.full = False  # flash takes nothing
        self.brokers = ["one"]  # hosts that answer
        self.pubacks = True
        self.said = []  # (when, topic, message, retained)
        self.opened = []  # (when, mqtt, will topic, will)
        self.filters = []
        self.log = []
        self.clocks = []
        self.restarts = []
        self.crash = ""  # what the boot before left
        self.acted = []  # (cmd_id, status) as notes.py keeps them
        self.bad_boots = 0
        self.slept = []
        self.values = {}  # channel -> what its driver reads; an Exception is raised
        self.levels = []  # (when, channel, level) that drivers were told
        self.ring = Blocks(4)
        self.secrets = ["word", SECRET]  # these must never be on the wire
        self.boot()

    # -- the board -------------------------------------------------------------------------------

    def stored(self):
        """What a boot would find in flash right now."""
        base = config.base(self.settings)
        slots = [config.unpack(number, self.slots[number], base) for number in self.slots]
        record = json.loads(self.record) if self.record else None
        claim_key = self.settings.get("claim_key", "")
        legacy = self.settings.get("legacy", False)
        store = config.Store(base, [s for s in slots if s], record, claim_key, legacy)
        store.settings = self.settings
        return store

    def boot(self):
        """Power on: what flash has is all that is known."""
        self.boots += 1
        self.store = self.stored()
        if self.store.booted():
            self.record = self.store.record()
        self.boot_id = "%08x" % (0xB0070000 + self.boots)
        self.counts = {}
        self.linked = False
        self.node = Node(self.settings, self.store, self.boot_id, facts, self.seed)
        self.node.crash = self.crash
        failed = "ERROR", "command_already_failed"
        seen = [(one, (word, None) if word else failed) for one, word in self.acted]
        follow.recall(self.node, seen, self.bad_boots >= 5, 0, self.now)
        self.ring = self.ring.again()
        self.do(("tick",))

    def wait(self, seconds):
        """Let time pass."""
        until = self.now + int(seconds * 1000)
        while self.now < until:
            self.now = min(self.now + self.step, until)
            self.do(("tick",))

    def cut(self):
        """The broker is gone."""
        self.brokers = []
        if self.linked:
            self.linked = False
            self.do(("lost", "cut"))

    def do(self, event):
        """An event and all that follows from it."""
        self.events = [event]
        while self.events:
            for action in self.node.step(self.events.pop(0), self.now):
                found = getattr(self, "_" + action[0])(*action[1:])
                if found:
                    self.events.append(found)

    def _open(self, mqtt, will_topic, will):
        self.opened.append((self.now, mqtt, will_topic, json.loads(will)))
        self.linked = mqtt.get("host") in self.brokers
        return ("connected",) if self.linked else ("failed", "away")

    def _subscribe(self, topics):
        self.filters = topics

    def _publish(self, topic, payload, retain, mark):
        kind, message = topic.split("/")[-1], json.loads(payload)
        assert self.linked, topic
        assert len(payload) <= 4096, topic
        assert message["boot_id"] == self.boot_id, topic
        self.counts[kind] = self.counts.get(kind, 0) + 1
        assert message["seq"] == self.counts[kind], "one count for each kind"
        for secret in self.secrets:
            assert '"' + secret + '"' not in payload.decode(), "a secret is on the wire"
        self.said.append((self.now, topic, message, retain))
        return ("acked", mark) if mark and self.pubacks else None

    def _save(self, slot, pieces, record):
        if self.full:
            return ("unsaved", "no space")
        self.writes += 1
        good = json.loads(record)["good"]
        self.slots = {number: self.slots[number] for number in self.slots if number == good}
        self.slots[slot] = b"".join(pieces)
        self.record = record
        return ("saved",)

    def _record(self, content):
        if not self.full:
            self.record = content

    def _flush(self):
        pass

    def _close(self):
        self.filters = []
        self.linked = False

    def _clock(self, unix_ts):
        self.clocks.append(unix_ts)

    def _forget_crash(self):
        self.crash = ""

    def _remember(self, cmd_id, status):
        self.acted = self.acted[-15:] + [(cmd_id, status)]

    def _good_boot(self):
        self.bad_boots = 0

    def _sleep(self, seconds):
        """The board is off so long, and boots."""
        self.slept.append(seconds)
        self._close()
        self.now += seconds * 1000
        self.events.clear()
        self.boot()

    def _restart(self, why):
        self.restarts.append(why)

    def _log(self, text):
        self.log.append(text)

    # -- drivers and the ring, as hardware.py has them -------------------------------------------

    def _hardware(self, what, *words):
        return getattr(self, "hw_" + what)(*words)

    def hw_open(self, found):
        self.opened_channels = {channel["name"]: driver for channel, driver in found}
        return ("hardware", "stored", self.ring.count, [list(one) for one in self.ring.lost])

    def hw_read(self, name):
        value = self.values.get(name, 1)
        if isinstance(value, Exception):
            return ("hardware", "unread", name, str(value))
        return ("hardware", "read", name, value)

    def hw_drive(self, name, level):
        value = self.values.get(name)
        if isinstance(value, Exception):
            return ("hardware", "driven", name, str(value))
        self.levels.append((self.now, name, level))
        return ("hardware", "driven", name, None)

    def hw_fetch(self):
        found = self.ring.fetch()
        return ("hardware", "fetched") + found if found else self._stored()

    def hw_release(self):
        self.ring.release()

    def hw_put(self, boot_id, samples):
        # copies, as flash makes them
        self.ring.put(boot_id, json.loads(json.dumps(samples)))
        return self._stored()

    def hw_drop(self):
        self.ring.drop()
        return self._stored()

    def hw_told(self, ranges):
        self.ring.told(ranges)
        return self._stored()

    def _stored(self):
        return ("hardware", "stored", self.ring.count, [list(one) for one in self.ring.lost])

    # -- what the node did -----------------------------------------------------------------------

    def heard(self, kind, **fields):
        """The messages of a kind that have these fields, oldest first."""
        return [
            message
            for _, topic, message, _ in self.said
            if topic.split("/")[-1] == kind and all([message.get(k) == fields[k] for k in fields])
        ]

    def times(self, kind):
        """When they were said."""
        return [when for when, topic, _, _ in self.said if topic.split("/")[-1] == kind]

    def last(self, kind):
        return self.heard(kind)[-1]

    def topic_of(self, kind):
        """Where it was said last."""
        return [topic for _, topic, _, _ in self.said if topic.split("/")[-1] == kind][-1]

    def state(self, revision=None):
        """How far the last pair that was told of came, or the last one of a revision."""
        told = [m for m in self.heard("config_report") if "state" in m]
        told = [m for m in told if revision in (None, m["revision"])]
        return (told[-1]["state"], told[-1]["revision"]) if told else None

    @property
    def running(self):
        return self.node.store.running

    # -- the gateway -----------------------------------------------------------------------------

    def receipt(self, secret="", **changes):
        """Answer the last hello, signed where there is a secret."""
        hello = self.last("node_hello")
        message = {
            "message_type": "hello_ack",
            "hardware_id": HARDWARE,
            "boot_id": hello["boot_id"],
            "seq": hello["seq"],
            "uid": "nd-ph-1",
            "unix_ts": UNIX + self.now // 1000,
            "config_revision": 0,
        }
        message.update(changes)
        if secret and "sig" not in changes:
            names = ("hardware_id", "boot_id", "seq", "unix_ts", "config_revision")
            parts = [message[name] for name in names]
            message["sig"] = protocol.sign(secret, "hello_ack", *parts)
        self.message(TEMP + "/hello_ack", message)

    def envelope(self, number, doc, key="open", secret=SECRET, **changes):
        """A config as the gateway publishes it."""
        text = doc if isinstance(doc, str) else json.dumps(doc)
        sha = protocol.sha256_hex(text.encode())
        message = {"message_type": "config", "revision": number, "sha256": sha, "doc": text}
        message["key"] = key
        message["sig"] = protocol.sign(secret, "config", HARDWARE, number, sha)
        message.update(changes)
        return message

    def push(self, revision, doc, key="open", secret=SECRET, **changes):
        """Publish it."""
        self.message(TEMP + "/config", self.envelope(revision, doc, key, secret, **changes))

    def message(self, topic, message):
        """Anything, from anybody."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.do(("message", topic, bytearray(data)))

    def settle(self, secret=SECRET):
        """Wait for the hello behind a switch, and answer it."""
        self.wait(2)
        self.receipt(secret)

    def adopt(self, revision=1, **changes):
        """A node that runs a proved config."""
        self.receipt()
        self.push(revision, document(**changes))
        self.settle(changes.get("node_secret", SECRET))
        assert self.running.revision == revision
        assert not self.node.store.trial

    def command(self, name, secret=SECRET, channel="system", **changes):
        """A signed command; the answers to it."""
        message = {"cmd": name, "cmd_id": "c-%d" % self.now, "params": {}}
        message["ts"] = self.node.unix(self.now)
        message.update(changes)
        message = {k: message[k] for k in message if message[k] is not None}
        if secret and "sig" not in changes:
            message["sig"] = protocol.sign_command(secret, json.dumps(message).encode())
        before = len(self.heard("command_response"))
        self.message(self.node.topic("command", channel), message)
        return self.heard("command_response")[before:]
