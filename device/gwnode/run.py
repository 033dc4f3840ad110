"""The loop: events in, actions out. Everything that can wait waits here, and never for long."""
# Rules of this file. Events stand in a queue and are taken one at a time, so that what the carrying
# out of an action brings up (a lost link, a message) never runs in the middle of another one.
# What the window has no room for waits in a short backlog; what is given up is counted.

import gc
import sys

from . import VERSION, board, config, const, forget, log, notes
from .keeper import Keeper
from .link import BusyError, LinkError
from .node import Node
from .watchdog import Watchdog
from .way import Way

_FLUSH_MS = const(800)
_WAIT_MS = 50
_BACKLOG = const(24)
_BAD_SETTINGS = const(78)
_GOOD_MS = const(60000)  # a boot that lived this long was a good one


class Runner(Keeper):
    """Carries the node's actions out."""

    led = None  # a crash is shown by it too, when there is no runner any more

    def __init__(self, folder):
        known = _settings(folder)
        super().__init__(folder, known)
        self.began = board.now_ms()
        self.link = None
        self.backlog = []  # (topic, payload, retain, mark)
        self.marks = {}  # packet id -> mark
        claim_key, legacy = known.get("claim_key", ""), known.get("legacy") is True
        store = self.storage.load(config.base(known), claim_key, legacy)
        store.settings = known
        seed = int.from_bytes(board.random_bytes(3), "big")
        self.node = Node(known, store, board.boot_id(), board.facts, seed)
        self.node.crash = notes.read_crash(folder)
        self.dog = Watchdog(folder, board.watchdog, known.get("sleep_s"))
        self.node.past = self.storage.known_time()
        board.not_before(self.node.past)
        if known.get("led") is not None:
            from .led import Led

            Runner.led = Led(known)
        self.remind(self.node)
        self.dog.turn(store.trial or board.starved(), True)  # what hung may hang again
        self._step(("boot",))  # actuators are safe before a radio or a name takes its seconds
        self.way = Way(folder, self.settings)
        for text in self.storage.troubles:
            self.trouble(text)
        board.settled()

    def run(self):
        """For ever, or until somebody ends us."""
        log.info("node %s boot=%s version %s" % (self.node.hardware_id, self.node.boot_id, VERSION))
        try:
            while True:
                self.turn()
        except KeyboardInterrupt:
            pass
        self.close()
        log.info("stopped")

    def turn(self):
        """One round: what has arrived, then what is due."""
        self.moved = True
        self._network()
        if self.link is None:
            board.sleep_ms(_WAIT_MS)
        else:
            self._hear(_WAIT_MS)
        self.events.append(("tick",))
        if self.notes.bad and not self.node.safe_mode and board.now_ms() - self.began > _GOOD_MS:
            self.good_boot()
        while self.events:
            self._step(self.events.pop(0))
        if self.node.trusted_clock:
            self.keep_time(self.node.unix(board.now_ms()))
        if self.led:
            self.led.turn(self.node, board.now_ms())
        self.dog.turn(self.node.heard, self.moved)

    def _step(self, event):
        try:
            for action in self.node.step(event, board.now_ms()):
                getattr(self, action[0])(*action[1:])
        except MemoryError:
            # the message is given up, the node is not
            gc.collect()
            self.moved = False
            log.error("no memory for: %s" % event[0])
            if event[0] != "trouble":
                self.events.append(("trouble", "memory", "no memory for: %s" % event[0]))

    def _network(self):
        has = self.way.changed(self.node.config.get("wifi"))
        if has:
            self.events.append(("network",))
        elif has is False and self.link is not None:
            self._drop("lost" if self.node.connected else "failed", "no Wi-Fi")

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
        except (LinkError, OSError, MemoryError) as error:
            # a message that found no memory may be half taken in: only a new connection is sure
            self.moved = not isinstance(error, MemoryError)
            self._drop("failed" if opening else "lost", error)

    def _send_backlog(self):
        while self.backlog and self.link.can_send:
            topic, payload, retain, mark = self.backlog[0]
            pid = self.link.send(topic, payload, retain)
            self.backlog.pop(0)
            if mark:
                self.marks[pid] = mark

    def _drop(self, event, error):
        self.close()
        gc.collect()
        self.events.append((event, str(error) or type(error).__name__))

    # -- actions, by the names that the node knows ------------------------------------------------

    def open(self, mqtt, will_topic, will):
        self.dog.feed()  # a name may have to be looked up, which nothing bounds
        try:
            self.link = self.way.link(mqtt)
            self.link.open(will_topic, will)
        except (LinkError, OSError, ValueError, MemoryError) as error:
            self._drop("failed", error)

    def subscribe(self, topics):
        if self.link is None:
            return
        try:
            self.link.subscribe_all(topics)
        except (LinkError, OSError) as error:
            self._drop("lost", error)

    def publish(self, topic, payload, retain, mark):
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

    def flush(self):
        """Give what was said a moment to be acknowledged; what comes meanwhile waits its turn."""
        until = board.now_ms() + _FLUSH_MS
        while self.link is not None and board.now_ms() < until:
            if not self.backlog and not self.link.in_flight:
                return
            self._hear(10)

    def close(self):
        link, self.link = self.link, None
        self.node.lost_messages += len(self.backlog)
        self.backlog = []
        self.marks = {}
        if link is not None:
            # nobody knows whether these have arrived: what is not proved counts as lost
            self.node.lost_messages += link.in_flight
            try:
                link.close()
            except (LinkError, OSError):
                pass

    def sleep(self, seconds):
        log.info("asleep for %d s" % seconds)
        self.close()
        board.sleep(seconds)

    def clock(self, unix_ts):
        board.set_clock(unix_ts)

    def restart(self, why):
        log.info("restart: %s" % why)
        self.close()
        board.restart()

    def log(self, text):
        log.info(text)


def _settings(folder):
    """node.json; what the board knows of itself is filled in. The file that checks it is needed once,
    and is no more in memory afterwards. Ends us where node.json cannot be used."""
    from . import settings

    try:
        known = settings.load(folder + "/node.json")
        why = ["hardware_id: no network address to make one from"]
    except settings.SettingsError as error:
        known, why = {}, error.why
    if known and not known.get("hardware_id"):
        known["hardware_id"] = board.hardware_id()
    if not known.get("hardware_id"):
        log.error("node.json cannot be used")
        log.info("why:   %s" % "; ".join(why))
        log.info("next:  correct node.json; device/README.md shows one")
        sys.exit(_BAD_SETTINGS)
    known.setdefault("simulate", not board.has_pins())
    for name, value in board.description().items():
        known.setdefault(name, value)
    forget("settings", "check", "wiring")
    return known


def main(folder="/"):
    """Run the node whose node.json and configs lie in this folder."""
    folder = folder.rstrip("/") or ""
    try:
        Runner(folder).run()
    except Exception as error:  # noqa: BLE001 - a board that nobody sees must start again
        _crashed(folder, error)


def _crashed(folder, error):
    text = board.traceback_of(error)
    notes.keep_crash(folder, text)
    log.error("restart after an error\n" + text)
    notes.Notes(folder, log.error).bad_boot()
    if Runner.led:
        Runner.led.show(True)
    board.sleep_ms(1000)
    board.restart()
