# What the real node asks of its flash while something happens to it, to be played again under a power
# cut. No typing and no pytest: it runs in MicroPython too.

import json

from gwnode import config, document, protocol
from rig import SECRET, Rig
from rig import document as full

KEPT = {"ph": {"slope": 1}, "ec": {"b": 2}}
_HEAD = 16  # of a file, in flash.py
NEW_SECRET = "r" * 64


class Tape(Rig):
    """A node on a table that remembers its writes: names and arguments of Storage's methods."""

    def __init__(self, **settings):
        self.tape = []
        super().__init__(**settings)

    def _save(self, slot, content, record):
        self.tape.append(("save", slot, content, record))
        return super()._save(slot, content, record)

    def _record(self, content):
        self.tape.append(("put_record", content))
        super()._record(content)

    def boot(self):
        self.tape.append(("load",))
        super().boot()

    def cut_here(self):
        """The tape so far; from here on a new one."""
        tape, self.tape = self.tape, []
        return tape


def aged(changes):
    """A node that has proved so many configs, with Wi-Fi, broker, secret and calibration of its own."""
    tape = Tape(trial_s=20, claim_key="")
    own = {"mqtt": {"host": "one", "port": 1883, "username": "u", "password": "hush"}}
    tape.adopt(1, calibration=KEPT, wifi={"ssid": "farm", "pass": "hush"}, **own)
    for revision in range(2, changes + 1):
        tape.push(revision, later(revision), "secret")
        tape.settle()
    return tape


def later(revision, **changes):
    """A document that leaves what it does not speak of as it was."""
    channels = [{"name": "c%d_%d" % (revision, i), "note": "n" * 40} for i in range(6)]
    changes["node_secret"] = changes.get("node_secret")
    return full(channels=channels, **changes)


def push(tape, **changes):
    revision = tape.running.revision + 1
    tape.push(revision, later(revision, **changes), "secret")


def change(tape):
    """A config is taken."""
    push(tape)


def confirmation(tape):
    """It proves itself."""
    push(tape)
    tape.settle()


def roll_back(tape):
    """Or it does not."""
    push(tape, mqtt={"host": "nowhere", "port": 1})
    tape.wait(25)


def rotation(tape):
    """The secret is another one from now on."""
    push(tape, node_secret=NEW_SECRET)
    tape.settle(NEW_SECRET)


def boots(tape):
    """A config that resets the board until it is left."""
    push(tape)
    for _ in range(4):
        tape.boot()


SCENARIOS = (change, confirmation, roll_back, rotation, boots)


def base(tape):
    return config.base(tape.settings)


def play(storage, tape, base, done, dark=lambda: False):
    """The writes again, until it is dark; `done` grows by each that is complete."""
    for action in tape:
        getattr(storage, action[0])(*(action[1:] or (base,)))
        if dark():
            return
        done.append(action[0])


def seen(store):
    """What runs, in short; the secret shows that it is whole."""
    trial = store.trial.revision if store.trial else 0
    return store.good.revision, trial, (store.failed or [0])[0], store.running.secret[:1]


def packed(store, doc, kept, size=0):
    """A document on trial, filled up with white space to a slot of `size` bytes."""
    revision = int(doc["channels"][0]["name"][1:].split("_")[0])
    text = json.dumps(doc).encode()
    made = config.Config(revision, protocol.sha256_hex(text), text, kept, doc, store.base)
    more = size - _HEAD - len(b"".join(config.pack(made)))
    if more > 0:
        made.text = text + b" " * more
        made.sha = protocol.sha256_hex(made.text)
    store.begin(made)
    return made


def recover(storage, base):
    """What a boot does, and the same config pushed and proved once more; the store that results."""
    store = storage.load(base)
    if store.trial and store.trial.values["mqtt"]["host"] == "nowhere":
        store.fail("rolled_back", "no receipt within 20 s")
        storage.put_record(store.record())
    if not store.trial:
        revision = max(store.good.revision, (store.failed or [0])[0]) + 1
        doc = later(revision)
        made = packed(store, doc, document.overlay(doc, store.good.values, store.good.brought))
        storage.save(made.slot, config.pack(made), store.record())
    store.confirm()
    storage.put_record(store.record())
    return store


def whole(store):
    """The config that runs has everything that no push of the tape took away."""
    values = store.running.values
    assert values["calibration"] == KEPT, values
    assert values["wifi"] == {"ssid": "farm", "pass": "hush"}, values
    assert values["mqtt"]["host"] in ("one", "nowhere"), values
    assert store.running.secret in (SECRET, NEW_SECRET)
    assert store.good.values["mqtt"]["password"] == "hush"
    name = "c%d_0" % store.running.revision
    assert store.running.revision == 1 or values["channels"][0]["name"] == name, values
