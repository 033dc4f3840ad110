"""Commands (A7): who may give one, in which order it is checked, and that it is done once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from node_bench import TEMP, World, canonical, sign

SECRET = "k" * 64


def known(**settings: Any) -> World:
    """A node with a secret and a clock."""
    world = World(**settings)
    world.run(1)
    world.prove(1, SECRET)
    return world


def command(world: World, cmd: str, cmd_id: str = "c-1", **changes: Any) -> dict[str, Any]:
    """Signed as the gateway does."""
    message = {"cmd": cmd, "cmd_id": cmd_id, "params": {}, "ts": world.node.unix(world.now)}
    message |= changes
    message["sig"] = sign(SECRET, canonical(json.dumps(message)))
    return message


def give(world: World, message: Any, channel: str = "system") -> list[tuple[Any, Any]]:
    """(status, error_code) of the answers to it."""
    before = len(world.kinds("command_response"))
    world.say(f"{TEMP}/{channel}/command", message)
    answers = world.kinds("command_response")[before:]
    return [(a.said["status"], a.said.get("error_code")) for a in answers]


def test_report_config_reports() -> None:
    """report_config and its old names: the config, and DONE, in milliseconds, on the command's channel."""
    world = known()
    for number, name in enumerate(("report_config", "config_report", "get_config", "sync_config")):
        before = len(world.kinds("config_report"))
        assert give(world, command(world, name, f"c-{number}")) == [("DONE", None)]
        assert len(world.kinds("config_report")) == before + 1
    answer = world.kinds("command_response")[-1]
    assert answer.topic == f"{TEMP}/system/command_response"
    assert answer.said["ts"] == world.node.unix(world.now) * 1000


def test_restart_answers_first() -> None:
    """restart is answered, then done, and a new boot says hello."""
    world = known()
    assert give(world, command(world, "restart")) == [("DONE", None)]
    assert world.boots == 2
    world.run(1)
    assert world.kinds("node_hello")[-1].said["boot_id"] == "00000002"


def test_a_repeated_command_is_answered_and_not_done_again() -> None:
    """The same cmd_id brings the same answer, and no second effect (field failure E7)."""
    world = known()
    message = command(world, "report_config")
    give(world, message)
    before = len(world.kinds("config_report"))
    assert give(world, message) == [("DONE", None)]
    assert len(world.kinds("config_report")) == before


def test_the_memory_for_repeats_is_bounded_and_forgets_the_oldest() -> None:
    """33 commands: the first one is forgotten, the others are not."""
    world = known()
    messages = [command(world, "report_config", f"c-{n}") for n in range(33)]
    for message in messages:
        give(world, message)
    assert len(world.node.seen) == 32
    before = len(world.kinds("config_report"))
    for message in messages[1:]:
        give(world, message)
    assert len(world.kinds("config_report")) == before


def test_a_stranger_cannot_fill_the_memory() -> None:
    """Only what was signed is remembered."""
    world = known()
    for number in range(100):
        give(world, command(world, "restart", f"s-{number}") | {"sig": "0" * 64})
    assert world.node.seen == []


def test_set_time_is_the_one_command_before_the_clock() -> None:
    """Without a clock everything is time_not_synced, except a signed set_time, which sets it."""
    world = known()
    world.boot()
    world.run(1)
    now = 1_760_000_000
    report = command(world, "report_config", ts=now)
    assert give(world, report) == [("ERROR", "time_not_synced")]
    setting = command(world, "set_time", "c-2", ts=now, params={"unix_ts": now})
    assert give(world, setting) == [("DONE", None)]
    assert world.node.unix(world.now) == now
    assert give(world, report) == [("DONE", None)]


def test_set_time_sets_no_other_time_than_that_of_its_signature() -> None:
    """What was signed for another purpose or long ago does not move the clock elsewhere."""
    world = known()
    before = world.node.wall
    setting = command(world, "set_time", params={"unix_ts": 1_000_000_001})
    assert give(world, setting) == [("INVALID", "invalid_params")]
    assert world.node.wall == before


@pytest.mark.parametrize("away", [-11, 11])
def test_outside_of_ten_seconds(away: int) -> None:
    """A command of another time is not done; ten seconds are still fine."""
    world = known()
    ts = world.node.unix(world.now) + away
    late = command(world, "report_config", ts=ts)
    assert give(world, late) == [("ERROR", "timestamp_expired")]
    fine = command(world, "report_config", "c-2", ts=ts - (1 if away > 0 else -1))
    assert give(world, fine) == [("DONE", None)]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"sig": "0" * 64}, ("ERROR", "invalid_signature")),
        ({"sig": "0" * 63}, ("ERROR", "invalid_hmac_format")),
        ({"sig": 5}, ("ERROR", "invalid_hmac_format")),
        ({"sig": None}, ("ERROR", "invalid_hmac_format")),
        ({"sig": None, "ts": None}, ("ERROR", "hmac_required")),
        ({"ts": "1"}, ("ERROR", "invalid_hmac_format")),
        ({"ts": True}, ("ERROR", "invalid_hmac_format")),
        ({"ts": 1.5}, ("ERROR", "invalid_hmac_format")),
        ({"params": {"x": 1}}, ("ERROR", "invalid_signature")),
        ({"cmd": None}, ("INVALID", "invalid_command_format")),
        ({"cmd": ""}, ("INVALID", "invalid_command_format")),
        ({"cmd": "x" * 64}, ("INVALID", "invalid_command_format")),
        ({"cmd": ["restart"]}, ("INVALID", "invalid_command_format")),
    ],
)
def test_each_broken_field_has_its_answer(changes: dict[str, Any], answer: tuple[str, str]) -> None:
    """One field is broken after signing: one answer with A7's code, nothing done, nothing remembered."""
    world = known()
    message = {k: v for k, v in (command(world, "restart") | changes).items() if v is not None}
    assert give(world, message) == [answer]
    assert (world.boots, world.node.seen) == (1, [])


@pytest.mark.parametrize("cmd_id", [None, "", "x" * 64, "a b", "ä", 5, "a\nb"])
def test_without_a_cmd_id_nobody_can_be_answered(cmd_id: object) -> None:
    """A missing or impossible cmd_id: refused with a line, no answer, nothing done."""
    world = known()
    message = {k: v for k, v in command(world, "restart", cmd_id=cmd_id).items() if v is not None}  # type: ignore[arg-type]
    assert give(world, message) == []
    assert "refused a command: schema cmd_id" in world.log


def test_broken_json_is_answered_where_the_cmd_id_can_be_found() -> None:
    """INVALID/invalid_json, as field firmware does; without a cmd_id, silence."""
    world = known()
    assert give(world, b'{"cmd":"restart","cmd_id": "c-9",}') == [("INVALID", "invalid_json")]
    for hostile in (
        b"{",
        b'{"cmd_id":',
        b'{"cmd_id":"' + b"x" * 70,
        b'"cmd_id" : 5',
        b"\xff",
        b"[" * 99,
    ):
        assert give(world, hostile) == []


@pytest.mark.parametrize(
    ("name", "channel", "params", "answer"),
    [
        ("fly", "system", {}, ("INVALID", "unknown_command")),
        ("run_pump", "pump_acid", {}, ("INVALID", "unsupported_channel_cmd")),
        ("restart", "system", [], ("INVALID", "invalid_params_format")),
        ("restart", "system", None, ("INVALID", "invalid_params_format")),
        ("set_time", "system", {}, ("INVALID", "invalid_params")),
        ("set_time", "system", {"unix_ts": True}, ("INVALID", "invalid_params")),
    ],
)
def test_what_cannot_be_done_is_answered(
    name: str, channel: str, params: object, answer: tuple[str, str]
) -> None:
    """A signed command that this node does not know gets its answer on its own channel."""
    world = known()
    assert give(world, command(world, name, params=params), channel) == [answer]
    assert world.kinds("command_response")[-1].topic == f"{TEMP}/{channel}/command_response"
    assert world.boots == 1


def test_without_a_secret_there_are_no_commands() -> None:
    """A node that nobody gave a secret does nothing for anybody."""
    world = World()
    world.run(1)
    world.answer()
    assert give(world, command(world, "restart")) == [("ERROR", "missing_node_secret")]
