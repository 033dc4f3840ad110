# The days of one node: the real loop, a real broker, and a gateway in this same process that answers.
# Prints a line for each day.

import gc
import json
import select
import sys
import time

from gwnode import board, log, protocol, run
from gwnode.link import Link

FOLDER, PORT, DAYS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SECRET = "s" * 64
NAME = "esp32-a0b1c2d3e4f5"
TEMP = "hydro/gh-temp/zn-temp/" + NAME + "/"
DAY = 86400000
JUMP_DAYS = (2, 3)  # the gateway's clock is a year ahead on the second day

log.is_quiet = True
run._WAIT_MS = 60000  # nobody looks at a display: what is due is found within that
FIRST_ID = 62000  # so that the packet ids wrap within days too


class Gateway:
    """Answers hellos, and pushes a config every third day."""

    def __init__(self):
        self.link = Link("gateway", "127.0.0.1", PORT, keepalive=0, clock=board.now_ms)
        self.link.open("will/gateway", "")
        while not self.link.is_open:
            self.link.poll(1)
        self.link.subscribe_all(["hydro/node_hello", "hydro/+/+/+/#"])
        while not self.link.can_send:
            self.link.poll(1)
        self.revision = 0
        self.verified = 0
        self.hellos = 0
        self.beats = 0
        self.missing = 0
        self.lost = 0
        self.online = 0  # the last status

    def unix(self):
        jump = 31536000 if JUMP_DAYS[0] <= time.elapsed() // DAY < JUMP_DAYS[1] else 0
        return time.time() + jump

    def work(self):
        for topic, payload in self.link.poll(0):
            kind = bytes(topic).decode().split("/")[-1]
            if kind in ("node_hello", "heartbeat", "config_report", "status"):
                getattr(self, kind)(json.loads(payload))

    def node_hello(self, hello):
        self.hellos += 1
        ack = {"hardware_id": NAME, "boot_id": hello["boot_id"], "seq": hello["seq"]}
        ack.update({"uid": "nd-1", "unix_ts": self.unix(), "config_revision": self.revision})
        parts = [ack[name] for name in ("hardware_id", "boot_id", "seq", "unix_ts")]
        ack["sig"] = protocol.sign(SECRET, "hello_ack", *parts, self.revision)
        self.link.send(TEMP + "hello_ack", json.dumps(ack))

    def heartbeat(self, beat):
        self.beats += 1
        self.missing = beat["seq"] - self.beats
        self.lost = beat["lost"]

    def config_report(self, report):
        if report.get("state") == "verified":
            self.verified = report["revision"]

    def status(self, status):
        self.online = status["ts"]

    def push(self):
        self.revision += 1
        doc = {"node_id": "nd-1", "version": self.revision, "type": "ph", "gh_uid": "gh-temp"}
        doc.update({"zone_uid": "zn-temp", "node_secret": SECRET, "mqtt": {"configured": True}})
        doc["channels"] = [
            {"name": "c" + str(n), "type": "SENSOR"} for n in range(self.revision % 9)
        ]
        text = json.dumps(doc)
        sha = protocol.sha256_hex(text.encode())
        message = {"revision": self.revision, "sha256": sha, "doc": text}
        message["key"] = "open" if self.revision == 1 else "secret"
        message["sig"] = protocol.sign(SECRET, "config", NAME, self.revision, sha)
        self.link.send(TEMP + "config", json.dumps(message))


def throw_out():
    """The broker ends a connection for another one of the same name."""
    other = Link(NAME, "127.0.0.1", PORT, clock=board.now_ms)
    other.open("will/other", "")
    while not other.is_open:
        other.poll(1)
    other.close()


gateway = Gateway()
runner = run.Runner(FOLDER)
node = runner.node
first = True


def outstanding():
    """Somebody waits for the broker or for the gateway."""
    for link in (runner.link, gateway.link):
        if link is not None and (not link.is_open or link.in_flight or link._asked):
            return True
    link = runner.link
    return link is not None and (link._pinged is not None or link._wire.is_full)


select.outstanding[0] = outstanding
for _ in range(100):  # fill what the gateway's link remembers, so that it does not look like growth
    gateway.link.send("warm", "")
    while gateway.link.in_flight:
        gateway.link.poll(1)
day = 0
while day < DAYS:
    runner.turn()
    gateway.work()
    if first and runner.link is not None:
        first, runner.link.flight.pid = False, FIRST_ID
    if runner.link is not None:
        # an answer of the gateway is on its way: no time passes before it is there
        for _ in range(2000):
            waits = node.connected and (node.hello_at is not None or node.store.trial)
            if runner.link is None or not (waits or gateway.link.in_flight):
                break
            gateway.work()
            runner._hear(0)
            while runner.events:
                runner._step(runner.events.pop(0))
    if time.elapsed() // DAY > day:
        day += 1
        gc.collect()
        row = {
            "day": day,
            "free": gc.mem_free(),
            "beats": gateway.beats,
            "missing": gateway.missing,
        }
        row.update({"lost": gateway.lost, "hellos": gateway.hellos, "pid": runner.link.flight.pid})
        row.update({"verified": gateway.verified, "pushed": gateway.revision})
        row.update({"unix": node.unix(board.now_ms()), "is": gateway.unix()})
        print(json.dumps(row))
        if day % 3 == 1:
            gateway.push()
        else:
            throw_out()
