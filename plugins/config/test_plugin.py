"""The other hooks: what the plugin is, whose settings it has, and how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gateway_config
import pytest
from config_bench import TOPIC, Bench, Board, prove, push
from gateway_config import document as documents
from gateway_config.asked import Settings
from msgspec.structs import replace

from gateway import Problem


def test_hook_manifest() -> None:
    """The manifest names tables, commands and timers, and costs no import of click."""
    made = gateway_config.manifest()
    assert {c.kind for c in made.commands} == {
        "config.push",
        "config.set",
        "config.rollback",
        "config.retry",
        "nodes.bind",
        "nodes.unbind",
    }
    assert [job.name for job in made.jobs] == ["resend", "binds"]


def test_a_decommissioned_node_gets_nothing_more(bench: Bench, document: dict[str, Any]) -> None:
    """The end of a node is the end of its config."""
    push(bench, document)
    bench.changed("lifecycle_state", "REGISTERED_BACKEND", "DECOMMISSIONED")
    assert bench.state == "v1 expired"
    bench.wait(1_000.0)
    bench.hello(**Board().hello())
    assert len(bench.sent) == 1


def test_what_a_decommissioned_node_lost_is_not_sent_again(
    bench: Bench, document: dict[str, Any]
) -> None:
    """A verified config is sent again to a node that lost it; to one at its end it is not."""
    board = Board()
    push(bench, document)
    prove(bench, board)
    bench.node = replace(bench.node, lifecycle_state="DECOMMISSIONED")
    bench.now += 100.0
    board.revision, board.sha256 = 0, ""
    bench.hello(**board.hello())
    assert len(bench.sent) == 1


def test_hook_node_changed_serves_a_node_that_comes_back(
    bench: Bench, document: dict[str, Any]
) -> None:
    """node_changed offline -> online starts the sends that were put off."""
    push(bench, document)
    bench.changed("life", "online", "offline")
    bench.changed("life", "offline", "online")
    assert len(bench.sent) == 1
    bench.now += 60.0
    bench.changed("life", "offline", "online")
    assert len(bench.sent) == 2


def test_hook_validate_config(bench: Bench) -> None:
    """The plugin's own rules are there for everybody who asks the host."""
    found: list[Problem] = []

    async def ask() -> None:
        found.extend(await gateway_config.validate_config({}, bench.settings))

    bench.run(ask())
    assert [p.path for p in found][:2] == ["node_id", "type"]


@pytest.mark.parametrize(("metrics", "paths"), [([], ["channels[0].metric"]), (["DOOR"], [])])
def test_a_fleets_own_metrics_are_a_setting(
    bench: Bench, metrics: list[str], paths: list[str]
) -> None:
    """`[plugins.config] metrics` reaches the rules."""
    door = {"name": "door", "type": "SENSOR", "metric": "DOOR"}
    made = documents.skeleton("nd-1", "ph") | {"channels": [door]}
    found: list[Problem] = []

    async def ask() -> None:
        settings = Settings(metrics=metrics)
        found.extend(await gateway_config.validate_config(made, settings))

    bench.run(ask())
    assert [p.path for p in found] == paths


def test_hook_health(bench: Bench, document: dict[str, Any]) -> None:
    """A config that ended badly is a failed check with the next command."""
    made = push(bench, document)

    async def ask() -> None:
        (check,) = await gateway_config.health(bench.host)
        checks.append(check)

    checks: list[Any] = []
    bench.run(ask())
    bench.report(**Board().about((1, made["sha256"]), "rejected", ""))
    bench.run(ask())
    assert [check.ok for check in checks] == [True, False]
    assert checks[1].hint == "gateway config status"


def test_two_gateways_stay_apart(tmp_path: Path, document: dict[str, Any]) -> None:
    """What a hook does it does in the gateway that called it."""
    (tmp_path / "other").mkdir()
    one, two = Bench(tmp_path), Bench(tmp_path / "other")
    two.host.root = "farm"
    push(one, document)
    push(two, document)
    assert one.sent[0].topic == TOPIC
    assert two.sent[0].topic == "farm" + TOPIC.removeprefix("hydro")
    one.close()
    push(two, document)
    two.close()
