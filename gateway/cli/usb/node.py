"""`gateway node`: boards on USB; ports, deploy, provision, logs, repl; image.

Rules of this file. `node` is the board in your hand, `nodes` are those that the gateway knows. Secrets
come from files or from a question, never from the command line.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli import Group, examples, json_option, output
from gateway.cli.operator import Operator
from gateway.cli.story import REGISTERED
from gateway.cli.usb.image.command import image
from gateway.errors import BoardError, DataError, GatewayError

_LOOPBACK = ("localhost", "::1", "127.")


@click.group(
    cls=Group,
    epilog=examples(
        "gateway node ports",
        "gateway node deploy --type ph --ssid greenhouse",
        "gateway node logs",
    ),
)
def node() -> None:
    """A board on USB: put the node on it, tell it its settings, watch it."""


node.add_command(image)


@node.command("ports", epilog=examples("gateway node ports", "gateway node ports --json"))
@json_option
@click.pass_obj
def ports(operator: Operator) -> None:
    """The boards that are plugged in; asking restarts the node that runs on one."""
    from gateway.cli.usb import board

    rows = [_about(port) for port in board.ports()]

    def text() -> None:
        if not rows:
            operator.say("no board is plugged in")
            return
        head = ("PORT", "BOARD", "MICROPYTHON", "NODE")
        keys = ("port", "board", "micropython", "node")
        operator.table(head, [[row[key] for key in keys] for row in rows])

    operator.show("gateway.node.ports/1", {"ports": rows}, text)


def _about(port: Any) -> dict[str, Any]:
    """A port's row; a board that does not answer has no MicroPython to tell of."""
    from gateway.cli.usb.board import Board

    row = {"port": port.device, "usb": port.usb, "board": port.about or None}
    board = Board(port)
    try:
        facts = board.look()
        if facts.has_node:
            board.reset()
    except BoardError as error:
        return row | {"micropython": None, "node": None, "error": error.what}
    kind = facts.settings.get("node_type", "unknown") if facts.has_node else None
    return row | {"board": facts.machine, "micropython": facts.version, "node": kind}


def _given(command: Any) -> Any:
    """The options that `deploy` and `provision` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return json_option(command)


_OPTIONS = (
    click.option("--port", metavar="DEVICE", help="Which board, where there are several."),
    click.option("--type", "node_type", metavar="TYPE", help="climate, ph, ec, relay ..."),
    click.option("--ssid", metavar="NAME", help="The Wi-Fi; its password is asked for."),
    click.option(
        "--wifi-password-file",
        type=click.Path(exists=True, dir_okay=False),
        help="Instead of the question.",
    ),
    click.option("--broker", metavar="HOST[:PORT]", help="Where it finds the broker."),
    click.option("--led", metavar="PIN", help="Its light: LED on a Pico W, 2 on many ESP32; off."),
    click.option(
        "--settings", type=click.Path(exists=True, dir_okay=False), help="A node.json to use."
    ),
    click.option("--wait", default=90.0, metavar="SECONDS", help="For its hello (90; 0: not)."),
)


@node.command(
    "deploy",
    epilog=examples(
        "gateway node deploy --type ph --ssid greenhouse",
        "gateway node deploy --settings my-node.json --port /dev/ttyACM1",
        "gateway node deploy                 an update: settings and configs stay",
    ),
)
@_given
@click.pass_obj
def deploy(operator: Operator, /, **given: Any) -> None:
    """Put the node on a board: files, settings, reset, and wait for its hello.

    What is the same on the board is not copied again, and settings that are not given stay.
    """
    _go(operator, given, files=True)


@node.command("provision", epilog=examples("gateway node provision --broker pi.local:1883"))
@_given
@click.pass_obj
def provision(operator: Operator, /, **given: Any) -> None:
    """Give a board new settings (Wi-Fi, broker, type), and leave its files as they are."""
    _go(operator, given, files=False)


def _go(operator: Operator, given: dict[str, Any], *, files: bool) -> None:
    from gateway.cli.usb.board import Board, choose
    from gateway.cli.usb.deploy import Deployment

    board = Board(choose(given["port"]))
    work = Deployment(operator, board, _Steps(operator, files=files))
    facts = work.look()
    try:
        wanted, ca = _wanted(operator, given, facts.settings)
        copied = work.files() if files else 0
        hardware_id = work.settings(facts.settings, wanted, ca)
    except (GatewayError, click.ClickException):
        if facts.has_node:
            work.restart()  # it goes on as it was
        raise
    newest = work.restart()
    result: dict[str, Any] = {"port": board.port.device, "hardware_id": hardware_id}
    result |= {"micropython": facts.version, "copied": copied, "node": None}
    if given["wait"] and operator.running:
        result["node"] = work.wait(hardware_id, newest, given["wait"])
    elif given["wait"]:
        operator.say(f"no gateway runs on {operator.state_dir}: its hello is not waited for")
    operator.show("gateway.node.deploy/1", result, lambda: _told(operator, result))


class _Steps:
    """`1/5 board      ...`: a step has a number, and keeps it while it goes on."""

    def __init__(self, operator: Operator, *, files: bool) -> None:
        self._operator = operator
        self._names = ["board", "files", "settings", "reset", "hello"]
        if not files:
            self._names.remove("files")
        self._open = sys.stderr.isatty() and not operator.quiet

    def say(self, name: str, text: str) -> None:
        """A step is done, or has something to tell."""
        self._operator.say(("\r\x1b[K" if self._open else "") + self._line(name, text))

    def go_on(self, name: str, text: str) -> None:
        """How far a step is: a line that is written over, at a terminal only."""
        if self._open:
            click.echo(f"\r\x1b[K{self._line(name, text)}", err=True, nl=False)

    def _line(self, name: str, text: str) -> str:
        place = f"{self._names.index(name) + 1}/{len(self._names)}"
        return f"{place} {name:<10} {output.clean(text)}"


def _told(operator: Operator, result: dict[str, Any]) -> None:
    row = result["node"]
    if row is None:
        click.echo(f"{result['hardware_id']} runs")
        return
    click.echo(f"{output.clean(row['uid'] or result['hardware_id'])} is {row['lifecycle_state']}")
    name = row["uid"] or result["hardware_id"]
    is_in = row["lifecycle_state"] in REGISTERED
    operator.hint(f"gateway nodes {'show' if is_in else 'approve'} {name}")


def _wanted(
    operator: Operator, given: dict[str, Any], before: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """(what goes into node.json on top of what is there, the CA's file or "")."""
    from gateway.cli.usb.deploy import given_settings

    made = given_settings(given["settings"]) if given["settings"] else {}
    if given["node_type"]:
        made["node_type"] = given["node_type"]
    if given["ssid"]:
        made["wifi"] = [{"ssid": given["ssid"], "pass": _wifi_password(given)}]
    if given["led"]:
        made["led"] = _pin(given["led"])
    mqtt, security = operator.loaded.settings.mqtt, operator.loaded.settings.security
    made.setdefault("root", mqtt.root)
    if security.registration == "claim":
        made["claim_key"] = security.claim_key
    there = {**(before.get("mqtt") or {}), **(made.get("mqtt") or {})}
    if given["broker"]:
        host, _, port = given["broker"].partition(":")
        if port and not port.isdecimal():
            raise click.BadParameter("write HOST or HOST:PORT", param_hint="--broker")
        made["mqtt"] = {**(made.get("mqtt") or {}), "host": host, "port": int(port or 1883)}
    elif not there.get("host"):
        made["mqtt"] = {**(made.get("mqtt") or {}), **_our_broker(operator)}
    secure = {**there, **(made.get("mqtt") or {})}.get("tls")
    return made, mqtt.tls_ca if secure else ""


def _pin(text: str) -> int | str | None:
    """As node.json has it: a number, a name; None takes it away."""
    return int(text) if text.isdecimal() else None if text == "off" else text


def _wifi_password(given: dict[str, Any]) -> str:
    if given["wifi_password_file"]:
        return Path(given["wifi_password_file"]).read_text().rstrip("\n")
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: give --wifi-password-file")
    return str(click.prompt(f"password of {given['ssid']}", hide_input=True, default="", err=True))


def _our_broker(operator: Operator) -> dict[str, Any]:
    """The gateway's broker as a board may reach it. Raises DataError for one on the loopback."""
    from gateway.cli.fleet import find_broker

    broker = find_broker(operator)
    if broker.host.startswith(_LOOPBACK):
        raise DataError(
            f"a board cannot reach the broker at {broker.host}:{broker.port}",
            why="that is this machine's loopback; a board needs one that listens on the network",
            hint=f"sudo apt install mosquitto, let it listen, then: --broker {_own_address()}:1883",
        )
    mqtt = operator.loaded.settings.mqtt
    found: dict[str, Any] = {"host": broker.host, "port": broker.port}
    if broker.username:
        found |= {"username": broker.username, "password": broker.password}
    return found | ({"tls": True} if mqtt.tls else {})


def _own_address() -> str:
    """This machine's address on the network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


@node.command("logs", epilog=examples("gateway node logs", "gateway node logs --port /dev/ttyACM1"))
@click.option("--port", metavar="DEVICE", help="Which board, where there are several.")
@click.pass_obj
def logs(operator: Operator, port: str | None) -> None:
    """What the board prints, until Ctrl+C; the node is not disturbed."""
    from threading import Event

    from gateway.cli.usb.board import choose
    from gateway.cli.usb.listen import Listener

    chosen = choose(port)
    operator.say(f"listening on {chosen.device}; Ctrl+C ends it")

    def show(line: str) -> None:
        click.echo(line)
        sys.stdout.flush()

    with Listener(chosen.device, show):
        Event().wait()


@node.command("repl", epilog=examples("gateway node repl"))
@click.option("--port", metavar="DEVICE", help="Which board, where there are several.")
@click.pass_obj
def repl(operator: Operator, port: str | None) -> None:
    """The board's own prompt; Ctrl-X leaves it.

    Ctrl+C stops the node. A board whose watchdog has begun starts again some seconds later.
    """
    from gateway.cli.usb.board import choose, repl_command

    chosen = choose(port)
    operator.say(f"{chosen.device}: Ctrl-X leaves, Ctrl-C stops the node, Ctrl-D starts it again")
    command = repl_command(chosen.device)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own Python; it needs this very terminal
