"""A node without a board: its pure files, a flash of two slots in memory, and a broker that we hold.

The bench is stricter than a board: it keeps flash and boot record apart as bytes, builds the node
from them at every boot, and refuses any message that breaks the rules of the wire (B4, B5).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "device"))

from gwnode import config, node
from gwnode.canonical import canonical as canonical

HARDWARE = "esp32-78e36ddde468"
TEMP = f"hydro/gh-temp/zn-temp/{HARDWARE}"
CLAIM = "claim-key-of-this-board"
GOOD_HOST, BAD_HOST = "broker", "nowhere"
TICK = 250


def sign(key: str, *parts: object) -> str:
    """The gateway's own HMAC, so that the node's is not tested against itself."""
    text = "\n".join(str(part) for part in parts)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def document(**changes: Any) -> dict[str, Any]:
    """A good NodeConfig; a value of None leaves its key out."""
    doc: dict[str, Any] = {"node_id": "nd-1", "version": 3, "type": "ph", "gh_uid": "gh-temp"}
    doc |= {"zone_uid": "zn-temp", "channels": [], "mqtt": {"configured": True}}
    doc |= changes
    return {name: value for name, value in doc.items() if value is not None}


def envelope(revision: int, doc: dict[str, Any], key: str, secret: str, **changes: Any) -> bytes:
    """A signed config as the gateway publishes it (B5)."""
    text = json.dumps(doc)
    sha = hashlib.sha256(text.encode()).hexdigest()
    message = {"message_type": "config", "revision": revision, "sha256": sha, "ts": 1, "key": key}
    message |= {"doc": text, "sig": sign(secret, "config", HARDWARE, revision, sha)}
    return json.dumps(message | changes).encode()


class Sent:
    """One message of the node."""

    def __init__(self, at: int, topic: str, payload: bytes, retain: bool) -> None:
        self.at = at
        self.topic = topic
        self.retain = retain
        self.kind = topic.rsplit("/", 1)[-1]
        self.said: dict[str, Any] = json.loads(payload)
        self.payload = payload


class World:
    """One board, one broker, one clock."""

    def __init__(self, **settings: Any) -> None:
        self.settings = {"hardware_id": HARDWARE, "node_type": "ph", "mqtt": {"host": GOOD_HOST}}
        self.settings |= {"wifi": [{"ssid": "home", "pass": "wifi-password"}]} | settings
        self.now = 0
        self.tick = TICK
        self.slots: dict[int, bytes] = {}
        self.record = b""
        self.broker = True
        self.flash_works = True
        self.pubacks = True
        self.sent: list[Sent] = []
        self.log: list[str] = []
        self.opened: list[tuple[str, dict[str, Any]]] = []
        self.subscribed: list[str] = []
        self.boots = 0
        self.secrets = ["wifi-password", "mqtt-password", CLAIM]
        self.boot()

    # -- the board -------------------------------------------------------------------------------

    def store(self) -> Any:
        """What a boot would find in flash right now."""
        base = document(node_id=HARDWARE, mqtt=self.settings["mqtt"], wifi=self.settings["wifi"])
        slots = [config.unpack(number, data) for number, data in self.slots.items()]
        record = json.loads(self.record) if self.record else None
        claim, legacy = self.settings.get("claim_key", ""), self.settings.get("legacy", False)
        return config.Store(base, [s for s in slots if s], record, claim, legacy)

    def boot(self) -> None:
        """Power on."""
        self.boots += 1
        store = self.store()
        if store.booted() or store.trial:
            self.record = store.record()
        self.boot_id = f"{self.boots:08x}"
        facts = {"uptime": 1, "free_heap": 2, "min_free_heap": 1, "rssi": -60}
        self.node = node.Node(self.settings, store, self.boot_id, lambda: facts, self.boots * 977)
        self.seqs: dict[str, int] = {}

    def step(self, *event: Any) -> None:
        """One event, its actions carried out, and what those bring up."""
        events = [event]
        while events:
            for action in self.node.step(events.pop(0), self.now):
                events += getattr(self, "do_" + action[0])(*action[1:]) or []

    def do_open(self, mqtt: dict[str, Any], topic: str, will: bytes) -> list[Any]:
        self.opened.append((topic, json.loads(will)))
        reached = self.broker and mqtt["host"] == GOOD_HOST
        return [("connected",)] if reached else [("failed", "nobody there")]

    def do_subscribe(self, topics: list[str]) -> None:
        self.subscribed = topics

    def do_publish(self, topic: str, payload: bytes, retain: bool, mark: Any) -> list[Any]:
        sent = Sent(self.now, topic, payload, retain)
        assert self.node.connected
        assert len(payload) <= 4096
        assert sent.said["boot_id"] == self.boot_id
        assert sent.said["seq"] == self.seqs.get(sent.kind, 0) + 1, "one count for each kind"
        self.seqs[sent.kind] = sent.said["seq"]
        for secret in self.secrets:
            assert secret.encode() not in payload, "a secret is on the wire"
        self.sent.append(sent)
        return [("acked", mark)] if mark and self.pubacks else []

    def do_save(self, number: int, content: bytes, record: bytes) -> list[Any]:
        if not self.flash_works:
            return [("unsaved", "no space")]
        self.record = record
        good = json.loads(record)["good"]
        self.slots = {n: data for n, data in self.slots.items() if n == good} | {number: content}
        return [("saved",)]

    def do_record(self, record: bytes) -> None:
        if self.flash_works:
            self.record = record

    def do_flush(self) -> None:
        pass

    def do_close(self) -> None:
        pass

    def do_clock(self, unix_ts: int) -> None:
        self.clock = unix_ts

    def do_restart(self, _why: str) -> None:
        self.boot()

    def do_log(self, text: str) -> None:
        self.log.append(text)

    # -- what happens to it ----------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Time passes."""
        until = self.now + int(seconds * 1000)
        while self.now < until:
            self.now = min(self.now + self.tick, until)
            self.step("tick")

    def cut(self) -> None:
        """The broker is gone."""
        self.broker = False
        if self.node.connected:
            self.step("lost", "cut")

    def kinds(self, kind: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.kind == kind]

    def states(self) -> list[tuple[str, int]]:
        """(state, revision) of the config_reports, in their order."""
        reports = [sent.said for sent in self.kinds("config_report")]
        return [(r["state"], r["revision"]) for r in reports if r.get("state")]

    def say(self, topic: str, message: Any) -> None:
        """Somebody publishes to the node."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.step("message", topic, data)

    def receipt(self, secret: str | None = None, **changes: Any) -> dict[str, Any]:
        """A receipt for the last hello, signed if there is a secret."""
        hello = self.kinds("node_hello")[-1].said
        ack = {"message_type": "hello_ack", "hardware_id": HARDWARE, "boot_id": hello["boot_id"]}
        ack |= {"seq": hello["seq"], "uid": "nd-1", "unix_ts": 1_750_000_000 + self.now // 1000}
        ack |= {"config_revision": hello["config_revision"]} | changes
        if secret:
            names = ("hardware_id", "boot_id", "seq", "unix_ts", "config_revision")
            ack["sig"] = sign(secret, "hello_ack", *(ack[name] for name in names))
        return ack

    def answer(self, secret: str | None = None, **changes: Any) -> None:
        self.say(f"{TEMP}/hello_ack", self.receipt(secret, **changes))

    def push(self, payload: bytes) -> None:
        self.say(f"{TEMP}/config", payload)

    def prove(self, revision: int, secret: str, **changes: Any) -> None:
        """An `open` config with this secret goes all its way."""
        self.secrets.append(secret)
        key, signer = ("claim", CLAIM) if "claim_key" in self.settings else ("open", secret)
        self.push(envelope(revision, document(node_secret=secret, **changes), key, signer))
        self.run(1)
        self.answer(secret)
        assert self.node.store.good.revision == revision
