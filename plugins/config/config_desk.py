"""The operator's desk of these tests: the plugin's own commands, answered in the same process."""

from __future__ import annotations

import json
from typing import Any

import click
import gateway_config
import msgspec
from click.testing import CliRunner, Result
from config_bench import UID, Bench, Board
from gateway_config.asked import COMMANDS

from gateway import Answer, DataError


class Desk:
    """What a command finds in `ctx.obj`, with the gateway behind it in the same process."""

    running = True

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.talk: list[str] = []
        self.answers = True

    def read(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        return self.bench.reader.rows(sql, *params)

    def node(self, name: str) -> dict[str, Any]:
        """The one node."""
        if name not in (UID, self.bench.node.hardware_id):
            raise DataError(f"there is no node {name!r}")
        return {"id": 1, "uid": UID, "type": "ph"}

    def ask(self, verb: str, _node: str = "", **args: object) -> Answer:
        """Through JSON, as `commands.db` does it."""
        if not self.answers:
            return Answer(ok=False, done=False)
        args.pop("wait", None)
        made = next(c for c in COMMANDS if c.kind == verb)
        event = msgspec.convert(json.loads(json.dumps(args)), made)
        done = self.bench.deliver(gateway_config.node_message, event)
        assert done is not None
        return Answer(ok=done[0], result=json.loads(json.dumps(done[1])))

    def show(self, schema: str, data: dict[str, Any], text: Any) -> None:
        """JSON where the context says so."""
        if click.get_current_context().meta.get("gateway.json"):
            click.echo(json.dumps({"schema": schema, **data}))
        else:
            text()

    def table(self, _head: Any, rows: Any) -> None:
        """Tab-separated lines."""
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))

    def say(self, line: str) -> None:
        """Talk."""
        self.talk.append(line)


def cli() -> click.Group:
    """A command line with this plugin's commands."""
    root = click.Group("gateway")
    root.add_command(click.Group("nodes"))
    gateway_config.register_commands(root)
    return root


def run(desk: Desk, *words: str, stdin: str = "") -> Result:
    """Run a command."""
    return CliRunner().invoke(cli(), list(words), obj=desk, input=stdin)


def good(desk: Desk, *words: str, stdin: str = "") -> str:
    """Run a command that must succeed; returns its stdout."""
    result = run(desk, *words, stdin=stdin)
    assert result.exception is None, result.exception
    return result.stdout


def data(desk: Desk, *words: str) -> dict[str, Any]:
    """The JSON of a reading command."""
    return dict(json.loads(good(desk, *words, "--json")))


def prove(desk: Desk, board: Board) -> None:
    """The board takes what was sent last and proves it half a second later."""
    assert board.take(desk.bench.sent[-1].payload) == "applied"
    desk.bench.now += 0.4
    desk.bench.report(**board.report("applied"))
    desk.bench.now += 1.0
    board.prove()
    shown = {k: v for k, v in board.document.items() if k != "node_secret"}
    desk.bench.report(**board.report("verified"), **shown)


def fleet(desk: Desk, file: str) -> Board:
    """A node with v1 verified and v2 on its way."""
    board = Board()
    good(desk, "config", "push", UID, file)
    prove(desk, board)
    good(desk, "config", "set", UID, "channels[ph_sensor].poll_interval_ms=9000")
    return board
