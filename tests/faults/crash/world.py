"""What is around a gateway that dies: it is started again, and the others never hear why.

The terms that were armed (`label=kill`) are used up one after the other, each for as many runs of the
gateway as it takes to hit: the second one strikes in the recovery from the first.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.cli.fleet import Broker, Fleet
from gateway.cli.journey import first_config
from gateway.failpoint import VARIABLE
from gateway.store.commands import CommandFile
from gateway.testing.ledger import Ledger, Talker
from tests.faults.crash.forks import ForkedGateway, Forks

PLUGINS = Path(__file__).parent / "plugins"
KILLED = -signal.SIGKILL
PATIENCE = 90.0


class Ruin(AssertionError):
    """The gateway did something other than run or be killed."""


class World:
    """One life's: a state folder, a root of its own on a broker that it may share, its node and talkers."""

    def __init__(self, forks: Forks, folder: Path, port: int, *terms: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.port = port
        self.root = folder.name
        self.terms = list(terms)
        self.hit: list[str] = []
        """The terms that have struck."""
        self.starts = 0
        self.was_ready = False
        self.env: dict[str, str] = {
            "GATEWAY__MQTT__ROOT": self.root,
            "GATEWAY__PLUGINS__DIRS": json.dumps([str(PLUGINS)]),
            "GATEWAY__HANDLERS__BACKOFF": "0.05",
            "GATEWAY__STORE__PRUNE_DONE_ROWS": "50",
        }
        self.broker_mode = "external"
        self.ledger = Ledger()
        self.talkers: list[Talker] = []
        self.fleet: Fleet | None = None
        self.pushed = False
        self._replay_at = 0.0
        self._forks = forks
        self._gateway: ForkedGateway | None = None

    # -- the gateway -------------------------------------------------------------------------

    @property
    def gateway(self) -> ForkedGateway:
        """Made when first used, so that a life can change what it is started with."""
        if self._gateway is None:
            self._gateway = ForkedGateway(
                self._forks,
                self.folder / "state",
                self.port,
                env={k: v for k, v in self.env.items() if v},
                broker=self.broker_mode,
            )
        return self._gateway

    def start(self, **env: str) -> None:
        """Start the gateway once, with the next term armed."""
        self.starts += 1
        if self.starts > 12:
            raise Ruin(f"it does not come to an end: {self.gateway.whole_log()[-3000:]}")
        self.gateway.start(wait=False, env={**self._armed(), **env})

    def _armed(self) -> dict[str, str]:
        return {VARIABLE: self.terms[0]} if self.terms else {}

    def keep(self) -> None:
        """Start it again where it was killed. Raises Ruin where it ended in another way."""
        if self._ended():
            self.start()

    def _ended(self) -> bool:
        process = self.gateway.process
        assert process is not None
        code = process.poll()
        if code is None:
            return False
        if code != KILLED or not self.terms:
            raise Ruin(f"it ended with {code}: {self.gateway.whole_log()[-3000:]}")
        self.hit.append(self.terms.pop(0))
        return True

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition, and keep the gateway alive meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            self.keep()
            if time.monotonic() > deadline:
                raise Ruin(f"never: {what}; {self.gateway.whole_log()[-3000:]}")
            time.sleep(0.01)
        return found

    def ready(self) -> None:
        """Wait until a run of it has said that it takes messages."""
        self.until(lambda: any("ready " in line for line in self.gateway.lines), "ready")

    def stop(self) -> None:
        """SIGTERM until it has ended by itself: a term may strike while it stops, and is then over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            process = self.gateway.process
            assert process is not None
            process.terminate()
            if process.wait(30) == 0:
                return
            self._ended()
            self.start()
            self.ready()
        raise Ruin("it does not stop")

    def run(self, *words: str) -> None:
        """Another command of the gateway, until it has come to its end."""
        while True:
            self.gateway.start(wait=False, env=self._armed(), words=words)
            process = self.gateway.process
            assert process is not None
            if process.wait(60) == 0:
                return
            self._ended()

    # -- the others --------------------------------------------------------------------------

    def talker(self, name: str, *, numbered: bool = True) -> Talker:
        """A node that counts."""
        made = Talker(
            self.port, name, self.ledger, root=self.root, numbered=numbered, answers=("tallied",)
        )
        self.talkers.append(made)
        return made

    def node(self, *, port: int = 0, interval: int = 5) -> str:
        """Start a real node; its hardware id."""
        where = Broker("127.0.0.1", port or self.port, root=self.root)
        self.fleet = Fleet(self.folder / "nodes", 1, where)
        (hardware_id,) = self.fleet.hardware_ids
        file = self.folder / "nodes" / hardware_id / "node.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"interval_s": interval}))
        self.fleet.start()
        return hardware_id

    def ask(self, verb: str, node: str = "", **args: Any) -> None:
        """Ask the gateway for something, as the operator would."""
        CommandFile(self.folder / "state" / "commands.db").put(verb, node, args)

    def push(self, hardware_id: str) -> None:
        """Push a first config, as the operator would."""
        self.until(lambda: self._is_registered(hardware_id), f"{hardware_id} is registered")
        self.ask("config.push", hardware_id, document=first_config("climate"), author="life")
        self.pushed = True
        verified = "SELECT 1 FROM config_desired WHERE state = 'verified'"
        self.until(lambda: self.gateway.rows(verified), "the config is verified")

    def _is_registered(self, hardware_id: str) -> bool:
        found = self.gateway.node(hardware_id)
        return found is not None and found["lifecycle_state"] == "REGISTERED_BACKEND"

    def at_rest(self) -> None:
        """Wait until everything that was said is done, and everything that must leave has left."""
        self.until(lambda: all(talker.quiet for talker in self.talkers), "all is acknowledged")
        for what, sql in (
            ("the journal is done", "SELECT count(*) FROM journal WHERE state <> 1"),
            ("the outbox is empty", "SELECT count(*) FROM outbox"),
        ):
            self.until(lambda sql=sql: self.gateway.rows(sql) == [(0,)], what)  # type: ignore[misc] # bound at once
        self.until(self._nothing_parked, "no delivery is open")
        wanted = self.ledger.accounts.get("tally")
        if wanted is not None:
            sql = "SELECT count(DISTINCT node || boot_id || seq || n) FROM tally_effects"
            self.until(lambda: self.gateway.rows(sql) == [(len(wanted.sent),)], "all effects")

    def _nothing_parked(self) -> bool:
        """True where no delivery is open. What failed in each of several lives is parked in the end, as it
        should be, and an operator gives it another turn."""
        states = [state for (state,) in self.gateway.rows("SELECT state FROM delivery")]
        if "dead" in states and time.monotonic() > self._replay_at:
            self._replay_at = time.monotonic() + 3.0
            self.ask("dead.replay", all=True, author="life")
        return not states

    def close(self) -> None:
        """End everything that still runs."""
        if self.fleet is not None:
            self.fleet.stop()
        for talker in self.talkers:
            talker.close()
        if self._gateway is not None and self._gateway.process is not None:
            self._gateway.process.kill()
            self._gateway.process.wait(10)

    def remove(self) -> None:
        """Nobody has to look at it any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
