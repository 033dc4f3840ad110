"""Scenarios of a simulated fleet: the shipped files on puppets, and files that are none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.swarm import scenario
from gateway.testing.swarm.lights import MORE


class Puppet:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.make = scenario.Make()
        self.is_on = True
        self.done: list[str] = []

    def cut_power(self) -> None:
        self.is_on = False
        self.done.append("cut")

    def boot(self) -> None:
        self.is_on = True
        self.done.append("boot")

    def stop(self) -> None:
        self.is_on = False

    def lose_link(self) -> None:
        self.done.append("lost")

    def jump(self, seconds: float) -> None:
        self.done.append(f"jump {seconds:g}")


def played(name: str, seconds: int, count: int = 100) -> tuple[list[str], list[Any]]:
    """A shipped scenario on puppets: (what was told, the puppets)."""
    nodes: list[Any] = [Puppet() for _ in range(count)]
    found = scenario.read(scenario.find(name))
    scenario.assign(found, nodes)
    play = scenario.Play(found, nodes, random.Random(1), MORE)  # noqa: S311 - chance that repeats, no secret
    told = [line for tenth in range(seconds * 10) for line in play.due(tenth / 10)]
    return told, nodes


def test_the_shipped_scenarios_do_what_they_say() -> None:
    """Each file reads, and what it says happens to the share that it says, again and again."""
    assert scenario.names() == ["clock jump", "flapping", "storm", "version mix"]
    told, nodes = played("storm", 20)
    assert told == ["power cut: 100 of 100 nodes"]
    assert all(node.done == ["cut", "boot"] for node in nodes)
    told, nodes = played("flapping", 20)
    assert told == ["link loss: 10 of 100 nodes"] * 8
    assert sum(len(node.done) for node in nodes) >= 70
    told, nodes = played("clock jump", 40)
    assert sum(node.done.count("jump 7200") for node in nodes) == 50
    assert sum(node.done.count("jump -86400") for node in nodes) == 50
    _, nodes = played("version-mix", 10)
    assert sum(node.make.foreign for node in nodes) == 25
    assert sum(node.make.fw_version == "0.9.0" for node in nodes) == 25
    _, nodes = played("version mix", 2000)
    assert not any(node.make.fw_version for node in nodes)


def test_a_scenario_that_is_over_leaves_nobody_without_power() -> None:
    """Who waits for power has it at once, and nothing happens any more."""
    nodes: list[Any] = [Puppet() for _ in range(10)]
    play = scenario.Play(scenario.read(scenario.find("storm")), nodes, random.Random(1), MORE)  # noqa: S311 - chance that repeats, no secret
    assert play.due(10.0) == ["power cut: 10 of 10 nodes"]
    assert not any(node.is_on for node in nodes)
    play.let_go()
    assert all(node.is_on for node in nodes)
    assert play.due(1000.0) == []


def test_what_only_light_nodes_can_do() -> None:
    """Power and links are everybody's; the first thing that is not is named."""
    found = {name: scenario.read(scenario.find(name)) for name in scenario.names()}
    assert {name: scenario.only_for_light(one) for name, one in found.items()} == {
        "clock jump": "step 1, clock_jump",
        "flapping": "",
        "storm": "",
        "version mix": "step 1, upgrade",
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('about = "x"\n[[steps]]\nat = 1\ndoes = "explode"', "explode"),
        ('about = "x"\n[[steps]]\ndoes = "power_cut"', "at"),
        ('about = "x"\nsteps = 1', "iterable"),
        ("about = ", ""),
        ("[[fleet]]\nforeign = true", "share"),
    ],
)
def test_a_scenario_that_is_wrong(tmp_path: Path, text: str, word: str) -> None:
    """A file that is no scenario is refused with its name and what is wrong."""
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=r"x\.toml") as caught:
        scenario.read(tmp_path / "x.toml")
    assert word in str(caught.value)
