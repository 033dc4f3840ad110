"""The commands that read: as text, as JSON, and no secret in either."""

from __future__ import annotations

import json

import pytest
from config_bench import UID
from config_desk import Desk, data, fleet, good

SECRETS = ("mqtt-word", "wifi-word")


READING = [
    ["config", "show", UID],
    ["config", "show", UID, "--reported"],
    ["config", "show", UID, "--revision", "1"],
    ["config", "status"],
    ["config", "status", UID],
    ["config", "history", UID],
    ["config", "diff", UID],
    ["config", "diff", UID, "1"],
    ["config", "diff", UID, "1", "2"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_no_reading_command_shows_a_secret(desk: Desk, file: str, words: list[str]) -> None:
    """Neither as text nor as JSON; and JSON has its schema tag."""
    board = fleet(desk, file)
    made = data(desk, *words)
    assert made["schema"] == f"gateway.config.{words[1]}/1"
    for text in (good(desk, *words), json.dumps(made)):
        assert text
        for secret in (*SECRETS, board.secret):
            assert secret not in text


def test_status_tells_desired_and_reported(desk: Desk, file: str) -> None:
    """One line for a node: what it should run, how far that is, what it runs."""
    fleet(desk, file)
    cells = good(desk, "config", "status").rstrip("\n").split("\t")
    assert (cells[0], cells[1], cells[2], cells[4], cells[5]) == (UID, "v2", "sent", "v1", "1")
    (row,) = data(desk, "config", "status")["nodes"]
    assert (row["revision"], row["state"], row["reported_revision"]) == (2, "sent", 1)
    assert row["since"].endswith("+00:00")


def test_status_of_a_node_without_a_config(desk: Desk) -> None:
    """A dash says that there is nothing."""
    assert good(desk, "config", "status").startswith(f"{UID}\t-\t-")


def test_history_is_newest_first(desk: Desk, file: str) -> None:
    """Every revision with what became of it."""
    fleet(desk, file)
    lines = good(desk, "config", "history", UID).splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["v2", "sent"], ["v1", "verified"]]


def test_diff_shows_what_is_not_there_yet(desk: Desk, file: str) -> None:
    """Reported against desired, or one revision against another."""
    fleet(desk, file)
    expected = "channels[ph_sensor].poll_interval_ms\t3000\t9000\n"
    assert good(desk, "config", "diff", UID) == expected
    assert good(desk, "config", "diff", UID, "1", "2") == expected
    assert good(desk, "config", "diff", UID, "1", "1") == ""
    assert desk.talk[-1] == "no difference"
