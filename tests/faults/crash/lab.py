"""One lab: a broker, the server that forks gateways, and lives lived on them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from gateway.testing.broker import Mosquitto
from tests.faults.crash.forks import Forks
from tests.faults.crash.lives import LIVES, Life, live, working_day
from tests.faults.crash.world import World


class Lab:
    """Lives in turn; any number of labs can be open at once."""

    def __init__(
        self, folder: Path, forks: Forks, port: int, reached: dict[Life, list[str]] | None = None
    ) -> None:
        self._folder = folder
        self._forks = forks
        self._port = port
        self._numbers = count(1)
        self._reached = {} if reached is None else reached

    def live(self, life: Life, *terms: str) -> list[str]:
        """Live a life with these terms armed; returns those that struck."""
        name = f"{life.__name__}-{next(self._numbers)}"
        return live(life, World(self._forks, self._folder / name, self._port, *terms))

    def reached(self, life: Life) -> list[str]:
        """The labels that a life reaches when nothing strikes, in the order of their first time."""
        if life not in self._reached:
            trace = self._folder / f"{life.__name__}.trace"
            self.live(life, f"*=trace:{trace}")
            self._reached[life] = list(dict.fromkeys(trace.read_text().split()))
        return self._reached[life]

    def life_of(self, label: str) -> Life:
        """The first life that reaches a label. Raises AssertionError where none does."""
        for life in LIVES:
            if label in self.reached(life):
                return life
        raise AssertionError(f"no life reaches {label}: add to tests/faults/crash/lives.py")

    def kill(self, label: str) -> list[str]:
        """Kill the gateway there, once, and judge the end; the terms that struck."""
        return self.live(self.life_of(label), f"{label}=kill")

    def pairs(self, seed: int) -> Iterator[tuple[str, str]]:
        """Ordered pairs of labels without an end: the second strikes in the recovery from the first."""
        dice = random.Random(f"pairs {seed}")
        known = self.reached(working_day)
        while True:
            yield dice.choice(known), dice.choice(known)

    def kill_twice(self, first: str, second: str) -> bool:
        """True where both struck."""
        terms = [f"{first}=kill", f"{second}=kill"]
        return self.live(working_day, *terms) == terms


@contextmanager
def lab(folder: Path, reached: dict[Life, list[str]] | None = None) -> Iterator[Lab]:
    """A lab in a folder; labs that share `reached` find out once what a life reaches."""
    lines = ["allow_anonymous true", "max_queued_messages 0"]
    with Mosquitto(folder / "broker", lines=lines) as broker, Forks() as forks:
        yield Lab(folder, forks, broker.port, reached)
