"""Whatever is wrong with a config or a command: it is refused with a reason, and what ran goes on."""

import gc
import json
import sys
import time

from gwnode import check, protocol
from rig import SECRET, TEMP, Rig, document

CONFIG = TEMP + "/config"
WRONG = (None, True, 7, -1, 1.5, "", "x", [], [[]], {}, {"x": []})
CHANNELS = [
    {
        "name": "air",
        "type": "SENSOR",
        "metric": "TEMPERATURE",
        "driver": "sht3x",
        "pin": [4, 5],
        "poll_interval_ms": 1000,
        "dead_band": 0.5,
        "precision": 2,
        "unit": "C",
        "scale": 1,
        "offset": 0,
    },
    {
        "name": "pump",
        "type": "ACTUATOR",
        "actuator_type": "PUMP",
        "relay_type": "NO",
        "pin": 6,
        "ml_per_second": 2,
        "safe_limits": {"max_duration_ms": 1000, "min_off_ms": 5, "fail_safe_mode": "NO"},
    },
]
DOC = document(
    channels=CHANNELS,
    mqtt={"host": "one", "port": 1883, "keepalive": 30, "username": "u", "password": "p"},
    wifi={"ssid": "farm", "pass": "secret"},
    link_loss_timeout_sec=60,
    fail_safe_guards={"link_loss_timeout_sec": 60},
    calibration={"ph": {"slope": 1}},
)
HEAP = 8192  # bytes: what the last messages leave behind, and no byte for each of them
# MicroPython reads the same files with the same code, so there a part of the cases is enough
MUTATIONS, STRIDE = (1000, 1) if sys.implementation.name != "micropython" else (100, 5)
MOST_S = 2


class Watch:
    """How long the longest step took, and whether the heap is where it was."""

    def __init__(self, rig):
        self.rig = rig
        self.longest = 0
        self.forget()
        self.heap = self.used()

    def used(self):
        gc.collect()
        return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0

    def forget(self):
        """What the table remembers is not the node's."""
        for kept in (self.rig.said, self.rig.log, self.rig.levels):
            kept.clear()

    def message(self, topic, message):
        self.forget()
        start = time.time()
        self.rig.message(topic, message)
        self.longest = max(self.longest, time.time() - start)

    def fine(self):
        self.forget()
        assert self.longest < MOST_S, self.longest
        assert self.used() - self.heap < HEAP


def ready():
    rig = Rig(simulate=True)
    rig.step = 500
    rig.adopt(channels=CHANNELS)
    rig.wait(8)
    rig.secrets = []
    return rig


def paths(value, at=()):
    """The way to every value of a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = []
    for key in keys:
        found.append(at + (key,))
        if isinstance(value[key], (dict, list)):
            found += paths(value[key], at + (key,))
    return found


def changed(doc, path, value):
    """A copy with another value there, or without it."""
    doc = json.loads(json.dumps(doc))
    inner = doc
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    if value == "gone":
        del inner[path[-1]]
    return doc


def answered(rig):
    """The one config_report with a refusal, or the error."""
    reports = [m for m in rig.heard("config_report") if m.get("state") == "rejected"]
    return reports or rig.heard("error")


def test_a_config_that_is_cut_short_is_refused_at_every_byte():
    """Truncated anywhere: told, and revision 1 runs on."""
    rig = ready()
    data = json.dumps(rig.envelope(2, document(channels=CHANNELS), "secret")).encode()
    watch = Watch(rig)
    for size in range(0, len(data), STRIDE):
        watch.message(CONFIG, data[:size])
        assert answered(rig), size
        assert rig.running.revision == 1
    watch.fine()


def test_a_document_that_is_cut_short_is_refused_at_every_byte():
    """Signed by whoever may, but not whole: rejected with the word, for this revision and hash."""
    rig = ready()
    text = json.dumps(document(channels=CHANNELS))
    watch = Watch(rig)
    for size in range(0, len(text), STRIDE):
        watch.message(CONFIG, rig.envelope(2, text[:size], "secret"))
        (report,) = answered(rig)
        assert (report["state"], report["reason"], report["revision"]) == (
            "rejected",
            "not_json",
            2,
        )
        assert rig.running.revision == 1
    watch.fine()


def test_a_config_of_one_byte_too_many_is_refused():
    """4,096 bytes are taken, 4,097 are not, with a reason."""
    rig = ready()

    def sized(size):
        doc = document(channels=CHANNELS, note="")
        more = size - len(json.dumps(rig.envelope(2, doc, "secret")))
        return json.dumps(rig.envelope(2, dict(doc, note="n" * more), "secret")).encode()

    watch = Watch(rig)
    assert len(sized(4097)) == 4097
    watch.message(CONFIG, sized(4097))
    assert answered(rig)[0]["error_code"] == "too_big"
    assert rig.running.revision == 1
    watch.message(CONFIG, sized(4096))
    assert rig.running.revision == 2


def test_every_field_of_the_wrong_type_is_taken_or_told_with_its_path():
    """What is taken runs without a fault; what is not is rejected with the path that was changed."""
    refused = 0
    rig = ready()
    watch = Watch(rig)
    for path in paths(DOC)[::STRIDE]:
        for value in WRONG:
            doc = changed(DOC, path, value)
            found = check.problem(doc, rig.settings)
            watch.message(CONFIG, rig.envelope(2, doc, "secret"))
            if not found and doc.get("node_secret") != "":
                rig = run(rig, doc)
                watch.rig = rig
                continue
            (report,) = answered(rig)
            assert report["reason"], path
            top = path[0] if path[0] != "channels" else "channels"
            assert report["path"].split(".")[0].split("[")[0] in (top, "link_loss_timeout_sec"), (
                path
            )
            assert rig.running.revision == 1
            refused += 1
    assert refused > 200 // STRIDE
    watch.forget()
    assert watch.longest < MOST_S


def run(rig, doc):
    """A config that was taken proves itself and runs for a while; a fresh node for the next one."""
    assert rig.running.revision == 2, doc
    rig.brokers.append(rig.node.config["mqtt"].get("host"))
    rig.wait(2)
    if rig.linked:
        rig.receipt(rig.running.secret)
        rig.wait(3)
    return ready()


def test_random_mutations_of_a_config_never_end_a_node():
    """In the bytes and in the values: refused with a reason, or run."""
    rig, seed, taken = ready(), 1, 0
    text = json.dumps(DOC)
    ways = paths(DOC)
    watch = Watch(rig)

    def chance(most):
        nonlocal seed
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        return (seed >> 7) % most

    for number in range(MUTATIONS):
        if number % 2:
            doc = changed(DOC, ("channels", 0, "pin"), [chance(8), chance(8)])
            doc = changed(doc, ways[chance(len(ways))], WRONG[chance(len(WRONG))])
            mutated = json.dumps(doc)
        else:
            at, size = chance(len(text)), chance(6)
            mutated = text[:at] + text[chance(len(text)) :][:size] + text[at + chance(4) :]
        watch.message(CONFIG, rig.envelope(2, mutated, "secret"))
        if rig.running.revision == 2:
            taken += 1
            if taken % 8 == 0:
                run(rig, mutated)
            rig = ready()
            watch.rig = rig
        else:
            assert answered(rig), mutated
    assert MUTATIONS / 100 < taken < MUTATIONS * 0.9
    assert watch.longest < MOST_S


def test_texts_that_json_takes_and_the_wire_does_not_are_refused():
    """MicroPython's json is no validator: each of these inside of a signed document is refused (B8)."""
    rig = ready()
    good = json.dumps(document(channels=[]))[:-1]
    watch = Watch(rig)
    for text, word in (
        ('"a":[1 2]', "not_json"),
        ('"a" 1', "not_json"),
        ('"a",1', "not_json"),
        ('"a":[1,,2]', "not_json"),
        ('"a":[1,]', "not_json"),
        ('"a":1,', "not_json"),
        ('"a":01', "not_json"),
        ('"a":1.', "not_json"),
        ('"a":.5', "not_json"),
        ('"a":+1', "not_json"),
        ('"a":"\\q"', "not_json"),
        ("1:2", "not_json"),
        ('"type":"ph"', "not_json"),
        ('"a":1e400', "not_json"),
        ('"a":NaN', "not_json"),
        ('"a":Infinity', "not_json"),
        ('"a":9007199254740993', "not_json"),
        ('"a":"\\ud800"', "not_json"),
        ('"a":"\t"', "not_json"),
        ("'a':1", "not_json"),
        ('"a":' + "[" * 16 + "]" * 16, "depth"),
        ('"a":' + "[" * 1500, "depth"),
    ):
        watch.message(CONFIG, rig.envelope(2, good + "," + text + "}", "secret"))
        (report,) = answered(rig)
        assert report["reason"] == word, text
        assert rig.running.revision == 1
    watch.fine()


def test_a_command_with_any_field_broken_moves_nothing():
    """Each field of the wrong type or missing, also under a good signature: answered or refused."""
    rig = ready()
    good = {"cmd": "set_relay", "cmd_id": "c", "params": {"state": True, "duration_ms": 500}}
    good["ts"] = rig.node.unix(rig.now)
    rig.command("report_config")  # whatever the first command loads is loaded
    watch = Watch(rig)
    count = 0
    for path in paths(good):
        for value in WRONG + ("gone",):
            if path == ("params", "state") and value is True:
                continue
            if path == ("params", "duration_ms") and value in (7, "gone"):
                continue
            if path == ("cmd_id",) and value == "x":
                continue
            if path == ("ts",):
                continue
            broken = changed(good, path, value)
            if path != ("cmd_id",):
                broken["cmd_id"] = "c%d" % count
            text = json.dumps(broken).encode()
            broken["sig"] = protocol.sign_command(SECRET, text)
            watch.message(rig.node.topic("command", "pump"), broken)
            count += 1
            assert [level for _, _, level in rig.levels if level] == [], broken
            answers = rig.heard("command_response")
            if path != ("cmd_id",):
                assert len(answers) == 1, broken
                assert answers[0]["status"] in ("INVALID", "ERROR", "BUSY"), broken
        rig.wait(21)
        good["ts"] = rig.node.unix(rig.now)
    assert count > 40
    watch.fine()
