"""`gateway events` and `gateway publish`: messages as they come in, and one on its way out.

Rules of this file. Events are read from the journal, so what is shown is what is on disk. Payloads
are shown with secrets hidden. JSON comes as one document a line.
"""

from __future__ import annotations

import json
import sys
import time
from difflib import get_close_matches
from typing import Any

import click

from gateway.cli import examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError

_EVENTS = (
    "SELECT id, at, class, kind, lane, topic, payload, copies, flags, state FROM journal "
    "WHERE id > ?1 AND (?2 IS NULL OR lane = ?2) "
    # nobody wants to see that somebody asked for the status, unless he says so
    "AND (kind = ?3 OR (?3 IS NULL AND NOT (class = 'command' AND kind = 'status')))"
)
_PAUSE = 0.2


@click.command(
    epilog=examples(
        "gateway events --follow",
        "gateway events --node nd-ph-0f3a91c2d412 --kind heartbeat",
        "gateway events --follow --json | jq -c .payload",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl+C.")
@click.option("--node", metavar="NODE", help="Messages of this node only.")
@click.option("--kind", metavar="KIND", help="heartbeat, node_hello, config_report, telemetry ...")
@click.option("-n", "--last", default=20, help="Begin with so many from before (20).")
@json_option
@click.pass_obj
def events(operator: Operator, follow: bool, node: str | None, kind: str | None, last: int) -> None:
    """Show messages as they come in."""
    lane = lane_of(operator.node(node)) if node else None
    rows = operator.read(f"{_EVENTS} ORDER BY id DESC LIMIT ?4", 0, lane, kind, max(0, last))[::-1]
    if not rows and not follow:
        operator.say(_nothing(operator, node, kind))
    newest = operator.read("SELECT coalesce(max(id), 0) AS id FROM journal")[0]["id"]
    while True:
        for row in rows:
            click.echo(told(row, operator.wants_json))
            newest = max(newest, row["id"])
        if not follow:
            break
        sys.stdout.flush()
        time.sleep(_PAUSE)
        rows = operator.read(f"{_EVENTS} ORDER BY id LIMIT 1000", newest, lane, kind)


def _nothing(operator: Operator, node: str | None, kind: str | None) -> str:
    """Why no message was found, with what may have been meant."""
    if kind is None:
        return "no messages" + (f" of {output.clean(node)}" if node else " yet")
    known = [row["kind"] for row in operator.read("SELECT DISTINCT kind FROM journal")]
    close = get_close_matches(kind, known, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(sorted(known))}"
    return f"no messages of kind {output.clean(kind)}; {hint if known else 'the journal is empty'}"


def lane_of(node: dict[str, Any]) -> str:
    """The name under which the journal keeps a node's messages."""
    return str(node["hardware_id"] or node["uid"]).lower()


def told(row: dict[str, Any], as_json: bool) -> str:
    """One event as a line for a person or as a JSON document."""
    payload = output.readable(row["payload"])
    node = None if row["lane"].startswith("$") else row["lane"]
    if as_json:
        data = {
            "id": row["id"],
            "at": output.rfc3339(row["at"]),
            "kind": row["kind"],
            "node": node,
            "topic": output.clean(row["topic"]),
            "payload": payload,
            "copies": row["copies"],
            "backlog": bool(row["flags"] & 3),
            "replayed": bool(row["flags"] & 4),
        }
        return output.dumps(output.document("gateway.event/1", data), indent=None)
    text = payload if isinstance(payload, str) else output.dumps(payload, indent=None)
    folded = f" (x{row['copies']})" if row["copies"] > 1 else ""
    who = output.clean(node or "-")
    return f"{output.clock(row['at'])} {row['kind'] + folded:<16} {who}  {output.clean(text)}"


@click.command(
    epilog=examples(
        """gateway publish hydro/gh-1/zn-1/nd-ph-1/pump_acid/command '{"cmd":"dose","ms":500}'""",
        "cat message.json | gateway publish hydro/time/response -",
    )
)
@click.argument("topic")
@click.argument("payload", metavar="JSON")
@click.option("--retain", is_flag=True, help="Let the broker keep it.")
@json_option
@click.pass_obj
def publish(operator: Operator, topic: str, payload: str, retain: bool) -> None:
    """Publish a JSON message through the gateway.

    JSON is an object, or "-" to read it from stdin. It leaves through the gateway's outbox, so it
    reaches the broker even if that is away just now.
    """
    text = sys.stdin.read() if payload == "-" else payload
    check_topic(topic)
    document = parse_object(text)
    result = operator.order("publish", topic=topic, payload=document, retain=retain)
    operator.show(
        "gateway.publish/1", result, lambda: click.echo(f"queued for {output.clean(topic)}")
    )


def check_topic(topic: str) -> None:
    """Raise DataError for what is no topic to publish to."""
    if not topic or any(mark in topic for mark in "+#\x00") or len(topic.encode()) > 65_535:
        raise DataError(
            f"{output.clean(topic)!r} is no topic to publish to",
            why="a topic is not empty and has no + or # in it",
            hint="gateway publish --help",
        )


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object. Raises DataError that says where it is wrong."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "this is no JSON",
            why=f"{error}",
            hint="put it in single quotes, or read it from a file: -",
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            "this is no JSON object", why="it must begin with {", hint="gateway publish --help"
        )
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
