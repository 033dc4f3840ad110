"""The commands that look at the store and ask the gateway, by their output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BEATS = (
    Path(__file__).resolve().parents[2]
    / "plugins/heartbeat/gateway_heartbeat/migrations/0001_nodes.sql"
)

NOW = 1_760_000_000.0


def data(result: Any) -> Any:
    """The JSON document of a command that went well."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


# -- nodes ---------------------------------------------------------------------------------------


def test_nodes_list(state: Any, gw: Any) -> None:
    """One tab-separated line for each node with its config."""
    state.node(1, last_seen_at=NOW)
    state.node(2, life="offline", type="relay")
    state.add("config_desired", node_id=1, revision=3, sha256="", document="", state="rolled_back")
    lines = [line.split("\t") for line in gw("nodes", "list").stdout.splitlines()]
    assert [line[:5] for line in lines] == [
        ["nd-ph-1", "ph", "REGISTERED_BACKEND", "● online", "v3 rolled back"],
        ["nd-ph-2", "relay", "REGISTERED_BACKEND", "○ offline", "-"],
    ]


def test_nodes_list_works_without_the_plugins_tables(state: Any, gw: Any) -> None:
    """A store that the config plugin never used shows "-" for its column."""
    state.run(
        ("DROP TABLE config_desired; DROP TABLE config_revisions; DROP TABLE config_channels",)
    )
    state.node(1)
    assert gw("nodes", "list").stdout.split("\t")[4] == "-"
    assert gw("nodes", "show", "nd-ph-1").exit_code == 0


def test_nodes_list_as_json(state: Any, gw: Any) -> None:
    """The document says what it is, times are UTC, and no secret is in it."""
    state.node(1, last_seen_at=NOW)
    result = gw("nodes", "list", "--json")
    found = data(result)
    assert found["schema"] == "gateway.nodes.list/1"
    assert found["nodes"][0]["uid"] == "nd-ph-1"
    assert found["nodes"][0]["created_at"] == "2025-10-09T08:53:20.000Z"
    assert "s3cr3t" not in result.stdout


def test_nodes_list_filters(state: Any, gw: Any) -> None:
    """--life and --type choose; nothing found is said on stderr only."""
    state.node(1)
    state.node(2, life="offline")
    assert gw("nodes", "list", "--life", "offline").stdout.startswith("nd-ph-2\t")
    nothing = gw("nodes", "list", "--type", "ec")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "no nodes match\n")


def test_nodes_show(state: Any, gw: Any) -> None:
    """A node's page has its place, its hardware and what became of its configs."""
    state.node(1, gh="gh-7", zone="zn-9", fw_version="1.0.0", name="tank 3")
    for revision, word in ((1, "verified"), (2, "rolled_back")):
        state.add(
            "config_revisions", node_id=1, revision=revision, sha256="x", document="{}",
            state=word, queued_at=NOW, final_at=NOW + revision,
            reason="no broker" if revision == 2 else "",
        )  # fmt: skip
    text = gw("nodes", "show", "ESP32-1").stdout
    last = next(line for line in text.splitlines() if line.startswith("  last"))
    assert [what.split(" ", 2)[2] for what in last.split(maxsplit=1)[1].split(" · ")] == [
        "config v2 rolled back", "config v1 verified", "first seen",
    ]  # fmt: skip
    assert text.startswith("nd-ph-1   pH node in gh-7 / zn-9\n")
    assert "esp32-1 · firmware 1.0.0" in text
    assert "v2 rolled back" in text
    assert ": no broker, v1 verified" in text
    assert data(gw("nodes", "show", "nd-ph-1", "--json"))["configs"][0]["revision"] == 2


def test_nodes_show_what_its_beats_say(state: Any, gw: Any) -> None:
    """Heap, signal, interval and missed beats come from the heartbeat plugin's table."""
    state.run((BEATS.read_text(),))
    state.node(1, boot_id="5f1c09aa", last_seen_at=NOW)
    state.add(
        "heartbeat_nodes", node_id=1, life="online", declared=15.0, beats=771, free_heap=64_512,
        min_free_heap=41_984, rssi=-61, since=NOW,
    )  # fmt: skip
    text = gw("nodes", "show", "nd-ph-1").stdout
    assert "heap 63 KB (lowest 41 KB) · RSSI -61 dBm" in text
    assert ", boot 5f1c09aa, beats every 15 s, 0 missed of 771" in text
    assert gw("nodes", "list").stdout.rstrip().endswith("\t63 KB")
    node = data(gw("nodes", "show", "nd-ph-1", "--json"))["node"]
    assert (node["interval_seconds"], node["life_since_at"]) == (15.0, "2025-10-09T08:53:20.000Z")


def test_nodes_forget_asks_the_gateway(state: Any, gw: Any, answering: Any) -> None:
    """Forgetting a node is the gateway's work, under the node's name."""
    state.node(1)
    answering.answers["nodes.forget"] = (True, {"uid": "nd-ph-1", "hardware_id": "esp32-1"})
    assert gw("nodes", "forget", "esp32-1", "--yes").stdout == "nd-ph-1 forgotten\n"
    assert answering.asked == [("nodes.forget", "nd-ph-1", {})]


def test_nodes_forget_where_nobody_can_be_asked(state: Any, gw: Any) -> None:
    """No answer on stdin is no yes: exit code 2, and the way to say it beforehand."""
    state.node(1)
    result = gw("nodes", "forget", "nd-ph-1", input="")
    assert result.exit_code == 2
    assert "give --yes" in result.stderr


def test_a_part_of_a_name_is_enough_to_be_understood(state: Any, gw: Any) -> None:
    """An unknown node's error names the nodes that have the word in their name."""
    state.node(1)
    state.node(2)
    result = gw("nodes", "show", "nd-ph")
    assert result.exit_code == 65
    assert result.stderr.splitlines()[1] == 'why:   did you mean "nd-ph-1" or "nd-ph-2"?'


def test_nodes_forget_asks_first(state: Any, gw: Any, answering: Any) -> None:
    """Without a yes nothing is done."""
    state.node(1)
    result = gw("nodes", "forget", "nd-ph-1", input="n\n")
    assert (result.exit_code, answering.asked) == (0, [])


def test_a_command_without_a_gateway(state: Any, gw: Any) -> None:
    """Three lines on stderr, nothing on stdout, exit code 75."""
    state.node(1)
    result = gw("nodes", "forget", "nd-ph-1", "-y")
    assert (result.exit_code, result.stdout) == (75, "")
    first, second, third = result.stderr.splitlines()
    assert first.startswith("error: queued: no gateway is running in ")
    assert second.startswith("why:   ")
    assert third == "next:  gateway run"


# -- dead letters --------------------------------------------------------------------------------


def letters(state: Any) -> None:
    """One message that a plugin gave up on, one that was refused."""
    state.message(17, "telemetry", {"value": 1, "password": "hunter2"})
    state.dead(17)
    state.add(
        "refused", id=18, at=NOW + 1, topic="hydro/\x1b[2J", payload=b"{nope", word="not_json",
        detail="no JSON (5 bytes)",
    )  # fmt: skip


def test_dead_list(state: Any, gw: Any) -> None:
    """Both kinds of dead letters in one list, newest first."""
    letters(state)
    lines = [line.split("\t") for line in gw("dead", "list").stdout.splitlines()]
    assert [(line[0], line[2], line[3], line[4]) for line in lines] == [
        ("r18", "-", "-", "refused: not_json: no JSON (5 bytes)"),
        ("17", "esp32-1", "telemetry", "plugin weather: KeyError: 'unit'"),
    ]
    assert [x["id"] for x in data(gw("dead", "list", "--json"))["dead"]] == ["r18", "17"]
    assert gw("dead", "list", "--plugin", "other").stderr == "no dead letters\n"


def test_dead_show(state: Any, gw: Any) -> None:
    """A dead letter shows its payload without its secrets, and nothing steers the terminal."""
    letters(state)
    given_up = gw("dead", "show", "17").stdout
    assert "hunter2" not in given_up
    assert "plugin    weather: KeyError: 'unit' (5 tries)" in given_up
    refused = gw("dead", "show", "r18").stdout
    assert "{nope" in refused
    assert "\x1b" not in refused
    assert data(gw("dead", "show", "17", "--json"))["payload"]["value"] == 1


def test_dead_letters_that_are_not_there(state: Any, gw: Any) -> None:
    """A wrong id is exit code 65 with the way to the right ones."""
    letters(state)
    for number in ("99", "r99", "seventeen"):
        result = gw("dead", "show", number)
        assert result.exit_code == 65
        assert result.stderr.splitlines()[-1] == "next:  gateway dead list"


def test_dead_drop_of_what_is_not_there(gw: Any, answering: Any) -> None:
    """An id that names nothing is an error, not a success about nothing."""
    answering.answers["dead.drop"] = (True, {"dropped": 0})
    result = gw("dead", "drop", "r99")
    assert result.exit_code == 65
    assert result.stderr.startswith("error: there is no dead letter r99\n")


def test_events_of_a_kind_that_nobody_sends(state: Any, gw: Any) -> None:
    """Nothing found is said, with the kind that may have been meant."""
    state.message(1, "heartbeat", {})
    result = gw("events", "--kind", "heartbea")
    assert result.stdout == ""
    assert result.stderr == 'no messages of kind heartbea; did you mean "heartbeat"?\n'


def test_dead_replay_and_drop(state: Any, gw: Any, answering: Any) -> None:
    """Replay and drop name what they mean; a refused message can only be dropped."""
    letters(state)
    answering.answers = {
        "dead.replay": (True, {"replayed": 1}),
        "dead.drop": (True, {"dropped": 1}),
    }
    assert gw("dead", "replay", "17").stdout == "1 delivery tried again\n"
    assert gw("dead", "replay", "--plugin", "weather").exit_code == 0
    assert gw("dead", "drop", "r18").stdout == "1 dead letter dropped\n"
    assert gw("dead", "drop", "--all", "--yes").exit_code == 0
    assert gw("dead", "replay", "r18").exit_code == 65
    assert [(verb, args) for verb, _, args in answering.asked] == [
        ("dead.replay", {"id": 17}),
        ("dead.replay", {"plugin": "weather"}),
        ("dead.drop", {"refused": 18}),
        ("dead.drop", {"all": True}),
    ]


def test_dead_replay_needs_one_choice(gw: Any) -> None:
    """Neither nothing nor two choices at once: a usage error, exit code 2."""
    assert gw("dead", "replay").exit_code == 2
    assert gw("dead", "replay", "17", "--all").exit_code == 2


# -- events and publish --------------------------------------------------------------------------


def test_events(state: Any, gw: Any) -> None:
    """The last messages, oldest first, filtered, without secrets."""
    state.node(1)
    state.message(1, "node_hello", {"hardware_id": "esp32-1"})
    state.message(2, "heartbeat", {"uptime": 1}, copies=3)
    state.message(3, "config_report", {"node_secret": "hunter2"})
    lines = gw("events").stdout.splitlines()
    assert len(lines) == 3
    assert "hunter2" not in "".join(lines)
    assert "heartbeat (x3)   esp32-1  " in lines[1]
    assert len(gw("events", "--kind", "heartbeat").stdout.splitlines()) == 1
    assert len(gw("events", "--node", "nd-ph-1", "-n", "2").stdout.splitlines()) == 2
    document = json.loads(gw("events", "--kind", "node_hello", "--json").stdout)
    assert document["schema"] == "gateway.event/1"
    assert document["payload"] == {"hardware_id": "esp32-1"}


def test_publish(gw: Any, answering: Any) -> None:
    """A JSON object goes to the gateway as it is, from an argument or from stdin."""
    answering.answers["publish"] = (True, {"topic": "hydro/x"})
    assert gw("publish", "hydro/x", '{"a": 1}').stdout == "queued for hydro/x\n"
    assert gw("publish", "hydro/x", "-", "--retain", input='{"a": 2}').exit_code == 0
    assert [args for _, _, args in answering.asked] == [
        {"topic": "hydro/x", "payload": {"a": 1}, "retain": False},
        {"topic": "hydro/x", "payload": {"a": 2}, "retain": True},
    ]


def test_publish_refuses_what_is_no_message(gw: Any) -> None:
    """A topic with wildcards, no JSON, no object and NaN are exit code 65 before anything is asked."""
    for topic, text in (("hydro/#", "{}"), ("x", "{nope"), ("x", "[1]"), ("x", '{"a": NaN}')):
        assert gw("publish", topic, text).exit_code == 65, (topic, text)


# -- status and version --------------------------------------------------------------------------

FACTS = {
    "connected": True,
    "broker": "embedded nats-server 2.15 on 127.0.0.1:1883",
    "uptime_seconds": 11_520.0,
    "trouble": None,
    "plugins": {"hello": "ready", "weather": "ready"},
    "switched_off": {"weather": "KeyError: 'unit'"},
}


def test_status(state: Any, gw: Any, answering: Any) -> None:
    """One screen with the gateway, its broker, what is switched off, and what waits."""
    state.node(1)
    letters(state)
    answering.answers["status"] = (True, FACTS)
    result = gw("status")
    assert result.exit_code == 0
    for part in (
        "(3 h 12 min), process 4711",
        "embedded nats-server 2.15 on 127.0.0.1:1883, connected",
        "weather SWITCHED OFF: KeyError: 'unit' (gateway plugins reset weather)",
        "1: 1 online",
        "1 given up, 1 refused (not_json 1)",
    ):
        assert part in result.stdout
    assert data(gw("status", "--json"))["gateway"]["connected"] is True


def test_status_without_a_gateway(state: Any, gw: Any) -> None:
    """What the store holds is shown, and the exit code is 69."""
    state.node(1)
    result = gw("status")
    assert result.exit_code == 69
    assert "does not run" in result.stdout
    assert "1: 1 online" in result.stdout


def test_status_of_a_gateway_without_its_broker(gw: Any, answering: Any) -> None:
    """A gateway that is not connected is exit code 69, and says since when and why."""
    error = {"what": "x", "why": "Connection refused", "next": "", "exit_code": 69}
    away = {"connected": False, "away_seconds": 192.0, "link_error": error}
    answering.answers["status"] = (True, FACTS | away)
    result = gw("status")
    assert result.exit_code == 69
    assert "NOT CONNECTED for 3 min 12 s (Connection refused); it is tried again" in result.stdout


def test_version(gw: Any) -> None:
    """The version alone, or with what it uses."""
    assert gw("version").stdout.startswith("gateway 0.")
    assert data(gw("version", "--json"))["uses"]["click"]
