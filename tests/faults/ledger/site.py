"""A gateway, a broker, boards and talkers, any of which can be killed at any moment.

Rules of this file. Who is killed is started again at once, as a supervisor or a power supply does.
Nobody looks before killing, so that it hits starts and recoveries too. What a broker forgets by its
settings is lost with it: that is in the ledger, by name, and is no promise of the gateway.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.broker import embedded
from gateway.cli.journey import first_config
from gateway.errors import BrokerError
from gateway.store.commands import CommandFile
from gateway.testing.broker import Broker, Mosquitto, free_port
from gateway.testing.ledger import Ledger, Talker
from tests.faults.crash.forks import ForkedGateway, Forks
from tests.faults.crash.world import PLUGINS
from tests.faults.ledger.boards import make_boards

KINDS = {
    "mosquitto": "the broker forgot: it keeps nothing on disk",
    "mosquitto, persistent": "the broker forgot: its file is a moment behind",
    "embedded": "",
}
"""The brokers, and why one that is killed may lose what it has acknowledged; the embedded one may not, but
takes its time to bring it (docs/promises.md)."""
EVENTS = ("tally", "tally, no numbers")
BOARDS, TALKERS, PATIENCE = 2, 2, 180.0
REGISTERED = "SELECT 1 FROM nodes WHERE hardware_id = ? AND lifecycle_state = 'REGISTERED_BACKEND'"


class Unwell(AssertionError):
    """Somebody does not recover."""


def kill_embedded(folder: Path) -> None:
    """SIGKILL of the embedded broker of this folder. Raises OSError, ValueError where there is none.

    Its process id may be somebody else's by now: looked at and killed by a handle that cannot change.
    """
    text = (folder / "pid").read_text()
    handle = os.pidfd_open(int(text))
    try:
        if embedded.is_ours(text.strip(), folder.resolve()):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


class Site:
    """One; `play` kills, `settle` waits until everybody is well and fills the ledger."""

    def __init__(self, forks: Forks, folder: Path, kind: str, seed: int) -> None:
        self.kind = kind
        self.ledger = Ledger()
        self.kills: dict[str, int] = {"gateway": 0, "broker": 0, "board": 0}
        self.converged = 0.0
        """Seconds from the last kill until everybody was well."""
        self.parked = 0
        """Dead letters that were replayed."""
        folder.mkdir(parents=True)
        self.state = folder / "state"
        self.port = free_port()
        self._dice = random.Random(f"site {seed}")
        self._broker: Broker | None = None
        if kind != "embedded":
            self._broker = Mosquitto(
                folder / "broker", port=self.port, persistence=kind.endswith("persistent"),
                lines=["allow_anonymous true", "max_queued_messages 0"],
            )  # fmt: skip
        self.gateway = ForkedGateway(
            forks, self.state, self.port, broker="external" if self._broker else "embedded",
            env={
                "GATEWAY__PLUGINS__DIRS": json.dumps([str(PLUGINS)]),
                "GATEWAY__HANDLERS__BACKOFF": "0.05",
                "GATEWAY__BROKER__PORT": str(self.port),
            },
        )  # fmt: skip
        self.boards = make_boards(folder / "nodes", BOARDS, self.port, "hydro")
        self._talkers: list[Talker] = []
        self._pushed: set[str] = set()
        self._hello_at: dict[Talker, float] = {}
        self._retry_at: dict[str, float] = {}
        self._is_down = False

    def open(self) -> None:
        """Start everybody; everybody is subscribed before the first word."""
        if self._broker is not None:
            self._broker.start()
        self.gateway.start()
        for board in self.boards:
            board.start()
        self._talkers = [self._talker(f"talker-{n}") for n in range(TALKERS)]
        self._talkers.append(self._talker("stranger", numbered=False))

    def _talker(self, name: str, *, numbered: bool = True) -> Talker:
        return Talker(self.port, name, self.ledger, numbered=numbered, answers=("tallied",))

    # -- killing -----------------------------------------------------------------------------

    def play(self, kills: int, targets: list[str]) -> None:
        """So many kills of these, at random moments of everybody's life."""
        for _ in range(kills):
            self._live(self._dice.uniform(0.0, 0.4))
            target = self._dice.choice(targets)
            self.kills[target] += 1
            getattr(self, f"_kill_{target}")()

    def _live(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.talk()
            time.sleep(0.02)

    def talk(self) -> None:
        """Everybody says something."""
        for talker in self._talkers:
            talker.say("tally")
        self._greet()

    def _greet(self) -> None:
        """Hello until the receipt; whoever is registered gets a config."""
        self._supervise()
        now = time.monotonic()
        for talker in self._talkers:
            if talker.numbered and not talker.receipted and now > self._hello_at.get(talker, 0.0):
                talker.hello()
                self._hello_at[talker] = now + 1.0
        for name in {board.hardware_id for board in self.boards} - self._pushed:
            if self.gateway.rows(REGISTERED, name):
                self._pushed.add(name)
                self.ledger.note("config", "sent", (name,))
                self._ask("config.push", name, document=first_config("climate"))

    def _supervise(self) -> None:
        """Start the gateway again where it gave up: a broker of its own was killed while it started."""
        code = self.gateway.process.poll() if self.gateway.process is not None else None
        if code is None or self._is_down:
            return
        if code != BrokerError.exit_code or self._broker is not None:
            raise Unwell(f"the gateway ended with {code}\n{self.gateway.whole_log()[-2000:]}")
        self.gateway.start(wait=False)

    def _ask(self, verb: str, name: str, **args: Any) -> None:
        args["author"] = "ledger"
        CommandFile(self.state / "commands.db").put(verb, name, args)

    def _kill_gateway(self) -> None:
        self.gateway.kill()
        self.gateway.start(wait=False)

    def _kill_broker(self) -> None:
        if self._broker is not None:
            self._broker.kill()
            self._broker.start()
            return
        with suppress(OSError, ValueError):  # the gateway brings it back; it may just be coming
            kill_embedded(self.state / "broker")

    def _kill_board(self) -> None:
        board = self._dice.choice(self.boards)
        board.kill()
        board.start()

    def forget(self, words: int) -> None:
        """The broker is killed with words that it has acknowledged and nobody has fetched."""
        self._is_down = True
        self.gateway.kill()
        for talker in self._talkers * words:
            talker.say("tally")
        self._wait(self._all_quiet, lambda: ["everything is acknowledged"])
        self.kills["broker"] += 1
        self._kill_broker()
        self.gateway.start()
        self._is_down = False

    # -- the end -----------------------------------------------------------------------------

    def settle(self) -> Ledger:
        """Wait until everybody is well, and count. Raises Unwell naming who is not."""
        began = time.monotonic()
        self._wait(lambda: not self._unwell(), self._unwell)
        self._wait(self._all_quiet, lambda: ["everything is acknowledged"])
        forgets = self.kills["broker"] and KINDS[self.kind]
        if forgets:
            wanted = self._last_words()
        else:
            wanted = {key for kind in EVENTS for key in self.ledger.accounts[kind].sent}
        self._wait(
            lambda: self._all_quiet() and self._replayed() and wanted <= set(self._keys()),
            lambda: self._missing(wanted),
        )
        self._wait(self._at_rest, lambda: ["something is left to do"])
        if not forgets:
            keys = set(self._keys())  # the broker has them all, and may take a moment to bring them
            self._wait(lambda: keys <= self._heard(), lambda: [f"unheard: {keys - self._heard()}"])
        self.converged = time.monotonic() - began
        self._count(str(forgets or ""))
        return self.ledger

    def _last_words(self) -> set[Any]:
        """A word of each, all of which arrived: what a forgetful broker takes before the gateway is back on
        it reaches nobody, so they are said until they arrive.

        One of each is not enough: paho lets a word that is said between CONNECT and CONNACK overtake those
        that wait, so that the older of two may arrive and the newer be forgotten.
        """
        last, again_at, pause = set[Any](), 0.0, 1.0

        def arrived() -> bool:
            nonlocal last, again_at, pause
            if last and last <= set(self._keys()):
                return True
            if time.monotonic() > again_at:
                last = {talker.say("tally") for talker in self._talkers}
                again_at, pause = time.monotonic() + pause, pause * 1.5
            return False

        self._wait(arrived, lambda: [f"no last word of everybody, not all of {last}"])
        return last

    def _unwell(self) -> list[str]:
        """Who is not registered, receipted, online and verified, and what is known of them."""
        self._greet()
        rows = self.gateway.rows(
            "SELECT n.hardware_id, n.lifecycle_state, n.life, d.state, d.revision "
            "FROM nodes n LEFT JOIN config_desired d ON d.node_id = n.id"
        )
        for name, _, _, state, _ in rows:
            if state == "rolled_back" and time.monotonic() > self._retry_at.get(name, 0.0):
                self._retry_at[name] = time.monotonic() + 5.0
                # killed three times on trial: it has gone back, and says so
                self._ask("config.retry", name)
            if state is None and self._refused(name):
                self._pushed.discard(name)  # an operator asks again
        well = {name for name, _, life, state, _ in rows if (life, state) == ("online", "verified")}
        boards = {board.hardware_id for board in self.boards}
        waiting = [t.name for t in self._talkers if t.numbered and not t.receipted]
        answers = "SELECT kind, state, answer FROM journal WHERE class = 'command'"
        if boards <= well and not waiting:
            return []
        found = [f"no receipt: {waiting}", f"nodes: {rows}", f"asked: {self.gateway.rows(answers)}"]
        for table in ("config_reported", "config_desired", "hello_nodes", "heartbeat_nodes"):
            found.append(f"{table}: {self.gateway.rows(f'SELECT * FROM {table}')}")
        return found + [
            board.last_words() for board in self.boards if board.hardware_id not in well
        ]

    def _refused(self, name: str) -> bool:
        """True where the last config for this node was answered with an error: what was under way in three
        kills in a row is taken for what ended the gateway (rule 2), a command as well."""
        sql = "SELECT answer FROM journal WHERE kind = 'config.push' AND lane = ? ORDER BY id DESC"
        answers = self.gateway.rows(sql, name)
        return bool(answers) and '"ok":false' in (answers[0][0] or "")

    def _all_quiet(self) -> bool:
        return all([talker.quiet for talker in self._talkers])

    def _replayed(self) -> bool:
        """True where nothing is parked: what was under way in three kills in a row is taken for what
        ended the gateway (rule 2), and an operator gives it another chance."""
        ((parked,),) = self.gateway.rows("SELECT count(*) FROM delivery WHERE state = 'dead'") or [
            (0,)
        ]
        if parked and time.monotonic() > self._retry_at.get("", 0.0):
            self._retry_at[""] = time.monotonic() + 3.0
            self.parked += parked
            self._ask("dead.replay", "", all=True)
        return not parked

    def _heard(self) -> set[Any]:
        return {key for talker in self._talkers for key in talker.heard_keys("tallied")}

    def _missing(self, wanted: set[Any]) -> list[str]:
        """What has no effect, whether the journal has it, and what the log has of trouble."""
        found = wanted - set(self._keys())
        rows = self.gateway.rows(
            "SELECT id, at, state, flags, lane, topic, payload FROM journal WHERE kind = 'tally'"
        )
        there = [
            row
            for row in rows
            if any(f'"n": {key[-1]},' in str(row[-1]) and key[0] in row[5] for key in found)
        ]
        words = ("plugin", " off", "given up", "ERROR", "Error", "cannot")
        said = [
            line for line in self.gateway.whole_log().splitlines() if any(w in line for w in words)
        ]
        deliveries = self.gateway.rows("SELECT * FROM delivery")
        return [
            f"without effect: {found}",
            f"in the journal: {there}",
            f"deliveries: {deliveries}",
            *(line for line in said if "4 plugins" not in line),
        ]

    def _at_rest(self) -> bool:
        counts = (
            "SELECT (SELECT count(*) FROM journal WHERE state <> 1), (SELECT count(*) FROM outbox)"
        )
        return self.gateway.rows(counts) == [(0, 0)]

    def _keys(self) -> list[Any]:
        rows = self.gateway.rows("SELECT node, boot_id, seq, n FROM tally_effects")
        return [(node, boot, seq) if boot else (node, n) for node, boot, seq, n in rows]

    def _wait(self, condition: Callable[[], Any], what: Callable[[], list[str]]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self._supervise()
            if time.monotonic() > deadline:
                said = self.gateway.whole_log()[-1500:]
                raise Unwell("\n".join([f"not within {PATIENCE:g} s", *what(), said]))
            time.sleep(0.05)

    def _count(self, forgets: str) -> None:
        ledger, keys = self.ledger, self._keys()
        for kind, size in zip(EVENTS, (3, 2), strict=True):
            mine = [key for key in keys if len(key) == size]
            ledger.settle(kind, stored=mine, effects=mine)
        known = {name for (name,) in self.gateway.rows("SELECT hardware_id FROM nodes")}
        hellos = [key for key in ledger.accounts["node_hello"].sent if key[0] in known]
        ledger.settle("node_hello", stored=hellos, effects=hellos)
        self._count_configs()
        for key in keys:  # the outbox is empty: the broker has acknowledged all of them
            ledger.note("to the node", "sent", key)
            ledger.note("to the node", "acknowledged", key)
        heard = [key for talker in self._talkers for key in talker.heard_keys("tallied")]
        ledger.settle("to the node", stored=keys, effects=heard)
        for kind, account in ledger.accounts.items():
            doubles = (
                "MQTT's at least once" if kind == "to the node" else "nothing to know a double by"
            )
            why = [forgets] * bool(account.lost) + [doubles] * bool(account.doubles)
            account.why = "; ".join(why)

    def _count_configs(self) -> None:
        sql = "SELECT n.hardware_id, d.state FROM config_desired d JOIN nodes n ON d.node_id = n.id"
        rows = self.gateway.rows(sql)
        for name, state in rows:
            self.ledger.note("config", "acknowledged", (name,))
            if state == "verified":
                self.ledger.note("config", "receipted", (name,))
        verified = [(name,) for name, state in rows if state == "verified"]
        self.ledger.settle("config", stored=[(name,) for name, _ in rows], effects=verified)

    def close(self) -> None:
        """End everybody."""
        for talker in self._talkers:
            talker.close()
        for board in self.boards:
            board.kill()
        if self.gateway.process is not None:
            self.gateway.process.terminate()  # so that a broker of its own ends before we go on
            with suppress(subprocess.TimeoutExpired):
                self.gateway.process.wait(20)
            self.gateway.kill()
        if self._broker is not None:
            self._broker.kill()
