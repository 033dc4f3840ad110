"""The states of the manual, played on the real node: every row leads where it says."""

from rig import SECRET, Rig, document
from states import CONFIG, CONNECTION


def connection(rig):
    """The state of the connection, in the words of the table."""
    node = rig.node
    if not node.connected:
        return "away"
    if node.hello_at is None:
        return "heard"
    return "asking" if node.unanswered < 10 else "patient"


def config(rig):
    """The state of the config, in the words of the table."""
    if rig.node.wanted is not None:
        return "writing"
    return "trial" if rig.node.store.trial else "proved"


# -- getting there -----------------------------------------------------------------------------


class Slow(Rig):
    """Flash that takes its time once it is `slow`: `written` says when."""

    slow = False

    def _save(self, slot, content, record):
        if not self.slow:
            return Rig._save(self, slot, content, record)
        self.pending = slot, content, record
        return None

    def written(self):
        self.do(Rig._save(self, *self.pending))


def away():
    return Rig(mqtt={"host": "two", "port": 1})


def asking():
    return Rig()


def patient():
    rig = Rig()
    rig.receipt(accepted=False, reason="pending_approval")
    return rig


def heard():
    rig = Rig()
    rig.receipt()
    return rig


def proved():
    rig = Slow()
    rig.adopt(1)
    return rig


def writing():
    rig = Slow()
    rig.receipt()
    rig.slow = True
    rig.push(1, document())
    return rig


def trial():
    rig = Slow(trial_s=60)
    rig.adopt(1)
    rig.push(2, document(channels=[]), "secret")
    rig.wait(2)
    return rig


# -- what happens ------------------------------------------------------------------------------


def taken(rig):
    rig.brokers = ["two"]
    rig.wait(61)


def hellos(rig, count):
    while len(rig.heard("node_hello")) < count:
        rig.wait(1)


def fails_twice(rig):
    rig.brokers = []
    rig.push(2, document(), "secret")
    rig.cut()
    rig.wait(130)
    rig.brokers = ["one"]
    rig.wait(60)
    rig.receipt(SECRET)
    assert rig.state() == ("rolled_back", 2) or rig.state(2) == ("rolled_back", 2)
    rig.push(2, document(), "secret")


def boots(rig):
    for _ in range(4):
        rig.boot()


def newer(rig):
    rig.slow = True
    rig.push(3, document(), "secret")


def refuse(rig):
    rig.full = True
    rig.written()


EVENTS = {
    "the broker takes it": taken,
    "the broker is not reached": lambda rig: rig.wait(5),
    "no answer": lambda rig: hellos(rig, 3),
    "ten hellos without an answer": lambda rig: hellos(rig, 10),
    "a receipt that says no, or cannot be checked": lambda rig: rig.receipt(accepted=False),
    "a receipt that counts": lambda rig: rig.receipt(),
    "a minute": lambda rig: rig.wait(67),
    "the connection breaks": lambda rig: rig.do(("lost", "reset")),
    "a signed config": newer,
    "a config that is wrong in itself": lambda rig: rig.push(2, document(mqtt=7), "secret"),
    "the same config again": lambda rig: rig.push(1, document(), "secret"),
    "the config that failed last": fails_twice,
    "flash has it": lambda rig: rig.written(),
    "flash refuses it": refuse,
    "a signed receipt for a hello of this trial": lambda rig: rig.settle(),
    "trial_s without one": lambda rig: rig.wait(61),
    "a fourth boot without one": boots,
    "a newer config": newer,
}
STARTS = {
    "away": away, "asking": asking, "patient": patient, "heard": heard,
    "proved": proved, "writing": writing, "trial": trial,
}  # fmt: skip


def test_every_row_of_the_connection_is_so():
    """From each state, by each event, to the state that the table names."""
    for before, what, after, _ in CONNECTION:
        rig = STARTS[before]()
        assert connection(rig) == before, (before, what)
        EVENTS[what](rig)
        assert connection(rig) == after, (before, what, connection(rig))


def test_every_row_of_a_config_is_so():
    """The same for the way of a config."""
    for before, what, after, _ in CONFIG:
        rig = STARTS[before]()
        assert config(rig) == before, (before, what)
        EVENTS[what](rig)
        assert config(rig) == after, (before, what, config(rig))


def test_every_event_is_in_a_table():
    """What is played here stands in the manual."""
    assert set(EVENTS) == {row[1] for row in CONNECTION + CONFIG}
