"""The loop: events in, actions out. Everything that can wait waits here, and never for long."""
# Rules of this file. Events stand in a queue and are taken one at a time, so that what the carrying
# out of an action brings up (a lost link, a message) never runs in the middle of another one.
# What the window has no room for waits in a short backlog; what is given up is counted.

import gc
import sys

from . import VERSION, board, config, log, settings
from .link import BusyError, Link, LinkError
from .node import Node
from .storage import Storage

_FLUSH_MS = 800
_WAIT_MS = 50
_BACKLOG = 24
_BAD_SETTINGS = 78


class Runner:
    """Carries the node's actions out."""

    def __init__(self, folder):
        self.settings = _settings(folder)
        self.storage = Storage(folder)
        self.link = None
        self.links = {}  # the link of a broker is kept: it remembers the address and the packet ids
        self.events = []
        self.backlog = []  # (topic, payload, retain, mark)
        self.marks = {}  # packet id -> mark
        known = self.settings
        claim_key, legacy = known.get("claim_key", ""), known.get("legacy") is True
        store = self.storage.load(config.base(known), claim_key, legacy)
        seed = int.from_bytes(board.random_bytes(3), "big")
        self.node = Node(known, store, board.boot_id(), board.facts, seed)
        for text in self.storage.troubles:
            self._trouble(text)

    def _trouble(self, text):
        """Flash is not as it should be: say so here, and to the gateway."""
        log.error("flash: %s" % text)
        self.events.append(("trouble", "flash", text))

    def run(self):
        """For ever, or until somebody ends us."""
        board.on_end()
        log.info("node %s boot=%s version %s" % (self.node.hardware_id, self.node.boot_id, VERSION))
        try:
            while True:
                self.turn()
        except KeyboardInterrupt:
            pass
        self.do_close()
        log.info("stopped")

    def turn(self):
        """One round: what has arrived, then what is due."""
        if self.link is None:
            board.sleep_ms(_WAIT_MS)
        else:
            self._hear(_WAIT_MS)
        self.events.append(("tick",))
        while self.events:
            self._step(self.events.pop(0))

    def _step(self, event):
        try:
            for action in self.node.step(event, board.now_ms()):
                getattr(self, "do_" + action[0])(*action[1:])
        except MemoryError:
            # the message is given up, the node is not
            gc.collect()
            log.error("no memory for: %s" % event[0])

    def _hear(self, wait_ms):
        link = self.link
        opening = not link.is_open
        try:
            for topic, payload in link.poll(wait_ms):
                self.events.append(("message", bytes(topic).decode(), payload))
            if opening and link.is_open:
                log.info("connected to %s:%d" % (link.server, link.port))
                self.events.append(("connected",))
            too_big = link.oversized()
            if too_big:
                self.events.append(("oversized", bytes(too_big[0]).decode(), too_big[1]))
            for pid in [pid for pid in self.marks if link.acked(pid)]:
                self.events.append(("acked", self.marks.pop(pid)))
            self._send_backlog()
        except UnicodeError:
            log.error("a topic that is not UTF-8")
        except (LinkError, OSError) as error:
            self._drop("failed" if opening else "lost", error)

    def _send_backlog(self):
        while self.backlog and self.link.can_send:
            topic, payload, retain, mark = self.backlog[0]
            pid = self.link.send(topic, payload, retain)
            self.backlog.pop(0)
            if mark:
                self.marks[pid] = mark

    def _drop(self, event, error):
        self.do_close()
        self.events.append((event, str(error) or type(error).__name__))

    # -- actions ---------------------------------------------------------------------------------

    def do_open(self, mqtt, will_topic, will):
        if not board.wifi(self.node.config.get("wifi")):
            self.events.append(("failed", "no Wi-Fi yet"))
            return
        host, port = mqtt.get("host", "127.0.0.1"), mqtt.get("port", 1883)
        try:
            self.link = self._link(mqtt, host, port)
            self.link.open(will_topic, will)
        except (LinkError, OSError) as error:
            self._drop("failed", error)

    def _link(self, mqtt, host, port):
        user = mqtt.get("username") or mqtt.get("user")
        password = mqtt.get("password") or mqtt.get("pass")
        keepalive = mqtt.get("keepalive", 60)
        client_id = mqtt.get("client_id") or self.settings["hardware_id"]
        key = (client_id, host, port, user, password, keepalive)
        if key not in self.links:
            self.links.clear()  # one at a time: its buffer is what a small heap misses most
            gc.collect()
            self.links[key] = Link(*key, clock=board.now_ms)
        return self.links[key]

    def do_subscribe(self, topics):
        if self.link is None:
            return
        try:
            self.link.subscribe_all(topics)
        except (LinkError, OSError) as error:
            self._drop("lost", error)

    def do_publish(self, topic, payload, retain, mark):
        if self.link is None or len(self.backlog) >= _BACKLOG:
            self.node.lost_messages += 1
            return
        self.backlog.append((topic, payload, retain, mark))
        try:
            self._send_backlog()
        except BusyError:
            return  # it stays where it is
        except (LinkError, OSError) as error:
            self._drop("lost", error)

    def do_save(self, number, content, record):
        try:
            self.storage.save(number, content, record)
        except (OSError, MemoryError) as error:
            # without an answer the node would wait for it for ever
            self.events.append(("unsaved", str(error) or type(error).__name__))
            return
        self.events.append(("saved",))

    def do_record(self, record):
        try:
            self.storage.put_record(record)
        except OSError as error:
            self._trouble("boot record not written: %s" % error)

    def do_flush(self):
        """Give what was said a moment to be acknowledged; what comes meanwhile waits its turn."""
        until = board.now_ms() + _FLUSH_MS
        while self.link is not None and board.now_ms() < until:
            if not self.backlog and not self.link.in_flight:
                return
            self._hear(10)

    def do_close(self):
        link, self.link = self.link, None
        self.node.lost_messages += len(self.backlog)
        self.backlog = []
        self.marks = {}
        if link is not None:
            try:
                link.close()
            except (LinkError, OSError):
                pass

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
    known = settings.load(folder + "/node.json")
    if not known.get("hardware_id"):
        known["hardware_id"] = board.hardware_id()
    if not known["hardware_id"]:
        raise settings.SettingsError(["hardware_id: this machine has no address to make one from"])
    for name, value in board.description().items():
        known.setdefault(name, value)
    return known


def main(folder="/"):
    """Run the node whose node.json and configs lie in this folder."""
    try:
        Runner(folder.rstrip("/") or "").run()
    except settings.SettingsError as error:
        log.error("node.json cannot be used")
        log.info("why:   %s" % "; ".join(error.why))
        log.info("next:  correct node.json; device/README.md shows one")
        sys.exit(_BAD_SETTINGS)
    except Exception as error:  # noqa: BLE001 - a board that nobody sees must start again
        board.print_error(error)
        log.error("restart after an error")
        board.sleep_ms(1000)
        board.restart()
