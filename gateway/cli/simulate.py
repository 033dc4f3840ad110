"""`gateway simulate`: light nodes in one process, or real MicroPython, each in a process of its own.

Rules of this file. The light nodes live in a process that we start and that ends with us; what it says
is one JSON document a line. What the nodes' flash holds stays in the state folder, so that the next call
finds the same nodes.
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
from gateway.cli.fleet import TYPES, Broker, Fleet, find_broker, find_device
from gateway.cli.operator import Operator
from gateway.errors import DataError, GatewayError

_MOST_REAL = 255
_LOOK = 0.5
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
    broker = find_broker(operator)
    if not micropython:
        return _light(operator, broker, number, scenario, seconds)
    if scenario:
        raise click.UsageError("scenarios are for light nodes: leave out --micropython")
    if number > _MOST_REAL:
        raise click.UsageError(f"at most {_MOST_REAL} with --micropython, a process for each")
    return _real(operator, broker, number, seconds)


def _real(operator: Operator, broker: Broker, number: int, seconds: float) -> int:
    fleet = Fleet(operator.state_dir / "nodes", number, broker)
    fleet.start()
    _begin(operator, fleet.title, broker)
    began = time.monotonic()
    try:
        while not seconds or time.monotonic() - began < seconds:
            for text in fleet.tend(time.monotonic()):
                operator.say(text)
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        pass
    finally:
        fleet.stop()
        operator.say(f"{'stopping':<17} {output.count(len(fleet), 'node')}")
    return 0


def _begin(operator: Operator, title: str, broker: Broker) -> None:
    operator.say(f"{'nodes':<17} {title}, broker {broker.host}:{broker.port}")
    operator.say("Ctrl+C stops them; look at them with: gateway nodes list")


def _light(
    operator: Operator, broker: Broker, number: int, scenario: str | None, seconds: float
) -> int:
    order = {
        "nodes": number,
        "types": TYPES,
        "folder": str((operator.state_dir / "nodes").resolve()),
        "scenario": scenario,
        "seconds": seconds,
        "settings": {
            "root": broker.root,
            "mqtt": {**broker._asdict(), "keepalive": 60},
            "interval_s": 15,
        },
    }
    last: dict[str, Any] = {}
    with _process(order) as process:
        try:
            for said in _lines(process):
                if "error" in said:
                    raise DataError(said["error"], hint="gateway simulate --help")
                if not last:
                    _begin(operator, f"{number:,} light nodes in one process", broker)
                last = _take(operator, said) or last
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            for said in _lines(process):
                last = _take(operator, said) or last
        finally:
            process.terminate()
    if process.returncode:
        raise GatewayError(
            "the light nodes ended by themselves",
            why=f"their process ended with {process.returncode}; what it said stands above",
        )
    last = last or {"nodes": number, "receipted": 0, "expect_receipts": number, "counts": {}}
    operator.show("gateway.simulate/1", last, lambda: click.echo(_sum(last)))
    return 0 if last["receipted"] >= last["expect_receipts"] else 1


def _process(order: dict[str, Any]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(find_device())}
    process = subprocess.Popen(  # noqa: S603 - our own Python and our own module
        [sys.executable, "-m", _MODULE],
        env=environment,
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
    live = sys.stderr.isatty() and not operator.quiet
    clear = "\r\x1b[K" if live else ""
    if "happened" in said:
        operator.say(f"{clear}{output.clock(time.time())} {said['happened']}")
        return None
    if live:
        text = (
            f"{said['connected']:,} of {said['nodes']:,} connected, {said['receipted']:,} receipted"
        )
        click.echo(clear + text, err=True, nl=False)
    return said


def _sum(last: dict[str, Any]) -> str:
    counts = last["counts"]

    def of(name: str) -> int:
        return int(counts.get(name, 0))

    return (
        f"{last['nodes']:,} nodes, {last['receipted']:,} of {last['expect_receipts']:,} receipted · "
        f"{of('boots'):,} boots · {of('connections'):,} connections · "
        f"{of('said node_hello'):,} hellos, {of('got hello_ack'):,} receipts · "
        f"{of('said heartbeat'):,} beats"
    )
