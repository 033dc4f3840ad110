"""The faults of `make ledger`: who is killed how often, on which broker."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gateway.testing.ledger import Ledger
from tests.faults.crash.forks import Forks
from tests.faults.ledger.site import Site, Unwell


class Scene(NamedTuple):
    """`kills` SIGKILLs of `targets` at random moments; with `forgets` one more of the broker, with so
    many words of each that only it knows."""

    broker: str
    kills: int
    targets: tuple[str, ...]
    forgets: int = 0

    def __str__(self) -> str:
        return f"{self.kills} kills of {', '.join(self.targets)}; {self.broker}"


SIDE_BY_SIDE = 3
ALL = ("gateway", "broker", "board")
SCRIPT = (
    Scene("mosquitto", 40, ("gateway",)),
    Scene("mosquitto", 20, ("broker",), forgets=20),
    Scene("mosquitto, persistent", 20, ("broker",)),
    Scene("embedded", 20, ("broker",)),
    Scene("mosquitto", 20, ("board",)),
    Scene("mosquitto, persistent", 40, ALL),
    Scene("embedded", 40, ALL),
)
FOR_EVER = (
    Scene("mosquitto", 40, ALL),
    Scene("mosquitto, persistent", 40, ALL),
    Scene("embedded", 40, ALL),
    Scene("mosquitto", 60, ("gateway", "board")),
    Scene("embedded", 40, ("gateway", "board")),
)


class Played(NamedTuple):
    """A scene that is over. `promised` kinds may lose nothing in it."""

    scene: Scene
    seed: int
    ledger: Ledger
    kills: dict[str, int]
    converged: float
    parked: int
    unwell: str = ""
    """Who did not recover, and what is known of them."""

    def broken(self) -> list[str]:
        """Promises that were not kept."""
        if self.unwell:
            return [self.unwell]
        found = []
        for kind, account in self.ledger.accounts.items():
            if account.lost and (kind in ("node_hello", "config") or not _may_lose(self)):
                found.append(f"{kind}: lost {sorted(map(str, account.lost))[:5]}")
            if account.doubles and kind in ("tally", "node_hello", "config"):
                found.append(f"{kind}: done twice {sorted(map(str, account.doubles))[:5]}")
        return found


def _may_lose(played: Played) -> bool:
    """A killed mosquitto loses what it had acknowledged; the embedded broker does not."""
    return played.kills["broker"] > 0 and played.scene.broker != "embedded"


def play(forks: Forks, scene: Scene, seed: int) -> Played:
    """One scene, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        site, unwell = Site(forks, Path(folder) / "site", scene.broker, seed), ""
        try:
            site.open()
            site.play(scene.kills, list(scene.targets))
            if scene.forgets:
                site.forget(scene.forgets)
            site.settle()
        except (Unwell, TimeoutError) as error:
            unwell = str(error)
        finally:
            site.close()
        return Played(scene, seed, site.ledger, site.kills, site.converged, site.parked, unwell)


def play_all(forks: Forks, scenes: tuple[Scene, ...], seed: int) -> Iterator[Played]:
    """Scenes, each with a seed of its own, some side by side: they wait most of their time."""
    dice = random.Random(f"script {seed}")
    seeds = [dice.randrange(1 << 30) for _ in scenes]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield from pool.map(lambda pair: play(forks, *pair), zip(scenes, seeds, strict=True))
