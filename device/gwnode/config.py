"""The node's configs: the one that proved itself, the one on trial, the one that failed. Pure."""
# Rules of this file (B5). The trial is counted before the document is applied; it ends well only by
# a proof, and otherwise by time or by boots; an end is an end. What is written to flash are two
# things: a slot (a document's bytes as received, and what it left as it was, in one write) and the
# boot record (which slot is good, which is on trial, which pair failed).

import json

from . import document, forget
from .protocol import (
    MAX_REVISION,
    TEMP_GH,
    TEMP_ZONE,
    Refused,
    is_integer,
    is_temp,
    parse,
    same,
    sha256_hex,
    sign,
)

MAX_BOOTS = 3


def base(settings):
    """What a node is before any config, in the words of a document."""
    return {
        "node_id": settings["hardware_id"],
        "version": 3,
        "type": settings.get("node_type", "unknown"),
        "gh_uid": TEMP_GH,
        "zone_uid": TEMP_ZONE,
        "channels": [],
        "wifi": settings.get("wifi"),
        "mqtt": settings["mqtt"],
    }


class Config:
    """A document that runs or ran, on top of what node.json says."""

    slot = 0  # 0: it has none yet

    def __init__(self, revision, sha, text, kept, doc, base):
        self.revision = revision
        self.sha = sha
        self.text = text
        self.kept = kept
        self.values = document.effective(doc, kept, base)
        # which of them a config brought: the rest stays node.json's, which somebody may edit
        self.brought = [n for n in document.PLACES if n in kept or document.carries(doc, n)]

    @property
    def secret(self):
        return self.values.get("node_secret") or ""


def pack(config):
    """A slot's content, in pieces: a small heap has no room for both of them once more."""
    head = json.dumps({"rev": config.revision, "sha": config.sha, "kept": config.kept})
    return head.encode() + b"\n", config.text


def unpack(number, content, base):
    """A slot's content as a Config, None where it is not what pack made."""
    try:
        head, text = content.split(b"\n", 1)
        head = json.loads(head)
        if sha256_hex(text) != head["sha"] and head["rev"]:
            return None
        # flash has the text; a small heap need not
        config = Config(head["rev"], head["sha"], b"", head["kept"], json.loads(text), base)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    config.slot = number
    return config


class Store:
    """What flash holds, and what a change of it means. `settings` know the pins that channels have."""

    def __init__(self, base, slots=(), record=None, claim_key="", legacy=False):
        self.base = base
        self.settings = {}
        self.claim_key = claim_key
        self.legacy = legacy
        slots = sorted(slots, key=lambda config: config.slot)
        if slots and not record:
            # both copies of the record are gone, so nobody knows which of the two was proved: the
            # newer one must prove itself again, with the older one behind it
            record = {"good": slots[0].slot, "trial": {"slot": slots[-1].slot, "boots": 0}}
        record = record or {}
        self.failed = record.get("failed")
        self.top = max([c.slot for c in slots] + [0])
        self.good = _good(base, slots, record)
        # the highest revision that was ever proved
        self.floor = max(record.get("floor", 0), self.good.revision)
        self.trial = None
        self.boots = 0
        trial = record.get("trial") or {}
        for config in slots:
            if config.slot == trial.get("slot") != self.good.slot:
                self.trial = config
                self.boots = trial["boots"]

    @property
    def running(self):
        return self.trial or self.good

    def record(self):
        """The boot record as bytes."""
        record = {"good": self.good.slot, "failed": self.failed, "floor": self.floor}
        if self.trial:
            record["trial"] = {"slot": self.trial.slot, "boots": self.boots}
        return json.dumps(record).encode()

    def booted(self):
        """Count a boot of a trial, which has failed where that was one too many; False without a trial."""
        if not self.trial:
            return False
        self.boots += 1
        if self.boots > MAX_BOOTS:
            self.fail("rolled_back", "%d boots without a receipt" % MAX_BOOTS)
        return True

    def confirm(self):
        """The trial has its proof."""
        self.good, self.trial, self.boots = self.trial, None, 0
        self.floor = max(self.floor, self.good.revision)
        self.failed = None

    def fail(self, state, reason):
        """The trial is over; the config before it runs again."""
        self.failed = [self.trial.revision, self.trial.sha, state, reason]
        self.trial, self.boots = None, 0

    def reject(self, revision, sha, reason, path):
        """A document that is wrong in itself never runs; the answer is kept for when it comes again."""
        self.failed = [revision, sha, "rejected", reason, path]

    def begin(self, config):
        """A new document goes on trial (a trial that was under way is given up for it)."""
        self.top += 1
        config.slot = self.top
        self.trial, self.boots = config, 0

    # -- what comes in --------------------------------------------------------------------------

    def take(self, payload, hardware_id):
        """What to do with a config message, a bytearray that is used up: ("take", Config),
        ("again", state, config), ("final", failed), ("reject", revision, sha, reason, path). Raises
        Refused, and then `asked` is the revision and hash that it speaks of, or None for each."""
        self.asked = None, None
        message = parse(payload, True)
        revision, sha = self.asked = message.get("revision"), message.get("sha256")
        if "doc" in message or "sha256" in message:
            self._check_envelope(message, revision, sha, payload)
            doc = parse(payload)
            self._check_signature(message, doc, hardware_id, revision, sha)
        elif self.floor and not self.legacy:
            raise Refused("signature", "a plain document, and this node has proved a signed one")
        else:
            # a document of A6.2, as the field's gateways publish it
            revision, sha, doc = 0, sha256_hex(payload), message
        return self._judged(revision, sha, payload, doc)

    def _check_envelope(self, message, revision, sha, text):
        if not is_integer(revision, 1, MAX_REVISION):
            raise Refused("schema", "revision")
        if not isinstance(sha, str) or message.get("doc") is not text:
            raise Refused("schema", "sha256 or doc")
        if sha256_hex(text) != sha:
            raise Refused("hash", "the document is not the one that was hashed")

    def _judged(self, revision, sha, text, doc):
        """What to do with a document that nobody forged; one with the revision 0 is plain."""
        if self.failed and self.failed[:2] == [revision, sha]:
            return "final", self.failed  # a retained one comes with every connection
        running = self.running
        if revision and running.revision == revision and running.sha == sha:
            return "again", "applied" if self.trial else "verified", running
        if 0 < revision <= running.revision:
            raise Refused("revision", "%d is not newer than %d" % (revision, running.revision))
        wrong = self._problem(doc)
        if wrong:
            return "reject", revision, sha, wrong[1], wrong[0]
        # what is on trial has proved nothing: what is left as it was, is what was good
        kept = document.overlay(doc, self.good.values, self.good.brought)
        config = Config(revision, sha, text, kept, doc, self.base)
        if revision and not config.secret:
            # its receipt could not be signed, so that it would prove nothing
            return "reject", revision, sha, "Missing or invalid node_secret", "node_secret"
        if not revision:
            same_place = _in_temp(running.values) and _in_temp(doc)
            if same_place or _comparable(config.values) == _comparable(running.values):
                return "again", None, running
        return "take", config

    def _check_signature(self, message, doc, hardware_id, revision, sha):
        name, keys = message.get("key"), []
        if name == "secret":
            # on trial the new secret is as good as the one it may replace
            keys = [c.secret for c in (self.trial, self.good) if c]
        elif name == "claim":
            keys = [self.claim_key]
        elif name == "open" and not self.claim_key:
            keys = [doc.get("node_secret")]
        for key in keys:
            if not key or not isinstance(key, str):
                continue
            if same(message.get("sig"), sign(key, "config", hardware_id, revision, sha)):
                break
        else:
            raise Refused("signature", "not signed by a key that counts")

    def _problem(self, doc):
        from . import (
            check,
        )  # not before the first config, and not after it: a small heap is better used

        found = check.problem(doc, self.settings)
        forget("check")
        return found


def _good(base, slots, record):
    """The slot that the record calls good; where flash lost it, one that did not fail; else the base."""
    usable = []
    for config in slots:
        if config.slot == record.get("good"):
            return config
        on_trial = config.slot == (record.get("trial") or {}).get("slot")
        if not on_trial and [config.revision, config.sha] != (record.get("failed") or [])[:2]:
            usable.append(config)
    if usable and record.get("good"):
        return usable[-1]
    return Config(0, "", b"", {}, {n: base[n] for n in base if n not in document.PLACES}, base)


def _in_temp(config):
    return is_temp(config.get("gh_uid") or TEMP_GH, config.get("zone_uid") or TEMP_ZONE)


def _comparable(config):
    return {name: config[name] for name in config if name not in document.PLACES}
