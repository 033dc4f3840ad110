"""Liveness alone: a node that boots, beats, sleeps and dies, and a network that reorders, played by Hypothesis.

Beside the code stands a model that knows what was heard and when, and is asked afresh each time
what follows from it. The timer looks only where `wait` says so, as the job of the plugin does.
"""

from __future__ import annotations

from collections import Counter

from gateway_heartbeat.liveness import (
    DEFAULT_INTERVAL,
    EARLIER,
    Beat,
    Grace,
    Life,
    Pulse,
    asleep,
    beat,
    declares,
    passed,
    proof,
    will,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

GRACE = Grace()
RANK: dict[Life, int] = {"online": 0, "late": 1, "offline": 2}
INTERVALS = st.sampled_from([15.0, 60.0, 600.0])
WHICH = st.sampled_from([0, 0, 1, 2, 6])
"""The present boot, the one before it ...; one that is forgotten by now."""


def late_at(interval: float) -> float:
    """Half an interval of grace, five seconds at least."""
    return max(interval * 1.5, interval + 5)


def gone_at(interval: float) -> float:
    """Three intervals, ten seconds of grace at least."""
    return max(interval * 3, interval + 10)


class Witness:
    """What was heard of one node, and what follows from it."""

    def __init__(self) -> None:
        self.boot = ""
        self.earlier: list[str] = []
        self.heard = -1.0
        self.interval = DEFAULT_INTERVAL
        self.nap: float | None = None
        self.life: Life = "never_seen"
        self.counted: set[int] = set()
        self.beats = 0

    def is_past(self, boot: str | None) -> bool:
        """True for a boot that was followed by another one."""
        return boot is not None and boot != self.boot and boot in self.earlier

    def disbelieves(self, boot: str | None, now: float) -> bool:
        """A boot that was followed is over while the one that followed it is not silent."""
        return self.is_past(boot) and now - self.heard < late_at(self.interval)

    def lives(self, boot: str | None, now: float) -> None:
        """A message that is believed."""
        if boot is not None and boot != self.boot:
            others = [self.boot, *self.earlier] if self.boot else self.earlier
            self.earlier = [other for other in others if other != boot][:EARLIER]
            self.boot, self.counted, self.beats = boot, set(), 0
        self.heard, self.life, self.nap = now, "online", None

    def counts(self, numbers: frozenset[int]) -> None:
        """A beat of this boot that is ahead of all others, and those that were folded into it."""
        if max(numbers) > self.highest:
            self.beats += len(numbers)
            self.counted |= numbers

    @property
    def highest(self) -> int:
        """The number of the newest beat."""
        return max(self.counted, default=0)

    @property
    def missed(self) -> int:
        """Every number below the highest that no beat has told of."""
        return self.highest - len(self.counted)

    def time(self, now: float, resumed: float) -> None:
        """Silence counts from when we listened; it only makes things worse."""
        silence = now - max(self.heard, resumed)
        if self.life == "asleep":
            assert self.nap is not None
            if silence >= gone_at(self.nap):
                self.life = "offline"
        elif self.life in RANK:
            by_time: Life = "online"
            if silence >= gone_at(self.interval):
                by_time = "offline"
            elif silence >= late_at(self.interval):
                by_time = "late"
            self.life = max(self.life, by_time, key=RANK.__getitem__)


class OneNode(RuleBasedStateMachine):
    """The node, its network, and the broker that we lose at times."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.resumed = 1000.0, 0.0
        self.pulse, self.model = Pulse(), Witness()
        self.boots = ["0"]
        self.seq: Counter[str] = Counter()
        self.registered = ""
        self.said: list[tuple[Beat, frozenset[int]]] = []

    # -- the node ----------------------------------------------------------------------------

    @rule()
    def boots_anew(self) -> None:
        """Its messages carry another boot from here on, and are numbered from 1."""
        self.boots.append(str(len(self.boots)))

    @rule(
        boot=WHICH,
        interval=st.none() | INTERVALS,
        steps=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        live=st.booleans(),
    )
    def beats(self, boot: int, interval: float | None, steps: list[int], live: bool) -> None:
        """A beat, or several folded into one; some before and between them never arrive. One of an
        earlier boot may be late, or its next one's first word came too late."""
        if self.pulse.declared is None and interval is None:
            interval = 15.0  # what is learnt has its own test
        named = self.one_of(boot)
        numbers = frozenset(self.seq[named] + sum(steps[: n + 1]) for n in range(len(steps)))
        self.seq[named] = max(numbers)
        self.said.append((Beat(named, max(numbers), len(numbers), interval), numbers))
        self.arrives(len(self.said) - 1, live)

    @precondition(lambda self: self.said)
    @rule(which=st.integers(0, 30), live=st.booleans())
    def arrives(self, which: int, live: bool) -> None:
        """Any beat comes, perhaps again, alive or out of a queue."""
        said, numbers = self.said[which % len(self.said)]
        if live:
            self.hears(said, numbers)
            return
        before = self.pulse
        self.pulse = declares(before, said, GRACE)
        told = {"declared": None, "wait": None}
        assert replace(self.pulse, **told) == replace(before, **told), "history is no life"
        if said.interval and not self.model.is_past(said.boot_id):
            self.model.interval = said.interval

    def one_of(self, which: int) -> str:
        """The present boot is 0, the one before it 1 ..."""
        return self.boots[-1 - which % len(self.boots)]

    def hears(self, said: Beat, numbers: frozenset[int]) -> None:
        """A live beat."""
        before, over = self.pulse, self.model.disbelieves(said.boot_id, self.now)
        self.pulse = beat(before, said, self.now, GRACE)
        if over:
            assert self.pulse is before, "a past boot neither lives nor teaches"
            return
        if said.interval:
            self.model.interval = said.interval
        self.model.lives(said.boot_id, self.now)
        self.model.counts(numbers)

    @rule(which=st.none() | WHICH)
    def speaks(self, which: int | None) -> None:
        """A hello, a report, a status; of any boot, or of none by name."""
        boot = None if which is None else self.one_of(which)
        before, over = self.pulse, self.model.disbelieves(boot, self.now)
        self.pulse = proof(before, boot, self.now, GRACE)
        if over:
            assert self.pulse is before
        else:
            self.model.lives(boot, self.now)

    @rule(which=WHICH, seconds=st.sampled_from([5.0, 300.0, 86_400.0]))
    def sleeps(self, which: int, seconds: float) -> None:
        """ASLEEP, of the present boot or of an older one."""
        boot = self.one_of(which)
        before, over = self.pulse, self.model.disbelieves(boot, self.now)
        self.pulse = asleep(before, boot, seconds, self.now, GRACE)
        if over:
            assert self.pulse is before
            return
        self.model.lives(boot, self.now)
        self.model.life, self.model.nap = "asleep", seconds

    @rule(which=WHICH)
    def a_hello_was_backlog(self, which: int) -> None:
        """The registry knows the boot of a hello that waited for us; liveness may not have heard it."""
        self.registered = self.one_of(which)

    @rule(which=st.none() | WHICH)
    def dies(self, which: int | None) -> None:
        """A will of any boot, or a plain one: only the newest boot that is known ends by it."""
        boot = None if which is None else self.one_of(which)
        before, newest = self.pulse, self.model.boot
        if self.registered and self.registered not in self.model.earlier:
            newest = self.registered
        self.pulse = will(before, boot, self.registered)
        if newest and boot != newest:
            assert self.pulse is before, "a will of another boot"
        else:
            self.model.life = "offline"

    # -- time --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 8.0, 16.0, 24.0, 30.0, 50.0, 130.0, 1900.0, 300_000.0]))
    def time_passes(self, seconds: float) -> None:
        """And the timer looks."""
        self.now += seconds
        wait = self.pulse.wait
        if wait is not None and max(self.pulse.proof, self.resumed) + wait <= self.now:
            self.pulse = passed(self.pulse, self.now, self.resumed, GRACE)
        self.model.time(self.now, self.resumed)

    @rule(seconds=st.sampled_from([1.0, 100.0, 10_000.0]))
    def the_broker_was_away(self, seconds: float) -> None:
        """While we hear nothing nothing expires; afterwards every deadline starts anew."""
        self.now += seconds
        self.resumed = self.now

    # -- always ------------------------------------------------------------------------------

    @invariant()
    def the_model_agrees(self) -> None:
        """Life, boot, proof and counts are what was heard."""
        pulse, model = self.pulse, self.model
        assert (pulse.life, pulse.boot_id) == (model.life, model.boot)
        assert pulse.boots.split() == model.earlier
        assert (pulse.beats, pulse.missed, pulse.seq) == (model.beats, model.missed, model.highest)
        assert pulse.life == "never_seen" or model.heard < 0 or pulse.proof == model.heard

    @invariant()
    def who_can_end_has_a_deadline(self) -> None:
        """Online, late and asleep end by themselves; offline ends by a message only."""
        assert (self.pulse.wait is None) == (self.pulse.life in ("never_seen", "offline"))


TestOneNode = OneNode.TestCase
TestOneNode.settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
