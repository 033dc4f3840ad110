"""`gateway nodes`: list, show, watch, forget. Plugins add commands to this group.

Rules of this file. Only the store is read; a plugin's tables may be missing, and then its columns
show "-". `fleet` is the one query behind the list, the live table and the story of `gateway run`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.cli.portrait import name_of, portrait

HEAD = ("NODE", "TYPE", "STATE", "LIFE", "CONFIG", "LAST SEEN", "HEAP FREE")
_WAIT = 1.0
_CORE = (
    "n.id, n.uid, n.hardware_id, n.name, n.type, n.lifecycle_state, n.life, n.gh, n.zone, "
    "n.pending_gh, n.pending_zone, n.fw_version, n.boot_id, n.protocol, "
    "n.first_seen_at, n.last_seen_at, n.created_at"
)
_BEATS = {
    "free_heap": "b.free_heap",
    "min_free_heap": "b.min_free_heap",
    "rssi": "b.rssi",
    "beats": "b.beats",
    "missed": "b.missed",
    "uptime_seconds": "b.uptime",
    "interval_seconds": "coalesce(b.declared, b.learnt)",
    "life_since_at": "nullif(b.since, 0)",
}
"""Our names for what the heartbeat plugin knows of a node."""


def fleet(operator: Operator, only: int | None = None) -> list[dict[str, Any]]:
    """A row for each node, newest last: the registry with what config and heartbeat know."""
    config = operator.has("config_desired")
    beats = operator.has("heartbeat_nodes")
    columns, joins = [_CORE], ""
    if config:
        columns.append("c.revision AS config_revision, c.state AS config_state")
        joins += " LEFT JOIN config_desired c ON c.node_id = n.id"
    else:
        columns.append("NULL AS config_revision, NULL AS config_state")
    columns += [f"{there if beats else 'NULL'} AS {name}" for name, there in _BEATS.items()]
    if beats:
        joins += " LEFT JOIN heartbeat_nodes b ON b.node_id = n.id"
    where = "" if only is None else f" WHERE n.id = {int(only)}"
    return operator.read(f"SELECT {', '.join(columns)} FROM nodes n{joins}{where} ORDER BY n.id")


def config_word(row: dict[str, Any]) -> str:
    """`v1 verified`, `v2 rolled back`, `-`."""
    if row["config_revision"] is None:
        return "-"
    word = {"applied": "on trial"}.get(row["config_state"], row["config_state"].replace("_", " "))
    return f"v{row['config_revision']} {word}"


def cells(row: dict[str, Any], now: float) -> tuple[str, ...]:
    """The row of the table."""
    seen = row["last_seen_at"]
    return (
        output.clean(name_of(row)),
        output.clean(row["type"]),
        output.clean(row["lifecycle_state"]),
        output.life(row["life"]),
        config_word(row),
        "-" if seen is None else output.span(max(0.0, now - seen)),
        output.size(row["free_heap"] or None),  # CPython has no heap to tell of
    )


def as_json(row: dict[str, Any], now: float) -> dict[str, Any]:
    """The row for machines."""
    kept = {key: value for key, value in row.items() if not key.endswith("_at") and key != "id"}
    for key in ("first_seen_at", "last_seen_at", "life_since_at", "created_at"):
        kept[key] = output.rfc3339(row[key])
    seen = row["last_seen_at"]
    kept["last_seen_seconds"] = None if seen is None else round(max(0.0, now - seen), 3)
    return kept


@click.group(
    cls=Group,
    epilog=examples(
        "gateway nodes list --life offline",
        "gateway nodes show nd-ph-0f3a91c2d412",
        "gateway nodes watch",
        "gateway nodes forget esp32-0f3a91c2d412",
    ),
)
def nodes() -> None:
    """Look at nodes, watch them, forget one."""


@nodes.command(
    "list", epilog=examples("gateway nodes list --type ph", "gateway nodes list --json | jq .nodes")
)
@click.option(
    "--life", type=click.Choice(["online", "late", "asleep", "offline", "seen", "never_seen"])
)
@click.option("--type", "node_type", metavar="TYPE", help="Nodes of this type only.")
@json_option
@click.pass_obj
def list_(operator: Operator, life: str | None, node_type: str | None) -> None:
    """One line for each node."""
    now = time.time()
    rows = [
        row
        for row in fleet(operator)
        if life in (None, row["life"]) and node_type in (None, row["type"])
    ]

    def text() -> None:
        if not rows:
            operator.say("no nodes" + (" match" if life or node_type else " yet"))
            operator.hint("gateway simulate -n 3")
            return
        operator.table(HEAD, [cells(row, now) for row in rows])

    caveat(operator)
    operator.show("gateway.nodes.list/1", {"nodes": [as_json(row, now) for row in rows]}, text)


def caveat(operator: Operator) -> None:
    """Tell a person at a terminal where nobody looks after what is shown just now."""
    if not sys.stderr.isatty() or operator.quiet:
        return
    if not operator.running:
        operator.say(f"no gateway runs on {operator.state_dir}: this is what it knew last")
        return
    answer = operator.ask("status", wait=_WAIT)
    if answer.done and not answer.result.get("connected"):
        away = answer.result.get("away_seconds")
        since = f" for {output.span(away)}" if away is not None else ""
        operator.say(f"the broker is away{since}: this is what was known before")


@nodes.command("show", epilog=examples("gateway nodes show nd-ph-0f3a91c2d412 --json"))
@click.argument("node")
@json_option
@click.pass_obj
def show(operator: Operator, node: str) -> None:
    """Everything about one node."""
    now = time.time()
    known = operator.node(node)
    row = fleet(operator, known["id"])[0]
    row["hardware_revision"] = known["hardware_revision"]
    configs = history(operator, row["id"])
    channels = _channels(operator, row["id"])
    data = {
        "node": as_json(row, now) | {"hardware_revision": known["hardware_revision"]},
        "configs": [_config_json(config) for config in configs],
        "channels": channels,
    }

    caveat(operator)

    def text() -> None:
        for line in portrait(row, configs, channels, now):
            click.echo(line)

    operator.show("gateway.nodes.show/1", data, text)


def history(operator: Operator, node_id: int) -> list[dict[str, Any]]:
    """The node's config revisions without their documents, newest first."""
    if not operator.has("config_revisions"):
        return []
    return operator.read(
        "SELECT revision, sha256, state, author, note, reason, path, queued_at, sent_at, "
        "received_at, applied_at, verified_at, final_at FROM config_revisions "
        "WHERE node_id = ? ORDER BY revision DESC LIMIT 20",
        node_id,
    )


def _channels(operator: Operator, node_id: int) -> list[dict[str, Any]]:
    if not operator.has("config_channels"):
        return []
    return operator.read(
        "SELECT name, type, metric, unit FROM config_channels WHERE node_id = ? AND active = 1 "
        "ORDER BY name",
        node_id,
    )


def _config_json(config: dict[str, Any]) -> dict[str, Any]:
    return {k: output.rfc3339(v) if k.endswith("_at") else v for k, v in config.items()}


@nodes.command("watch", epilog=examples("gateway nodes watch", "gateway nodes watch --every 5"))
@click.option("--every", default=1.0, metavar="SECONDS", help="How often to look (1).")
@click.pass_obj
def watch(operator: Operator, every: float) -> None:
    """The list, kept current until Ctrl+C; elsewhere than on a terminal, a line for each change."""
    from gateway.cli.story import Screen, between

    screen = Screen(operator.paint)
    before: list[dict[str, Any]] = []
    while True:
        now, rows = time.time(), fleet(operator)
        if screen.live:
            screen.draw(HEAD, [cells(row, now) for row in rows], "")
        else:
            for line in between(before, rows, now):
                click.echo(line)
        before = rows
        time.sleep(max(0.1, every))


@nodes.command("forget", epilog=examples("gateway nodes forget nd-ph-0f3a91c2d412 --yes"))
@click.argument("node")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def forget(operator: Operator, node: str, yes: bool) -> None:
    """Remove a node from the registry; it registers itself anew when it says hello again."""
    name = name_of(operator.node(node))
    if not yes and not operator.confirm(f"forget {output.clean(name)}?"):
        return
    result = operator.order("nodes.forget", name)
    operator.show(
        "gateway.nodes.forget/1", result, lambda: click.echo(f"{output.clean(name)} forgotten")
    )
