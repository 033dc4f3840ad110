"""A plugin's share of the log."""

from __future__ import annotations

import logging

import pytest

from gateway.hooks.lines import BURST, Share, speaker


def line(thread: str) -> logging.LogRecord:
    record = logging.LogRecord("any", logging.WARNING, "", 0, "text", (), None)
    record.threadName = thread
    return record


def test_a_share_is_one_plugins(caplog: pytest.LogCaptureFixture) -> None:
    """What one plugin says is taken from nobody else's share, and the gateway has no bounds."""
    share = Share()
    shown = sum(share.filter(line("plugins-loud-3")) for _ in range(20 * BURST))
    assert BURST <= shown < 2 * BURST
    assert share.filter(line("plugins-quiet"))
    assert all(share.filter(line("gateway")) for _ in range(20 * BURST))
    with caplog.at_level(logging.WARNING):
        share._say()
    assert f"plugin loud: {20 * BURST - shown:,} lines were left out" in caplog.text


def test_a_plugin_is_known_by_its_thread() -> None:
    """Its loop, its pool, and what it started itself."""
    assert speaker("plugins-loud") == speaker("plugins-loud-12") == "plugin loud"
    assert speaker("Thread-1 (work)") == "a thread of a plugin"
    assert speaker("MainThread") == speaker("gateway-writer") == ""
