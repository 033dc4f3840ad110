"""`gateway simulate`: light nodes in one process, or real MicroPython, each in a process of its own.

Rules of this file. The nodes live in, or below, a process that we start and that ends with us; what it
says is one JSON document a line, the same for both kinds. What the nodes' flash holds stays in the state
folder, so that the next call finds the same nodes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from gateway.cli import examples, json_option, output
from gateway.cli.fleet import TYPES, Broker, find_broker, make_folders, start_line, title
from gateway.cli.operator import Operator
from gateway.cli.parts import find_device, find_parts
from gateway.errors import DataError, GatewayError

_MOST_REAL = 255
_MODULE = "gateway.testing.swarm"


@click.command(
    epilog=examples(
        "gateway simulate -n 5000",
        "gateway simulate -n 500 --scenario storm --for 60",
        "gateway simulate -n 50 --micropython      each on the real interpreter",
        "gateway --state-dir .run simulate         against the gateway that runs there",
    )
)
@click.option(
    "-n", "--nodes", "number", default=3, type=click.IntRange(1, 50_000), help="How many (3)."
)
@click.option(
    "--micropython", is_flag=True, help="Real MicroPython, a process for each; up to 255."
)
@click.option(
    "--scenario",
    metavar="NAME",
    help="What happens to them: storm, flapping, clock jump, version mix, or a file.",
)
@click.option("--for", "seconds", default=0.0, metavar="SECONDS", help="End after so long.")
@json_option
@click.pass_obj
def simulate(
    operator: Operator, number: int, micropython: bool, scenario: str | None, seconds: float
) -> int:
    """Start nodes without hardware.

    They connect to the broker of the running gateway, else to the one in the settings, and go on
    until Ctrl+C. They run the node's own files: light ones share a process and leave out what touches
    hardware. The next call starts the same nodes. Exit code 0 where all of them were registered.
    """
    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs ignore SIGINT
        signal.signal(ending, signal.default_int_handler)
    if micropython and number > _MOST_REAL:
        raise click.UsageError(f"at most {_MOST_REAL} with --micropython, a process for each")
    broker = find_broker(operator)
    order, environment, kind = (_real if micropython else _light)(operator, number, broker)
    order |= {"nodes": number, "scenario": scenario, "seconds": seconds}
    with _process(order, environment) as process:
        last = _follow(operator, process, f"{kind}, broker {broker.host}:{broker.port}")
    if process.returncode not in (0, -signal.SIGTERM):  # ended before it could hear of SIGTERM
        raise GatewayError(
            "the nodes ended by themselves",
            why=f"their process ended with {process.returncode}; what it said stands above",
        )
    last = last or {"nodes": number, "receipted": 0, "expect_receipts": number, "counts": {}}
    operator.show("gateway.simulate/1", last, lambda: click.echo(_sum(last)))
    return 0 if last["receipted"] >= last["expect_receipts"] else 1


_Order = tuple[dict[str, Any], dict[str, str], str]
"""What the process is told, its environment, and what kind of nodes that makes."""


def _light(operator: Operator, number: int, broker: Broker) -> _Order:
    order = {
        "types": TYPES,
        "folder": str((operator.state_dir / "nodes").resolve()),
        "settings": {
            "root": broker.root,
            "mqtt": {**broker._asdict(), "keepalive": 60},
            "interval_s": 15,
        },
    }
    return order, dict(os.environ), f"{output.count(number, 'light node')} in one process"


def _real(operator: Operator, number: int, broker: Broker) -> _Order:
    parts = find_parts()
    folders = [f.resolve() for f in make_folders(operator.state_dir / "nodes", number, broker)]
    lines = {folder: start_line(parts, folder) for folder in folders}
    order = {
        "broker": [broker.host, broker.port],
        "real": {str(folder): command for folder, (command, _) in lines.items()},
    }
    return order, lines[folders[0]][1], title(parts, number)


def _follow(operator: Operator, process: subprocess.Popen[str], title: str) -> dict[str, Any]:
    """Show what it says until it ends; returns its last count."""
    last: dict[str, Any] = {}
    try:
        for said in _lines(process):
            if "error" in said:
                raise DataError(said["error"], hint="gateway simulate --help")
            if not last:
                operator.say(f"{'nodes':<17} {title}")
                operator.say("Ctrl+C stops them; look at them with: gateway nodes list")
            last = _take(operator, said) or last
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        for said in _lines(process):
            last = _take(operator, said) or last
    finally:
        _live(operator, "")
        process.terminate()
    return last


def _process(order: dict[str, Any], environment: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603 - our own Python and our own module
        [sys.executable, "-m", _MODULE],
        env={**environment, "PYTHONPATH": str(find_device())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl+C is for us
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.close()
    return process


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def _take(operator: Operator, said: dict[str, Any]) -> dict[str, Any] | None:
    """Show a line; returns it where it has the counts."""
    _live(operator, "")
    if "happened" in said:
        operator.say(f"{output.clock(time.time())} {said['happened']}")
        return None
    _live(
        operator,
        f"{said['connected']:,} of {said['nodes']:,} connected, {said['receipted']:,} receipted",
    )
    return said


def _live(operator: Operator, text: str) -> None:
    """The line on a terminal that is written over again and again; "" takes it away."""
    if sys.stderr.isatty() and not operator.quiet:
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _sum(last: dict[str, Any]) -> str:
    counts = last["counts"]

    def of(name: str) -> int:
        return int(counts.get(name, 0))

    beats = f" · {of('said heartbeat'):,} beats" if "said heartbeat" in counts else ""
    return (
        f"{output.count(last['nodes'], 'node')}, "
        f"{last['receipted']:,} of {last['expect_receipts']:,} receipted · "
        f"{output.count(of('boots'), 'boot')} · {output.count(of('connections'), 'connection')} · "
        f"{output.count(of('said node_hello'), 'hello')}, "
        f"{output.count(of('got hello_ack'), 'receipt')}{beats}"
    )
