"""`gateway nodes approve|reject|readmit|decommission|pending`, added to the `nodes` group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway import Operator

_VERBS = {
    "approve": "Let a waiting node in.",
    "reject": "Keep a node out until it is re-admitted.",
    "readmit": "Take a node back that was rejected, decommissioned, or wiped; forgets its secret.",
    "decommission": "End a node's service; it is refused until it is re-admitted.",
}


def register(cli: click.Group) -> None:
    """Add the verbs where the group is there."""
    nodes = cli.get_command(click.Context(cli), "nodes")
    if not isinstance(nodes, click.Group):
        return
    for verb, text in _VERBS.items():
        nodes.add_command(_command(verb, text))
    nodes.add_command(_pending())


def _command(verb: str, text: str) -> click.Command:
    def run(node: str, yes: bool) -> None:
        operator: Operator = click.get_current_context().obj
        row = operator.node(node)
        if verb in ("reject", "decommission") and not yes:
            click.confirm(f"{verb} {row['uid']}?", abort=True)
        answer = operator.ask(f"nodes.{verb}", row["uid"])
        if not answer.done:
            operator.say("queued; the gateway has not answered yet")
            raise SystemExit(75)
        if not answer.ok:
            operator.say(f"error: {answer.result.get('error', 'refused')}")
            raise SystemExit(65)
        click.echo(f"{answer.result['uid']}  {answer.result['lifecycle_state']}")
        if "note" in answer.result:
            operator.say(answer.result["note"])

    command: Callable[..., Any] = click.argument("node")(run)
    command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
    return click.command(verb, help=f"{text}\n\nExample: gateway nodes {verb} nd-ph-1")(command)


def _pending() -> click.Command:
    @click.command("pending", help="Nodes that wait for approval, or are suspected.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def pending(as_json: bool) -> None:
        operator: Operator = click.get_current_context().obj
        rows = operator.read(
            "SELECT uid, hardware_id, type, coalesce(admission, 'seen') AS admission, "
            "coalesce(suspects, 0) AS suspects FROM nodes LEFT JOIN hello_nodes ON node_id = id "
            "WHERE admission <> 'accepted' OR suspects > 0 "
            "OR (admission IS NULL AND lifecycle_state = 'PROVISIONED_WIFI') ORDER BY created_at"
        )
        if as_json:
            operator.show("gateway.nodes.pending/1", {"nodes": rows}, lambda: None)
            return
        if not rows:
            operator.say("nobody waits")
            return
        operator.table(
            ("NODE", "HARDWARE", "TYPE", "ADMISSION", "SUSPECTS"),
            [list(row.values()) for row in rows],
        )

    return pending
