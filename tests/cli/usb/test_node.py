"""`gateway node`, by the real mpremote on the real MicroPython interpreter behind a PTY."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.usb.advice import Port, flash_command
from gateway.testing.process import GatewayProcess, until
from gateway.testing.usb import UsbBoard

ROOT = Path(__file__).resolve().parents[3]
HARDWARE = "esp32-00d0de000001"
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.timeout(300)  # a dozen Pythons start one after the other


@pytest.fixture
def board(micropython: str, tmp_path: Path) -> Iterator[UsbBoard]:
    """A board with MicroPython and nothing else."""
    with UsbBoard(Path(micropython), tmp_path / "board") as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A node.json: this machine has no Wi-Fi address to be called by."""
    path = tmp_path / "my-node.json"
    path.write_text(json.dumps({"hardware_id": HARDWARE, "interval_s": 5}))
    return path


def port_of(gateway: GatewayProcess) -> int:
    """Its broker's."""
    return int(json.loads(gateway.command("status", "--json").stdout)["gateway"]["port"])


def deployed(
    gateway: GatewayProcess, board: UsbBoard, *words: str
) -> subprocess.CompletedProcess[str]:
    """`gateway node deploy` to that board, on the broker of that gateway."""
    return gateway.command("node", "deploy", "--port", board.device, *words, timeout=110)


def test_from_a_bare_board_to_a_registered_node(
    gateway: GatewayProcess, board: UsbBoard, settings: Path
) -> None:
    """Files, settings, reset, hello: each step is told, and the node is in the registry. A second
    deployment copies only what was changed and keeps the settings, and a broken file is mended."""
    port = port_of(gateway)
    words = (
        "--settings",
        str(settings),
        "--type",
        "ph",
        "--broker",
        f"127.0.0.1:{port}",
        "--led",
        "LED",
    )
    done = deployed(gateway, board, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"nd-ph-{HARDWARE[6:]} is REGISTERED_BACKEND\n"
    assert [line[:5] for line in done.stderr.splitlines() if "copied" in line] == ["2/5 f"]
    for start in ("1/5 board ", "3/5 settings ", "4/5 reset ", "5/5 hello "):
        assert start in done.stderr
    kept = json.loads((board.folder / "node.json").read_text())
    assert kept["led"] == "LED"
    assert (kept["node_type"], kept["mqtt"]) == ("ph", {"host": "127.0.0.1", "port": port})
    assert (board.folder / "main.py").read_bytes() == (ROOT / "device/main.py").read_bytes()
    assert not (board.folder / "no_watchdog").exists()
    assert abs(int((board.folder / "clock").read_text()) - time.time()) < 600

    (board.folder / "lib/gwnode/node.py").write_text("broken")
    gateway.env["UMQTT_DIR"] = str(
        board.folder / "nothing"
    )  # the board has it, nobody else needs to
    again = deployed(gateway, board, "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["schema"], told["copied"]) == ("gateway.node.deploy/1", 1)
    assert told["node"]["lifecycle_state"] == "REGISTERED_BACKEND"
    assert json.loads((board.folder / "node.json").read_text()) == kept


def test_a_bad_node_json_is_refused_by_the_node_itself(
    gateway: GatewayProcess, board: UsbBoard, settings: Path
) -> None:
    """The board's own code judges its settings: exit code 65, each mistake, and the old file stays."""
    (board.folder / "node.json").write_text('{"kept": 1}')
    settings.write_text('{"hardware_id": "a b", "interval_s": "soon"}')
    words = ("--settings", str(settings), "--broker", f"127.0.0.1:{port_of(gateway)}")
    done = deployed(gateway, board, *words)
    assert done.returncode == 65
    assert "error: node.json is not complete: 2 problems" in done.stderr
    assert "interval_s: positive<=3600" in done.stderr
    assert (board.folder / "node.json").read_text() == '{"kept": 1}'


def test_a_hello_that_does_not_come(
    gateway: GatewayProcess, board: UsbBoard, settings: Path
) -> None:
    """A node that cannot reach the broker: exit code 75, with what the board says about it."""
    words = ("--settings", str(settings), "--broker", "127.0.0.1:1", "--wait", "3")
    done = deployed(gateway, board, *words)
    assert done.returncode == 75
    assert f"error: no hello of {HARDWARE} within 3.0 s" in done.stderr
    assert "why:   the board says: " in done.stderr


def test_a_broker_that_no_board_can_reach(gateway: GatewayProcess, board: UsbBoard) -> None:
    """The gateway's broker on the loopback is no address for a board, and nothing is copied."""
    done = deployed(gateway, board)
    assert done.returncode == 65
    assert "a board cannot reach the broker at 127.0.0.1" in done.stderr
    assert not (board.folder / "main.py").exists()


def test_logs_show_what_the_board_prints(board: UsbBoard) -> None:
    """Line by line, until somebody ends it; a pipe gets them too."""
    (board.folder / "main.py").write_text(
        "import time\nwhile True:\n    print('alive')\n    time.sleep_ms(100)\n"
    )
    subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.device, "reset"],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    command = [sys.executable, "-m", "gateway", "node", "logs", "--port", board.device]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert until(lambda: "alive" in process.stdout.readline(), 60)
        process.terminate()


def test_the_list_of_ports(shell: Run) -> None:
    """What mpremote finds on this machine, mostly nothing, is a list with a schema."""
    done = shell("node", "ports", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "gateway.node.ports/1"


def test_a_port_that_is_not_there(shell: Run) -> None:
    """Three lines and exit code 69."""
    done = shell("node", "deploy", "--port", "/dev/ttyNONE", "--broker", "pi.local")
    assert done.returncode == 69
    assert done.stderr.startswith("error: /dev/ttyNONE cannot be opened\nwhy:   failed to access")


def test_a_board_without_micropython(shell: Run) -> None:
    """Something that does not answer like MicroPython: what it lacks, and how to get it there."""
    controller, device = os.openpty()
    try:
        done = shell("node", "deploy", "--port", os.ttyname(device), "--broker", "pi.local")
    finally:
        os.close(controller)
        os.close(device)
    assert done.returncode == 69
    assert "error: no MicroPython answers on /dev/pts/" in done.stderr
    assert "next:  esptool --port /dev/pts/" in done.stderr


@pytest.mark.parametrize(
    ("usb", "expected"),
    [
        ("2e8a:0003", "BOOTSEL"),
        ("303a:1001", "write-flash 0 FIRMWARE.bin"),
        ("10c4:ea60", "chip-id tells the chip"),
    ],
)
def test_the_way_to_flash_depends_on_the_board(usb: str, expected: str) -> None:
    """A Pico is copied to, an ESP32 written to; a chip behind a USB bridge is not guessed."""
    assert expected in flash_command(Port("/dev/ttyACM0", usb, ""))
