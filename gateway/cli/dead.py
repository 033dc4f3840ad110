"""`gateway dead`: what plugins gave up on and what was refused; show, replay, drop.

Rules of this file. Two kinds share one list: deliveries in state `dead` (their id is that of the
message) and refused messages (their id begins with "r", they cannot be replayed). Payloads are shown
with secrets hidden.
"""

from __future__ import annotations

import time
from typing import Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import DataError

_DEAD = (
    "SELECT d.journal_id, d.plugin, d.lane, d.attempts, d.error, j.at, j.kind, j.topic, j.payload "
    "FROM delivery d LEFT JOIN journal j ON j.id = d.journal_id WHERE d.state = 'dead'"
)


@click.group(
    cls=Group,
    epilog=examples(
        "gateway dead list",
        "gateway dead show 17",
        "gateway dead replay 17",
        "gateway dead replay --plugin weather",
        "gateway dead drop r18",
    ),
)
def dead() -> None:
    """Messages that were refused or given up; replay or drop them."""


@dead.command(
    "list", epilog=examples("gateway dead list --plugin weather", "gateway dead list -n 5")
)
@click.option("--plugin", metavar="NAME", help="What this plugin gave up on, only.")
@click.option("-n", "--limit", default=50, help="At most so many, the newest (50).")
@json_option
@click.pass_obj
def list_(operator: Operator, plugin: str | None, limit: int) -> None:
    """One line for each message that nobody will look at again by itself."""
    now = time.time()
    found = letters(operator, plugin, limit)

    def text() -> None:
        if not found:
            operator.say("no dead letters")
            return
        operator.table(
            ("ID", "WHEN", "NODE", "KIND", "WHY", "TRIES"),
            [
                (x["id"], output.clock(x["at"], now), x["node"], x["kind"], x["why"], x["tries"])
                for x in found
            ],
        )
        first = next((x for x in found if x["plugin"]), None)
        steps = [f"gateway dead show {found[0]['id']}"]
        if first is not None:
            steps.append(f"gateway dead replay {first['id']}")
            steps.append(f"gateway dead replay --plugin {first['plugin']}")
        operator.hint(" · ".join(steps))

    data = [x | {"at": output.rfc3339(x["at"])} for x in found]
    operator.show("gateway.dead.list/1", {"dead": data}, text)


def letters(operator: Operator, plugin: str | None, limit: int) -> list[dict[str, Any]]:
    """Both kinds in one form, newest first."""
    where, params = (" AND d.plugin = ?", (plugin,)) if plugin else ("", ())
    given_up = operator.read(f"{_DEAD}{where} ORDER BY d.journal_id DESC LIMIT ?", *params, limit)
    found = [
        {
            "id": str(row["journal_id"]),
            "at": row["at"],
            "node": None if row["lane"].startswith("$") else row["lane"],
            "kind": row["kind"],
            "plugin": row["plugin"] if row["plugin"] != "-" else None,
            "why": output.clean(
                _reason(row["error"])
                if row["plugin"] == "-"
                else f"plugin {row['plugin']}: {_reason(row['error'])}"
            ),
            "tries": row["attempts"],
        }
        for row in given_up
    ]
    if not plugin:
        refused = operator.read(
            "SELECT id, at, topic, word, detail FROM refused ORDER BY id DESC LIMIT ?", limit
        )
        found += [
            {
                "id": f"r{row['id']}",
                "at": row["at"],
                "node": None,
                "kind": None,
                "plugin": None,
                "why": output.clean(f"refused: {row['word']}: {row['detail']}"),
                "tries": 1,
            }
            for row in refused
        ]
    found.sort(key=lambda letter: letter["at"] or 0.0, reverse=True)
    return found[:limit]


@dead.command("show", epilog=examples("gateway dead show 17", "gateway dead show r18 --json"))
@click.argument("number", metavar="ID")
@json_option
@click.pass_obj
def show(operator: Operator, number: str) -> None:
    """One message: where it came from, what it says, why nobody takes it."""
    data = _refused(operator, number) if _is_refused(number) else _given_up(operator, number)

    def text() -> None:
        for key, value in data.items():
            if key == "payload" and not isinstance(value, str):
                value = output.dumps(value, indent=None)
            elif key == "failures":
                continue
            click.echo(f"{key:<9} {output.clean('-' if value is None else value)}")
        for failure in data.get("failures", ()):
            tries = output.count(failure["tries"], "try", "tries")
            click.echo(f"plugin    {failure['plugin']}: {failure['error']} ({tries})")
            for line in failure["traceback"]:
                click.echo(f"          {line}")
        if data.get("failures"):
            operator.hint(f"gateway dead replay {number} · gateway dead drop {number}")

    operator.show("gateway.dead.show/1", data, text)


def _reason(error: str) -> str:
    """The first line; the traceback of the last attempt stands behind it."""
    return error.partition("\n")[0]


def _is_refused(number: str) -> bool:
    return number[:1] in ("r", "R")


def _number(number: str) -> int:
    digits = number[1:] if _is_refused(number) else number
    if not digits.isdecimal():
        raise DataError(
            f"{output.clean(number)!r} is no id",
            why="an id is a number (17), for a refused message with an r in front (r18)",
            hint="gateway dead list",
        )
    return int(digits)


def _none(number: str) -> DataError:
    return DataError(
        f"there is no dead letter {number}",
        why="it was replayed, dropped or pruned, or never was",
        hint="gateway dead list",
    )


def _refused(operator: Operator, number: str) -> dict[str, Any]:
    rows = operator.read("SELECT * FROM refused WHERE id = ?", _number(number))
    if not rows:
        raise _none(number)
    row = rows[0]
    return {
        "id": f"r{row['id']}",
        "at": output.rfc3339(row["at"]),
        "topic": output.clean(row["topic"]),
        "word": row["word"],
        "why": output.clean(row["detail"]),
        "payload": output.readable(row["payload"]),
    }


def _given_up(operator: Operator, number: str) -> dict[str, Any]:
    rows = operator.read(f"{_DEAD} AND d.journal_id = ?", _number(number))
    if not rows:
        raise _none(number)
    row = rows[0]
    failures = [
        {
            "plugin": r["plugin"],
            "error": output.clean(_reason(r["error"])),
            "tries": r["attempts"],
            "traceback": [output.clean(line) for line in r["error"].split("\n")[1:]],
        }
        for r in rows
    ]
    return {
        "id": number,
        "at": output.rfc3339(row["at"]),
        "node": None if row["lane"].startswith("$") else row["lane"],
        "kind": row["kind"],
        "topic": None if row["topic"] is None else output.clean(row["topic"]),
        "payload": None if row["payload"] is None else output.readable(row["payload"]),
        "failures": failures,
    }


def _choice(number: str | None, plugin: str | None, everything: bool) -> dict[str, Any]:
    """The arguments of the command that name dead letters. Raises UsageError unless just one."""
    if sum((number is not None, plugin is not None, everything)) != 1:
        raise click.UsageError("say which: an ID, --plugin NAME or --all")
    if everything:
        return {"all": True}
    if plugin is not None:
        return {"plugin": plugin}
    assert number is not None
    return {"refused" if _is_refused(number) else "id": _number(number)}


@dead.command("replay", epilog=examples("gateway dead replay 17", "gateway dead replay --all"))
@click.argument("number", metavar="[ID]", required=False)
@click.option("--plugin", metavar="NAME", help="Everything that this plugin gave up on.")
@click.option("--all", "everything", is_flag=True, help="Everything that plugins gave up on.")
@json_option
@click.pass_obj
def replay(operator: Operator, number: str | None, plugin: str | None, everything: bool) -> None:
    """Give messages to their plugins again, in the order in which they came."""
    args = _choice(number, plugin, everything)
    if "refused" in args:
        raise DataError(
            f"{number} was refused and cannot be replayed",
            why="no plugin ever saw it; the sender has to send it right",
            hint=f"gateway dead show {number}",
        )
    result = operator.order("dead.replay", **args)
    if not result.get("replayed") and number is not None:
        raise _none(number)
    operator.show(
        "gateway.dead.replay/1",
        result,
        lambda: click.echo(
            f"{output.count(result['replayed'], 'delivery', 'deliveries')} tried again"
        ),
    )


@dead.command(
    "drop", epilog=examples("gateway dead drop r18", "gateway dead drop --plugin weather")
)
@click.argument("number", metavar="[ID]", required=False)
@click.option("--plugin", metavar="NAME", help="Everything that this plugin gave up on.")
@click.option("--all", "everything", is_flag=True, help="Everything, refused messages included.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def drop(
    operator: Operator, number: str | None, plugin: str | None, everything: bool, yes: bool
) -> None:
    """Remove dead letters for good."""
    args = _choice(number, plugin, everything)
    if not yes and number is None and not operator.confirm("drop all of them?"):
        return
    result = operator.order("dead.drop", **args)
    if not result.get("dropped") and number is not None:
        raise _none(number)
    operator.show(
        "gateway.dead.drop/1",
        result,
        lambda: click.echo(f"{output.count(result['dropped'], 'dead letter')} dropped"),
    )
