"""The loop: events in, actions out. Everything that can wait waits here, and never for long."""

import json

from . import board, config, flash, log
from .link import Link, LinkError
from .node import Node

_FLUSH_MS = 1500
_WAIT_MS = 50


class Runner:
    """Carries the node's actions out."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = _settings(folder)
        self.slots = flash.Pair(folder, "slot")
        self.records = flash.Pair(folder, "boot")
        self.ending = False
        self.link = None
        store = self._store()
        failed = store.booted()
        if store.trial or failed:
            # counted before the document is applied: a config that resets us is left after three
            self.records.put(store.record())
        seed = int.from_bytes(board.random_bytes(3), "big")
        self.node = Node(self.settings, store, board.boot_id(), board.facts, seed)

    def _store(self):
        found = [config.unpack(number, content) for number, content in self.slots.both()]
        newest = self.records.newest()
        record = json.loads(newest[2]) if newest else None
        settings = self.settings
        base = {
            "node_id": settings["hardware_id"],
            "version": 3,
            "type": settings.get("node_type", "unknown"),
            "gh_uid": "gh-temp",
            "zone_uid": "zn-temp",
            "channels": [],
            "wifi": settings.get("wifi"),
            "mqtt": settings.get("mqtt") or {},
        }
        slots = [c for c in found if c]
        return config.Store(
            base, slots, record, settings.get("claim_key", ""), settings.get("legacy", False)
        )

    def run(self):
        """For ever, or until somebody ends us."""
        board.on_end(self.end)
        board.wifi(self.node.config.get("wifi"))
        try:
            while not self.ending:
                self.turn()
        except KeyboardInterrupt:
            pass
        if self.link is not None:
            self.link.close()
        log.info("stopped")

    def end(self):
        self.ending = True

    def turn(self):
        """One round: what has arrived, then what is due."""
        if self.link is not None:
            try:
                for topic, payload in self.link.poll(_WAIT_MS):
                    self.step("message", bytes(topic).decode(), bytes(payload))
            except (LinkError, OSError) as error:
                self._drop("lost", error)
        else:
            board.sleep_ms(_WAIT_MS)
        self.step("tick")

    def step(self, *event):
        actions = self.node.step(event, board.now_ms())
        for action in actions:
            getattr(self, "do_" + action[0])(*action[1:])

    def _drop(self, event, error):
        if self.link is not None:
            try:
                self.link.close()
            except (LinkError, OSError):
                pass
            self.link = None
        self.step(event, str(error) or type(error).__name__)

    # -- actions ---------------------------------------------------------------------------------

    def do_open(self, mqtt, will_topic, will):
        client_id = mqtt.get("client_id") or self.settings["hardware_id"]
        try:
            self.link = Link(
                client_id,
                mqtt.get("host", "127.0.0.1"),
                mqtt.get("port", 1883),
                mqtt.get("username") or mqtt.get("user"),
                mqtt.get("password") or mqtt.get("pass"),
                mqtt.get("keepalive", 60),
                clock=board.now_ms,
            )
            self.link.open(will_topic, will)
        except (LinkError, OSError) as error:
            self._drop("failed", error)
            return
        log.info("connected to %s:%s" % (mqtt.get("host"), mqtt.get("port", 1883)))
        self.step("connected")

    def do_subscribe(self, topics):
        try:
            self.link.subscribe_all(topics)
        except (LinkError, OSError) as error:
            self._drop("lost", error)

    def do_publish(self, topic, payload, retain):
        if self.link is None:
            self.node.lost_messages += 1
            return
        try:
            until = board.now_ms() + _FLUSH_MS
            while not self.link.can_send and board.now_ms() < until:
                self._poll_quietly()
            self.link.send(topic, payload, retain)
        except (LinkError, OSError) as error:
            self.node.lost_messages += 1
            self._drop("lost", error)

    def _poll_quietly(self):
        """Messages that come while we wait for room go the ordinary way, a little later."""
        for topic, payload in self.link.poll(10):
            self.step("message", bytes(topic).decode(), bytes(payload))

    def do_save(self, number, content, record):
        try:
            self.records.put(record)
            good = json.loads(record)["good"]
            self.slots.put(content, number, keep=good)
        except OSError as error:
            self.step("unsaved", str(error))
            return
        self.step("saved")

    def do_record(self, record):
        try:
            self.records.put(record)
        except OSError as error:
            log.error("the boot record was not written: %s" % error)

    def do_flush(self):
        """Give what was said a moment to be acknowledged."""
        until = board.now_ms() + _FLUSH_MS
        try:
            while self.link is not None and self.link.in_flight and board.now_ms() < until:
                self._poll_quietly()
        except (LinkError, OSError):
            self.link = None

    def do_close(self):
        if self.link is not None:
            try:
                self.link.close()
            except (LinkError, OSError):
                pass
            self.link = None

    def do_wifi(self, wanted):
        board.wifi(wanted)

    def do_clock(self, unix_ts):
        board.set_clock(unix_ts)

    def do_restart(self, why):
        log.info("restart: %s" % why)
        self.do_close()
        board.restart()

    def do_log(self, text):
        log.info(text)


def _settings(folder):
    """node.json; what the board knows of itself is filled in."""
    with open(folder + "/node.json") as file:
        settings = json.load(file)
    if not settings.get("hardware_id"):
        settings["hardware_id"] = board.hardware_id()
    for name, value in board.description().items():
        settings.setdefault(name, value)
    return settings


def main(folder="/"):
    """Run the node whose node.json and configs lie in this folder."""
    Runner(folder.rstrip("/") or "").run()
