"""`gateway config ...` and `gateway nodes bind|unbind`.

Rules of this file. It reads the store and asks the gateway; it decides nothing. Documents are shown
through `compare.redacted`, always. Text that came from a node is shown with `repr` manners only.
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Mapping
from typing import IO, Any

import click

from gateway import Answer, DataError, GatewayError, Operator
from gateway_config import compare, views


class NotYet(GatewayError):
    """The node has not answered in the time that was given."""

    exit_code = 75


def register(cli: click.Group) -> None:
    """Add the group `config`, and `bind` and `unbind` to the group `nodes`."""
    nodes = cli.commands.get("nodes")
    if isinstance(nodes, click.Group):
        for command in (bind, unbind):
            if command.name not in nodes.commands:
                nodes.add_command(command)
        # the host's kind of group says "did you mean"
        config.__class__ = type(nodes)
    cli.add_command(config)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(
    epilog=_examples(
        "gateway config show nd-ph-1",
        "gateway config push nd-ph-1 ph.json --wait",
        "gateway config set nd-ph-1 'channels[ph_sensor].poll_interval_ms=5000'",
        "gateway config rollback nd-ph-1 3",
    )
)
def config() -> None:
    """What nodes should run and what they say they run."""


def _json(command: Any) -> Any:
    """`--json`; the host's `show` looks for it in the context."""

    def keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta["gateway.json"] = True

    flag = click.option(
        "--json", is_flag=True, expose_value=False, callback=keep, help="Print JSON."
    )
    return flag(command)


_wait = click.option("--wait/--no-wait", default=False, help="Wait until the node has proved it.")
_timeout = click.option(
    "--timeout", default=180.0, metavar="SECONDS", help="How long to wait (180)."
)


@config.command("show", epilog=_examples("gateway config show nd-ph-1 --reported"))
@click.argument("node")
@click.option("--reported", is_flag=True, help="What the node showed last.")
@click.option("--revision", type=int, metavar="N", help="An old revision.")
@_json
@click.pass_obj
def show(operator: Operator, node: str, reported: bool, revision: int | None) -> None:
    """The document a node should run, secrets hidden."""
    name, found = views.shown(operator, node, reported=reported, revision=revision)
    operator.show(
        "gateway.config.show/1",
        {"node": name, "document": found},
        lambda: click.echo(compare.text_of(found)),
    )


@config.command(
    "status", epilog=_examples("gateway config status", "gateway config status nd-ph-1")
)
@click.argument("node", required=False)
@_json
@click.pass_obj
def status(operator: Operator, node: str | None) -> None:
    """How far each node's config has come."""
    rows = views.status(operator, node)

    def text() -> None:
        if not rows:
            operator.say("no config was pushed yet")
        operator.table(views.STATUS_HEAD, [views.status_cells(row) for row in rows])

    operator.show("gateway.config.status/1", {"nodes": rows}, text)


@config.command("history")
@click.argument("node")
@_json
@click.pass_obj
def history(operator: Operator, node: str) -> None:
    """Every revision of a node's config and what became of it."""
    name, rows = views.history(operator, node)

    def text() -> None:
        operator.table(views.HISTORY_HEAD, [views.history_cells(row) for row in rows])

    operator.show("gateway.config.history/1", {"node": name, "revisions": rows}, text)


@config.command(
    "diff", epilog=_examples("gateway config diff nd-ph-1", "gateway config diff nd-ph-1 3 4")
)
@click.argument("node")
@click.argument("before", type=int, required=False)
@click.argument("after", type=int, required=False)
@_json
@click.pass_obj
def diff(
    operator: Operator,
    node: str,
    before: int | None,
    after: int | None,
) -> None:
    """What differs: reported and desired, or two revisions."""
    name, changes = views.changes(operator, node, before, after)

    def text() -> None:
        if not changes:
            operator.say("no difference")
        operator.table(views.DIFF_HEAD, [views.diff_cells(change) for change in changes])

    data = [{"path": c.path, "before": c.before, "after": c.after} for c in changes]
    operator.show("gateway.config.diff/1", {"node": name, "changes": data}, text)


@config.command("schema", epilog=_examples("gateway config schema --type ph > ph.json"))
@click.option("--type", "kind", default="ph", metavar="TYPE", help="Type of the node.")
@_json
@click.pass_obj
def schema(operator: Operator, kind: str) -> None:
    """A complete document to start from, and what may stand in it."""
    data = {"example": views.template(kind), "required": list(views.REQUIRED), **views.choices()}

    def text() -> None:
        click.echo(compare.text_of(views.template(kind)))
        for line in views.rules():
            operator.say(line)

    operator.show("gateway.config.schema/1", data, text)


@config.command("push", epilog=_examples("gateway config push nd-ph-1 ph.json --wait"))
@click.argument("node")
@click.argument("file", type=click.File("rb"))
@click.option("--rotate", is_flag=True, help="Give the node a new secret with it.")
@_wait
@_timeout
@click.pass_obj
def push(
    operator: Operator, node: str, file: IO[bytes], rotate: bool, wait: bool, timeout: float
) -> None:
    """Queue the document in FILE (- for standard input) for a node."""
    name = getattr(file, "name", "<stdin>")
    made = compare.parsed(file.read(), "standard input" if name == "<stdin>" else name)
    order(operator, "config.push", node, wait, timeout, document=made, rotate=rotate)


@config.command("set", epilog=_examples("gateway config set nd-ph-1 mqtt.port=1884"))
@click.argument("node")
@click.argument("change", metavar="PATH=VALUE")
@_wait
@_timeout
@click.pass_obj
def set_(operator: Operator, node: str, change: str, wait: bool, timeout: float) -> None:
    """Change one value; VALUE is JSON, or text; null takes the key away."""
    path, sign, text = change.partition("=")
    if not sign:
        raise DataError(f"{change!r} changes nothing", why="write PATH=VALUE")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    order(operator, "config.set", node, wait, timeout, path=path, value=value)


@config.command(
    "rollback",
    epilog=_examples("gateway config history nd-ph-1", "gateway config rollback nd-ph-1 3"),
)
@click.argument("node")
@click.argument("revision", type=int)
@_wait
@_timeout
@click.pass_obj
def rollback(operator: Operator, node: str, revision: int, wait: bool, timeout: float) -> None:
    """Queue the document of an old revision again, as a new one."""
    order(operator, "config.rollback", node, wait, timeout, revision=revision)


@config.command("retry")
@click.argument("node")
@_wait
@_timeout
@click.pass_obj
def retry(operator: Operator, node: str, wait: bool, timeout: float) -> None:
    """Try once more what was rejected, rolled back or not answered."""
    order(operator, "config.retry", node, wait, timeout)


@click.command("bind", epilog=_examples("gateway nodes bind nd-ph-1 gh-7/zn-9 --wait"))
@click.argument("node")
@click.argument("place", metavar="GH/ZONE")
@_wait
@_timeout
@click.pass_obj
def bind(operator: Operator, node: str, place: str, wait: bool, timeout: float) -> None:
    """Bind a node to a greenhouse and a zone; done when it reports from there."""
    gh, slash, zone = place.partition("/")
    if not (slash and gh and zone) or "/" in zone:
        raise DataError(f"{place!r} is no place", why="write GH/ZONE, for example gh-7/zn-9")
    order(operator, "nodes.bind", node, wait, timeout, gh=gh, zone=zone)


@click.command("unbind")
@click.argument("node")
@_wait
@_timeout
@click.pass_obj
def unbind(operator: Operator, node: str, wait: bool, timeout: float) -> None:
    """Take a node out of its zone, also if it does not hear it."""
    order(operator, "nodes.unbind", node, wait, timeout)


def order(
    operator: Operator, verb: str, node: str, wait: bool, timeout: float, **args: Any
) -> None:
    """Ask the gateway, say what became of it, and wait for the node where that is wanted."""
    found = operator.node(node)
    answer = operator.ask(verb, found["uid"] or node, author=_author(), **args)
    if not answer.done:
        raise NotYet(
            "the gateway has not answered yet",
            why="the command is kept and will be done",
            hint=f"gateway config status {found['uid']}",
        )
    if not answer.ok:
        raise refused(answer, found["uid"] or node)
    if answer.result.get("note"):
        operator.say(answer.result["note"])
    if "revision" not in answer.result:
        return
    revision = answer.result["revision"]
    if wait:
        views.follow(operator, found, revision, time.monotonic() + timeout, NotYet)
        return
    click.echo(f"v{revision}  {answer.result['state']}  {answer.result['bytes']:,} bytes")
    operator.say(f"next: gateway config status {found['uid']}")


def refused(answer: Answer, node: str) -> DataError:
    """The problems of a document, one to a line; or why nothing can be queued at all."""
    problems = answer.result.get("problems")
    if not isinstance(problems, list):
        return DataError(str(answer.result.get("error", "the gateway refused it")))
    if len(problems) == 1 and not problems[0].get("path"):
        what = f"nothing was queued: {problems[0].get('message', '')}"
        return DataError(what, hint=f"gateway config history {node}")
    width = max((len(_place(p)) for p in problems), default=0)
    lines = [f"  {_place(p):<{width}}   {p.get('message', '')}" for p in problems]
    many = "problem" if len(problems) == 1 else "problems"
    what = "\n".join([f"the config was not queued: {len(problems)} {many}", *lines])
    kind = answer.result.get("type")
    kind = kind if kind in views.EXAMPLES else "ph"
    return DataError(what, hint=f"gateway config schema --type {kind}")


def _place(problem: Mapping[str, Any]) -> str:
    return str(problem.get("path") or "document")


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ""
