"""Two looks at the fleet become lines."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import output, story

NOW = 1_760_000_000.0


def row(**values: Any) -> dict[str, Any]:
    """A node that is online and has no config yet."""
    return {
        "id": 1,
        "uid": "nd-ph-1",
        "hardware_id": "esp32-1",
        "type": "ph",
        "lifecycle_state": "REGISTERED_BACKEND",
        "life": "online",
        "config_revision": None,
        "config_state": None,
    } | values


def told(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """The lines without their time."""
    return [line.split(" ", 1)[1] for line in story.between(before, after, NOW)]


def test_a_new_node_registers_in_one_line() -> None:
    """The first sight of a registered node is its hello and its receipt."""
    assert told([], [row()]) == ["hello      nd-ph-1 (ph, esp32-1) registered, receipt sent"]


def test_a_hello_is_told_with_its_receipt() -> None:
    """The line waits until the first receipt has left, and says nothing else meanwhile."""
    waiting = row(first_receipt_waits=True)
    assert told([], [waiting]) == []
    assert told([waiting], [waiting]) == []
    assert told([waiting], [row()]) == ["hello      nd-ph-1 (ph, esp32-1) registered, receipt sent"]
    seen = row(lifecycle_state="UNPROVISIONED")
    assert told([seen], [waiting]) == []


def test_the_same_state_is_told_once() -> None:
    """Two equal looks tell nothing."""
    assert told([row()], [row()]) == []


def test_a_node_that_is_not_registered_yet() -> None:
    """A node that was only seen is no hello; registering it later is."""
    seen = row(lifecycle_state="UNPROVISIONED")
    assert told([], [seen]) == ["new        nd-ph-1 seen, not registered yet"]
    assert "registered" in told([seen], [row()])[0]


def test_life_changes() -> None:
    """A change of life is one line."""
    assert told([row()], [row(life="offline")]) == ["life       nd-ph-1 online → offline"]


def test_a_config_is_told_when_it_ends() -> None:
    """The steps of a config are one line with the time from queueing to verified."""
    sent = row(config_revision=1, config_state="sent", queued_at=NOW, sent_at=NOW)
    done = sent | {
        "config_state": "verified",
        "received_at": NOW + 0.1,
        "applied_at": NOW + 0.2,
        "verified_at": NOW + 0.9,
    }
    assert told([row()], [sent]) == []
    assert told([sent], [done]) == [
        "config     nd-ph-1 v1 sent → received → applied → verified in 0.9 s"
    ]


def test_a_config_that_ends_badly_says_why() -> None:
    """A rolled back config carries its reason."""
    bad = row(
        config_revision=2, config_state="rolled_back", queued_at=NOW, sent_at=NOW,
        final_at=NOW + 121.0, reason="broker not reached within 120 s",
    )  # fmt: skip
    assert told([row()], [bad]) == [
        "config     nd-ph-1 v2 sent → rolled back in 2 min 1 s: broker not reached within 120 s"
    ]


def test_a_lifecycle_change_and_a_node_that_is_gone() -> None:
    """Other changes are told as from → to, a node that was removed as forgotten."""
    assigned = row(lifecycle_state="ASSIGNED_TO_ZONE")
    assert told([row()], [assigned]) == ["state      nd-ph-1 REGISTERED_BACKEND → ASSIGNED_TO_ZONE"]
    assert told([row()], []) == ["gone       nd-ph-1 was forgotten"]


def test_a_name_from_the_wire_cannot_write_on_the_terminal() -> None:
    """An escape in what a node says arrives as a mark."""
    assert "\x1b" not in "".join(told([], [row(type="\x1b[2J")]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"lifecycle_state": "UNPROVISIONED"}, "is UNPROVISIONED, not registered"),
        ({"life": "never_seen"}, "is never seen, not online"),
        ({}, "has got no config"),
        ({"config_revision": 1, "config_state": "sent"}, "config v1 is sent"),
        (
            {"config_revision": 1, "config_state": "rejected", "reason": "hash"},
            "config v1 is rejected (hash)",
        ),
        ({"config_revision": 1, "config_state": "verified"}, ""),
    ],
)
def test_what_a_node_lacks(values: dict[str, Any], text: str) -> None:
    """The main job names the first thing that is missing."""
    assert story.missing(row(**values)) == text


def test_a_node_that_never_came() -> None:
    """A node without a row has not said hello."""
    assert story.missing(None) == "has not said hello"


def test_the_counters() -> None:
    """The line under the table counts what happened."""
    rows = [row(config_revision=1, config_state="verified"), row(id=2)]
    counts = {"hellos": 2, "receipts": 1, "beats": 1200}
    assert story.tally(rows, counts) == (
        "2 hellos, 1 receipt · 1,200 beats · 1 config, 1 verified · 0 refused · 0 waiting"
    )


def test_the_table_is_redrawn_in_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second table goes over the first, and a line goes above it."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    screen = story.Screen(output.stdout_paint(True))
    screen.draw(("A",), [("x",)], "foot")
    screen.say("line")
    out = capsys.readouterr().out
    assert out.startswith("\nA\nx\n\nfoot\n")
    assert "\x1b[5F\x1b[Jline\n\nA\nx\n\nfoot\n" in out


def test_nothing_is_redrawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets lines and no table."""
    screen = story.Screen(output.stdout_paint(True))
    screen.draw(("A",), [("x",)], "foot")
    screen.say("line")
    assert capsys.readouterr().out == "line\n"
