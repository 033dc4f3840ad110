"""What happens to a fleet: scenario files, and their steps as they fall due.

Rules of this file. A scenario is data: `about`, `[[fleet]]` with the makes of nodes, `[[steps]]` with
what is done, when and to which share. Chance comes from the dice that are handed in. Power and links are
what every node has; what else a kind of node can do, it brings along.
"""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

SHELF = Path(__file__).parent / "scenarios"
_COMMON = ("power_cut", "link_loss")
_DOES = (*_COMMON, "clock_jump", "upgrade")


@dataclass
class Make:
    """What kind of node it is."""

    fw_version: str = ""
    """Empty: ours."""
    foreign: bool = False
    """Field firmware: no protocol, no receipts."""


class Node(Protocol):
    """What every node can live through."""

    @property
    def is_on(self) -> bool:
        """True while it has power."""

    def boot(self) -> None:
        """Power on."""

    def cut_power(self) -> None:
        """Off, at once."""

    def lose_link(self) -> None:
        """The network is gone for a moment."""


N = TypeVar("N", bound=Node)


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    at: float
    does: str
    share: float = 1.0
    off: float = 0.0
    """power_cut: seconds without power."""
    within: float = 0.0
    """They come back, or are hit, within so many seconds of each other."""
    seconds: float = 0.0
    """clock_jump: how far."""
    every: float = 0.0
    """Again after so many seconds; 0: once."""


@dataclass(frozen=True)
class Scenario:
    """A file of them."""

    about: str
    fleet: tuple[tuple[float, Make], ...] = ()
    steps: tuple[Step, ...] = field(default_factory=tuple)


def names() -> list[str]:
    """Those that are shipped."""
    return sorted(path.stem.replace("_", " ") for path in SHELF.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario, or the file that was named. Raises ValueError."""
    shipped = SHELF / f"{name.replace(' ', '_').replace('-', '_')}.toml"
    found = shipped if shipped.is_file() else Path(name)
    if not found.is_file():
        raise ValueError(f"there is no scenario {name!r}; there are: {', '.join(names())}")
    return found


def read(path: Path) -> Scenario:
    """The scenario in a file. Raises ValueError that says what is wrong with it."""
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text())
        fleet = [(float(make.pop("share")), Make(**make)) for make in found.pop("fleet", [])]
        made = Scenario(
            fleet=tuple(fleet),
            steps=tuple(Step(**step) for step in found.pop("steps", [])),
            **found,
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    wrong = [step.does for step in made.steps if step.does not in _DOES]
    if wrong:
        raise ValueError(f"{path}: does = {wrong[0]!r} is none of {', '.join(_DOES)}")
    return made


class Made(Protocol):
    """A node that can be of any make."""

    make: Make


def assign(scenario: Scenario, nodes: Sequence[Made]) -> None:
    """Give the nodes their makes, in the order of the file; what is left over is ours."""
    start = 0.0
    for share, make in scenario.fleet:
        end = start + share
        for node in nodes[round(start * len(nodes)) : round(end * len(nodes))]:
            node.make = make
        start = end


def only_for_light(scenario: Scenario) -> str:
    """The first thing in it that a node in a process of its own cannot do, "" for none."""
    for number, step in enumerate(scenario.steps, 1):
        if step.does not in _COMMON:
            return f"step {number}, {step.does}"
    return "[[fleet]]" if scenario.fleet else ""


class Play(Generic[N]):
    """A scenario on its way: call `due` often. `more` is what these nodes can do besides."""

    def __init__(
        self,
        scenario: Scenario,
        nodes: Sequence[N],
        dice: random.Random,
        more: Mapping[str, Callable[[N, Step], None]],
    ) -> None:
        self._nodes = nodes
        self._dice = dice
        self._more = more
        self._steps = [(step.at, step) for step in scenario.steps]
        self._later: list[tuple[float, N, str, Step]] = []

    def due(self, now: float) -> list[str]:
        """Do what is due at `now` seconds; returns a line for each step that begins."""
        lines = []
        for begins, step in [pair for pair in self._steps if pair[0] <= now]:
            self._steps.remove((begins, step))
            if step.every:
                self._steps.append((begins + step.every, step))
            lines.append(self._begin(step, now))
        self._hit_all(now)
        return lines

    def let_go(self) -> None:
        """No step begins any more, and who is without power gets it back."""
        self._steps.clear()
        self._later = [each for each in self._later if each[2] == "boot"]
        self._hit_all(math.inf)

    def _hit_all(self, now: float) -> None:
        ready = [each for each in self._later if each[0] <= now]
        self._later = [each for each in self._later if each[0] > now]
        for _at, node, does, step in ready:
            self._hit(node, does, step, now)

    def _begin(self, step: Step, now: float) -> str:
        hit = list(self._chosen(step.share))
        for node in hit:
            spread = 0.0 if step.does == "power_cut" else self._dice.uniform(0, step.within)
            self._later.append((now + spread, node, step.does, step))
        return f"{step.does.replace('_', ' ')}: {len(hit):,} of {len(self._nodes):,} nodes"

    def _chosen(self, share: float) -> Iterator[N]:
        count = max(1, round(share * len(self._nodes)))
        return iter(self._dice.sample(list(self._nodes), min(count, len(self._nodes))))

    def _hit(self, node: N, does: str, step: Step, now: float) -> None:
        if does == "power_cut":
            node.cut_power()
            back = now + step.off + self._dice.uniform(0, step.within)
            self._later.append((back, node, "boot", step))
        elif does == "boot":
            if not node.is_on:
                node.boot()
        elif does == "link_loss":
            node.lose_link()
        else:
            self._more[does](node, step)
