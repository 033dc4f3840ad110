"""The steps of `gateway node deploy` and `provision`: from a board with MicroPython to a registered node.

Rules of this file. What is on the board already stays where it is the same (by hash) or was not asked
about (node.json, configs, the node's secret). The node's own code judges its node.json, on the board,
before the board is reset. Nothing is flashed here.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from gateway.cli import output
from gateway.cli.operator import Operator
from gateway.cli.parts import find_device, find_umqtt
from gateway.cli.usb.board import NO_WATCHDOG, Board, Facts
from gateway.cli.usb.listen import Listener
from gateway.errors import BoardError, BusyError, DataError, GatewayError

_HOMES = ("gwnode", "lib/gwnode")
"""Where the node's files may lie on a board, in the order in which MicroPython looks."""
_IMAGES = ("gwnode/__init__.mpy", "/rom/gwnode/__init__.mpy")
"""Where an image of `gateway node image` lies."""
_UMQTT = "lib/umqtt/simple.py"
_SPACE = 24 << 10  # bytes that must stay free: two slots, records, and room to write anew
_POLL = 0.2
_JUDGE = """
from gwnode import board, settings
wrong, name = [], ""
try:
    name = settings.load("node.json.new").get("hardware_id") or board.hardware_id()
except settings.SettingsError as error:
    wrong = error.why
if wrong:
    os.remove("node.json.new")
else:
    try:
        os.remove("node.json")
    except OSError:
        pass
    os.rename("node.json.new", "node.json")
tell([wrong, name])
"""


class Steps(Protocol):
    """Who tells a person how it goes."""

    def say(self, name: str, text: str) -> None:
        """A step is done, or has something to tell."""

    def go_on(self, name: str, text: str) -> None:
        """How far a step is."""


class Deployment:
    """One board on its way."""

    def __init__(self, operator: Operator, board: Board, steps: Steps) -> None:
        self._operator = operator
        self._board = board
        self._steps = steps

    def look(self) -> Facts:
        """Step 1: who is there; a node that runs is stopped, its watchdog with it."""
        facts = self._board.look()
        free = output.size(facts.free)
        self._steps.say("board", f"{facts.machine}, MicroPython {facts.version}, {free} free")
        if facts.has_node:
            # a watchdog that has begun cannot be stopped: the board starts anew without one
            self._board.run(f"open({NO_WATCHDOG!r}, 'w').close()")
            self._board.reset()
            self._board.come_back()
        return facts

    def files(self) -> int:
        """Step 2: the node's files and umqtt.simple; returns how many were copied."""
        known = self._board.look([*(f"{home}/node.py" for home in _HOMES), *_IMAGES]).hashes
        self._refuse_image(known)
        wanted = wanted_files(known)
        facts = self._board.look([*wanted, _UMQTT])
        changed = [
            (str(here), there)
            for there, here in wanted.items()
            if facts.hashes.get(there) != _hash(here)
            and not (there == _UMQTT and there in facts.hashes)
        ]
        needed = sum(Path(here).stat().st_size for here, _ in changed)
        if needed + _SPACE > facts.free:
            raise BoardError(
                "the board is full",
                why=f"{output.size(needed)} to copy, {output.size(facts.free)} free",
                hint=f"gateway node repl --port {self._board.port.device}, and remove what is not needed",
            )
        for number, there in enumerate(self._board.copy(changed), 1):
            self._steps.go_on("files", f"{number} of {len(changed)}   {there}")
        if _UMQTT not in wanted and not self._board.can_import("umqtt.simple"):
            for package in needed_packages():
                self._steps.go_on("files", f"{package}, from micropython-lib")
                self._board.install(package)
        kept = len(wanted) - len(changed)
        self._steps.say(
            "files", f"{output.count(len(changed), 'file')} copied, {kept} were the same"
        )
        return len(changed)

    def _refuse_image(self, there: Mapping[str, str]) -> None:
        """Files beside an image would be found in its place, or never."""
        image = next((path for path in _IMAGES if path in there), None)
        if image is not None:
            device = self._board.port.device
            raise BoardError(
                "this board runs an image, and deploy copies files",
                why=f"there is {image}, and the two would get in each other's way",
                hint=f"settings alone: gateway node provision --port {device}; a new image, or to go"
                " back to files: docs/node/image.md",
            )

    def settings(self, before: Mapping[str, Any], given: Mapping[str, Any], ca: str) -> str:
        """Step 3: node.json, the time and the broker's CA; returns the board's hardware id. Raises DataError."""
        made = merged(before, given)
        if ca:
            self._write("ca.der", der(Path(ca).expanduser()))
        # a board wakes with a wrong clock: with this one its first TLS can check dates
        self._write("clock", b"%d" % time.time())
        self._write("node.json.new", json.dumps(made, indent=1).encode())
        wrong, hardware_id = self._board.run(_JUDGE)
        if wrong:
            raise DataError(
                f"node.json is not complete: {output.count(len(wrong), 'problem')}\n"
                + "\n".join(f"  {output.clean(line)}" for line in wrong),
                hint="give what is missing: gateway node provision --help",
            )
        mqtt = made["mqtt"]
        more = " and ca.der" if ca else ""
        where = f"{mqtt.get('host')}:{mqtt.get('port', 1883)}"
        self._steps.say(
            "settings", f"node.json{more} written ({made.get('node_type')}, broker {where})"
        )
        if not hardware_id:
            raise DataError(
                "the board cannot tell a hardware id of its own",
                why="it has neither a Wi-Fi address nor a serial number",
                hint='write "hardware_id" into node.json, and give it with --settings',
            )
        return str(hardware_id).lower()

    def _write(self, name: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(prefix="gateway-", suffix=f"-{name}") as file:
            file.write(content)
            file.flush()
            for _ in self._board.copy([(file.name, name)]):
                pass

    def restart(self) -> int:
        """Step 4: the watchdog may begin again, once the gateway has answered. Returns where the
        gateway's journal ended before."""
        newest = self._journal_end()
        self._board.run(
            f"import os\nif kept({NO_WATCHDOG!r}) is not None:\n    os.remove({NO_WATCHDOG!r})"
        )
        self._board.reset()
        self._steps.say("reset", "the node starts")
        return newest

    def wait(self, hardware_id: str, newest: int, seconds: float) -> dict[str, Any]:
        """Step 5: until the gateway has registered it. Raises BusyError with the board's last words."""
        began = time.monotonic()
        self._steps.go_on("hello", f"waiting for {hardware_id}")
        with Listener(self._board.port.device) as heard:
            for row in self._hellos(hardware_id, newest, began + seconds):
                after = output.span(time.monotonic() - began)
                self._steps.say("hello", f"{row['uid'] or hardware_id} said hello after {after}")
                return row
            said = heard.last(5)
        raise BusyError(
            f"no hello of {hardware_id} within {output.span(seconds)}",
            why=f"the board says: {' | '.join(said)}" if said else "the board says nothing",
            hint=f"gateway node logs --port {self._board.port.device}",
        )

    def _journal_end(self) -> int:
        if not self._operator.running:
            return 0
        rows = self._operator.read("SELECT coalesce(max(id), 0) AS n FROM journal")
        return int(rows[0]["n"])

    def _hellos(self, hardware_id: str, newest: int, deadline: float) -> Iterator[dict[str, Any]]:
        """The node's row when a hello behind `newest` has been done; nothing after the deadline."""
        while time.monotonic() < deadline:
            found = self._operator.read(
                "SELECT uid, lifecycle_state, type FROM nodes WHERE hardware_id = ?1 AND EXISTS ("
                "SELECT 1 FROM journal WHERE id > ?2 AND kind = 'node_hello' AND state > 0 "
                "AND lane = ?1)",
                hardware_id,
                newest,
            )
            yield from found
            time.sleep(_POLL)


def wanted_files(there: Mapping[str, str]) -> dict[str, Path]:
    """Path on the board -> file here. The node's files go where the board looks first for them."""
    device, umqtt = find_device(), find_umqtt()
    home = next((home for home in _HOMES if f"{home}/node.py" in there), _HOMES[-1])
    gwnode = device / "gwnode"
    found = {
        f"{home}/{path.relative_to(gwnode).as_posix()}": path
        for path in sorted(gwnode.rglob("*.py"))
        if path.name != "pc.py"  # what a PC has instead of MicroPython
    }
    if umqtt is not None:
        found[_UMQTT] = umqtt / "umqtt" / "simple.py"
    found["main.py"] = device / "main.py"
    return found


def needed_packages() -> list[str]:
    """`NAME@VERSION` of what the node needs of micropython-lib, as `mip` would read it."""
    package = json.loads((find_device() / "package.json").read_text())
    return [f"{name}@{version}" for name, version in package["deps"]]


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the board has, with what was given on top; the broker's section is merged by key. What was
    given as None goes."""
    mqtt = {**(before.get("mqtt") or {}), **(given.get("mqtt") or {})}
    both = {**before, **given, "mqtt": mqtt}
    return {name: value for name, value in both.items() if value is not None}


def given_settings(path: str) -> dict[str, Any]:
    """A node.json of this machine. Raises DataError."""
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no JSON", why=str(error), hint="device/node.json is one to start from"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is no JSON object", hint="device/node.json is one to start from")
    return found


def der(path: Path) -> bytes:
    """A CA as boards want it. Raises GatewayError."""
    try:
        text = path.read_bytes()
        return ssl.PEM_cert_to_DER_cert(text.decode()) if text.startswith(b"-----") else text
    except (OSError, ValueError) as error:
        raise GatewayError(
            f"the CA {path} cannot be used",
            why=str(error),
            hint="[mqtt] tls_ca names a PEM file with one certificate",
        ) from error
