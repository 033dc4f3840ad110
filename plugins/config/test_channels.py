"""A node's channels, as it reports them (A6.3)."""

from __future__ import annotations

from config_bench import UID, Bench, Board


def test_channels_come_from_reports(bench: Bench) -> None:
    """A6.3: upsert by name; missing ones stay; backend-owned keys are not taken; secrets hidden."""
    board = Board(revision=1)
    shown = {
        "node_id": UID,
        "mqtt": {"password": "mqtt-word"},
        "channels": [
            {"name": "ph", "type": "SENSOR", "metric": "PH", "unit": "pH", "pid": {"p": 1}},
            {"name": "acid", "type": "ACTUATOR", "actuator_type": "PUMP"},
            {"no": "name"},
            {"name": "bad\nname"},
        ],
    }
    bench.report(**board.report("verified"), **shown)
    rows = bench.read("SELECT name, type, metric, unit, active FROM config_channels")
    assert rows == [("acid", "ACTUATOR", "PUMP", "", 1), ("ph", "SENSOR", "PH", "pH", 1)]
    assert "pid" not in bench.row("config_channels", "config", "name = 'ph'")["config"]
    assert "mqtt-word" not in bench.row("config_reported", "document")["document"]
    bench.report(**board.report("verified"), channels=[{"name": "ph", "unit": "1"}])
    bench.report(**board.report("verified"), channels=[])
    assert len(bench.read("SELECT 1 FROM config_channels WHERE active = 1")) == 2
    bench.report(**board.report("verified"), channels=["ph"], channels_replace=True)
    assert bench.read("SELECT name, unit FROM config_channels WHERE active = 1") == [("ph", "1")]


def test_channels_are_bounded(bench: Bench) -> None:
    """A node that invents names cannot fill the disk."""
    board = Board(revision=1)
    for round_ in range(12):
        made = [{"name": f"c{round_}_{i}"} for i in range(100)]
        bench.report(**board.report("verified"), channels=made)
    assert bench.read("SELECT count(*) FROM config_channels") == [(256,)]
