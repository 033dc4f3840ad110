"""A node's life as Hypothesis plays it: whatever comes in whatever order, the promises hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

sys.path.insert(0, str(Path(__file__).parent))

from rig import TEMP, Rig, document

SECRETS = ("1" * 64, "2" * 64)
TRIAL = 60
HOME = "one"
CONFIG = f"{TEMP}/config"
KINDS = ("config", "hello_ack", "system/command")


class Life(RuleBasedStateMachine):
    """One board, hostile weather."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(trial_s=TRIAL)
        self.rig.secrets += SECRETS
        self.rig.step = 1000
        self.revision = 0
        self.best = 0
        self.pushed: list[dict[str, Any]] = []
        self.heard_on = 0  # the number of the connection on which a receipt counted

    def secret(self) -> str:
        return self.rig.node.store.running.secret

    def connection(self) -> int:
        return len(self.rig.opened) + 1000 * self.rig.boots

    def fine(self) -> None:
        """The broker is there and flash has room."""
        self.rig.brokers, self.rig.full = [HOME], False

    def settle(self) -> None:
        """A broker until the node is connected."""
        self.rig.brokers = [HOME]
        self.rig.wait(70)

    # -- the weather -----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.25, 1, 5, 30, 70, 200]))
    def time(self, seconds: float) -> None:
        """Time passes."""
        self.rig.wait(seconds)

    @rule(away=st.booleans())
    def broker(self, away: bool) -> None:
        """The broker goes away, or is there again."""
        if away:
            self.rig.cut()
        else:
            self.rig.brokers = [HOME]

    @rule(works=st.booleans())
    def flash(self, works: bool) -> None:
        """Flash is full, or has room again."""
        self.rig.full = not works

    @rule()
    def power(self) -> None:
        """Power off and on."""
        self.rig.boot()

    # -- the gateway, and others -----------------------------------------------------------------

    @rule(good=st.booleans(), secret=st.sampled_from(SECRETS), name=st.sampled_from("abc"))
    def push(self, good: bool, secret: str, name: str) -> None:
        """A signed config that works, or one that cuts the node off."""
        self.revision += 1
        changes = {} if good else {"mqtt": {"host": "nowhere", "port": 1}}
        doc = document(node_secret=secret, channels=[{"name": name}], **changes)
        self.pushed.append(self.rig.envelope(self.revision, doc, "open", secret))
        self.rig.message(CONFIG, self.pushed[-1])

    @rule(data=st.data())
    @precondition(lambda self: self.pushed)
    def push_again(self, data: st.DataObject) -> None:
        """Something old comes once more. The pair that failed last is never on trial again (B5 keeps
        one, no more), and what runs is not begun anew."""
        self.settle()
        store = self.rig.node.store
        failed, running = store.failed, store.running
        self.rig.message(CONFIG, data.draw(st.sampled_from(self.pushed)))
        if store.running is not running:
            assert store.trial.revision > running.revision
            assert not failed or [store.trial.revision, store.trial.sha] != failed[:2]

    @rule(garbage=st.binary(max_size=60), kind=st.sampled_from(KINDS))
    def garbage(self, garbage: bytes, kind: str) -> None:
        """Anything at all arrives on any topic."""
        self.rig.message(f"{TEMP}/{kind}", garbage)

    @rule()
    @precondition(lambda self: self.rig.linked)
    def receipt(self) -> None:
        """The gateway answers the last hello: a trial is proved, the asking ends."""
        self.rig.receipt(self.secret())
        self.heard_on = self.connection()
        assert self.rig.node.store.trial is None

    @rule(word=st.sampled_from(["wrong", None]))
    @precondition(lambda self: self.rig.linked and self.secret())
    def forged_receipt(self, word: str | None) -> None:
        """Somebody else answers: nothing is proved by it, and no clock is set."""
        before = (self.rig.node.store.trial, self.rig.node.wall)
        self.rig.receipt(word or "")
        assert (self.rig.node.store.trial, self.rig.node.wall) == before

    @rule(secret=st.sampled_from(SECRETS))
    def a_config_proves_itself(self, secret: str) -> None:
        """Fine weather, a good config, and its receipt."""
        self.rig.full = False
        self.settle()
        self.push(True, secret, "a")
        self.rig.wait(1)
        if self.rig.linked:
            self.receipt()
            assert self.rig.node.store.good.revision == self.revision

    @rule(secret=st.sampled_from(SECRETS), then_off=st.booleans())
    def a_config_fails(self, secret: str, then_off: bool) -> None:
        """Fine weather, but the config names a broker that is not there."""
        self.rig.full = False
        self.settle()
        self.push(False, secret, "b")
        if then_off:
            self.rig.boot()
        self.rig.wait(TRIAL + 1)
        assert self.rig.node.store.trial is None

    @rule()
    @precondition(lambda self: self.rig.node.store.trial)
    def a_config_resets_the_board(self) -> None:
        """Four boots in a row: no trial outlives them."""
        self.rig.full = False
        for _ in range(4):
            self.rig.boot()
        assert self.rig.node.store.trial is None

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def what_was_proved_is_in_flash(self) -> None:
        """A power cut at this moment finds the good config, whole (as good, or, where flash took no
        record of its proof, on trial once more)."""
        found = self.rig.stored()
        good = self.rig.node.store.good
        known = [(c.revision, c.sha) for c in (found.good, found.trial) if c]
        assert (good.revision, good.sha) in known

    @invariant()
    def proofs_never_go_back(self) -> None:
        """What flash calls good is never older than what it called good before."""
        revision = self.rig.stored().good.revision
        assert revision >= self.best
        self.best = revision

    @invariant()
    def a_trial_has_an_end(self) -> None:
        """Whoever is on trial knows when it is over, from the first tick on."""
        node = self.rig.node
        if node.store.trial and node.trial_ends is not None:
            assert 0 <= node.trial_ends - self.rig.now <= TRIAL * 1000

    @invariant()
    def somebody_is_asked_until_somebody_answers(self) -> None:
        """Connected and not heard: the next hello is due within 66 s."""
        node = self.rig.node
        if self.rig.linked and self.heard_on != self.connection():
            assert node.hello_at is not None
            assert node.hello_at - self.rig.now <= 66_000

    def teardown(self) -> None:
        """In the end the weather is fine: every trial is over, and the node is heard."""
        self.fine()
        self.rig.wait(TRIAL + 1)
        assert self.rig.node.store.trial is None
        self.rig.wait(130)
        assert self.rig.linked
        self.rig.receipt(self.secret())
        assert self.rig.node.hello_at is None


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
