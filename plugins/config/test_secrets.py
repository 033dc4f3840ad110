"""No secret is ever lost: a board, its gateway and a bad network, on real rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from config_bench import Bench, Board, Sent
from gateway_config.asked import ConfigPush, ConfigRetry, ConfigSet
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

DOCUMENT = {"channels": [], "mqtt": {"host": "pi.local", "port": 1883}}


class Secrets(RuleBasedStateMachine):
    """Whatever happens, the gateway holds a key with which the board can be reached."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Bench(Path(self.folder.name))
        self.board = Board()
        self.up: list[dict[str, Any]] = []
        self.seen = 0

    @initialize(claim_key=st.sampled_from(["", "claim"]))
    def begin(self, claim_key: str) -> None:
        """With or without a claim key."""
        self.bench.host.claim_key = self.board.claim_key = claim_key

    def teardown(self) -> None:
        """Let go of the files."""
        self.bench.close()
        self.folder.cleanup()

    @rule(rotate=st.booleans())
    def push(self, rotate: bool) -> None:
        """A push; one that would put a second new secret on its way is refused."""
        self.try_to(ConfigPush(document=DOCUMENT, rotate=rotate))

    @rule(port=st.integers(1, 9))
    def change(self, port: int) -> None:
        """One value."""
        self.try_to(ConfigSet(path="mqtt.port", value=port))

    @rule()
    def retry(self) -> None:
        """Once more."""
        self.try_to(ConfigRetry())

    def try_to(self, command: Any) -> None:
        """An operator's command, refused or not."""
        import gateway_config

        assert self.bench.deliver(gateway_config.node_message, command) is not None

    @rule(seconds=st.sampled_from([3.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        """The timers look."""
        self.bench.wait(seconds)

    @rule(lost=st.booleans())
    def boot(self, lost: bool) -> None:
        """The board starts and says hello, which may be lost."""
        self.board.reboot()
        fields = self.board.hello()
        if not lost:
            self.bench.hello(**fields)

    @property
    def waiting(self) -> list[Sent]:
        """What the board has not seen."""
        return self.bench.sent[self.seen :]

    @precondition(lambda self: self.waiting)
    @rule(good=st.booleans())
    def newest_arrives(self, good: bool) -> None:
        """The newest envelope reaches the board, which takes or refuses it."""
        made = self.waiting[-1].payload
        self.seen = len(self.bench.sent)
        pair, before = (made["revision"], made["sha256"]), self.board.key()
        trial = self.board.trial
        if self.board.take(made) != "applied":
            return
        if not good:
            self.board.trial = trial
            self.up.append(self.board.about(pair, "rejected", before))
        else:
            self.up.append(self.board.report("applied"))

    @precondition(lambda self: self.board.trial)
    @rule(well=st.booleans())
    def trial_ends(self, well: bool) -> None:
        """For better or worse."""
        if well:
            self.board.prove()
            self.up.append(self.board.report("verified"))
        else:
            self.up.append(self.board.roll_back())

    @precondition(lambda self: self.up)
    @rule(lost=st.booleans(), data=st.data())
    def report_arrives(self, lost: bool, data: st.DataObject) -> None:
        """Or not; in any order."""
        message = data.draw(st.sampled_from(self.up))
        self.up.remove(message)
        if not lost:
            self.bench.report(**message)

    @rule()
    def a_clone_lies(self) -> None:
        """Somebody else under the same name, without the secret, changes no key."""
        if self.bench.node.secret is None:
            return
        before = self.bench.node
        clone = Board(secret="c" * 64)
        clone.boot = 999
        self.bench.hello(**clone.hello())
        self.bench.report(**clone.about((1, "f" * 64), "verified", clone.secret))
        assert self.bench.node == before

    @invariant()
    def the_board_can_be_reached(self) -> None:
        """The secret that the board holds is one of those that the gateway still has."""
        if not self.board.secret:
            return
        node = self.bench.node
        desired = self.bench.row("config_desired", "document").get("document", "")
        assert self.board.secret in (node.secret, node.trial_secret) or self.board.secret in desired

    @rule()
    def calm(self) -> None:
        """When messages flow, a new push is verified, and both hold the same secret."""
        self.up.clear()
        self.board.trial = None
        for _ in range(4):
            self.boot(lost=False)
            self.bench.report(**self.board.report("verified" if self.board.revision else ""))
        self.try_to(ConfigPush(document=DOCUMENT))
        assert self.board.take(self.bench.sent[-1].payload) == "applied"
        self.seen = len(self.bench.sent)
        self.board.prove()
        self.bench.report(**self.board.report("verified"))
        assert self.bench.state.endswith("verified")
        assert (self.bench.node.secret, self.bench.node.trial_secret) == (self.board.secret, None)


TestSecrets = Secrets.TestCase
TestSecrets.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
