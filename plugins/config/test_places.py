"""Where a node speaks: in its own spelling, and what the broker keeps of where it spoke before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_bench import Board, push
from gateway_config.asked import ConfigPush, NodesBind, NodesUnbind

if TYPE_CHECKING:
    from config_bench import Bench

SPELLED = {"gh": "GH-7", "zone": "zn-9", "name": "ND-ph-0F3A"}


def speak(bench: Bench, gh: str, zone: str, name: str) -> None:
    """A field node reports its least document under this topic."""
    bench.report(gh, zone, name=name, node_id=name, channels=[])


def test_d1_what_a_node_leaves_behind_is_cleared(field: Bench) -> None:
    """D1: after a move the old place keeps no status and no will; a report from the same place clears
    nothing."""
    for _ in range(2):
        speak(field, "gh-temp", "zn-temp", "esp32-0f3a")
    assert field.cleared == []
    speak(field, "gh-7", "zn-9", "nd-ph-0f3a")
    old = "hydro/gh-temp/zn-temp/esp32-0f3a"
    assert field.cleared == [f"{old}/status", f"{old}/lwt"]


def test_a_late_report_from_the_old_place_clears_nothing(
    bench: Bench, document: dict[str, Any]
) -> None:
    """What was held up on its way is the past: the node's present status stays."""
    board = Board()
    push(bench, document | {"gh_uid": "gh-7", "zone_uid": "zn-9"})
    assert board.take(bench.sent[-1].payload) == "applied"
    before = board.report("received")
    late = board.report("received")
    bench.report(**before)
    bench.report("gh-7", "zn-9", **board.report("applied"))
    cleared = list(bench.cleared)
    bench.report(**late)
    assert bench.cleared == cleared != []


def test_c4_an_old_retained_config_is_cleared_with_the_bind(
    field: Bench, document: dict[str, Any]
) -> None:
    """C4: what another service retained on the temp topic would pull a bound field node back."""
    field.ask(ConfigPush(document=document | {"gh_uid": "gh-7", "zone_uid": "zn-9"}))
    speak(field, "gh-7", "zn-9", "nd-ph-0f3a")
    assert field.node.gh == "gh-7"
    assert "hydro/gh-temp/zn-temp/esp32-0f3a/config" in field.cleared


def test_a_node_is_written_to_in_its_own_spelling(field: Bench, document: dict[str, Any]) -> None:
    """B1: names are compared in lower case and published as received; topics know no case folding."""
    speak(field, "gh-temp", "zn-temp", "ESP32-0F3A")
    field.ask(NodesBind(gh="gh-7", zone="zn-9"))
    assert field.sent[-1].topic == "hydro/gh-temp/zn-temp/ESP32-0F3A/config"
    speak(field, **SPELLED)
    field.ask(ConfigPush(document=document | {"gh_uid": "gh-7", "zone_uid": "zn-9"}))
    assert field.sent[-1].topic == "hydro/GH-7/zn-9/ND-ph-0F3A/config"
    field.ask(NodesUnbind())
    assert field.sent[-1].topic == "hydro/GH-7/zn-9/ND-ph-0F3A/config"
