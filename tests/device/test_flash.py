"""Flash: cut the power at every byte of every write, and the node boots with the old or the new."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "device"))

from gwnode import config, flash

BASE = {"node_id": "n", "channels": [], "mqtt": {"host": "h", "port": 1}, "wifi": {"ssid": "s"}}


class Cut(Exception):
    """The power is gone."""


class Power:
    """Replaces `flash.write`: after `left` bytes of all writes together it is dark for good."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.written = 0
        self.dark = False
        self._real: Callable[..., None] = flash.write

    def write(self, path: str, sequence: int, content: bytes) -> None:
        if self.dark:
            raise Cut
        self._real(path, sequence, content)
        data = Path(path).read_bytes()
        self.written += len(data)
        if self.left < len(data):
            # what a torn write leaves: the beginning of the new, and nothing of the old
            Path(path).write_bytes(data[: self.left])
            self.dark = True
            raise Cut
        self.left -= len(data)


def document(revision: int) -> bytes:
    doc = {"node_id": "n", "version": 3, "type": "ph", "gh_uid": "gh-temp", "zone_uid": "zn-temp"}
    doc |= {"channels": [{"name": f"c{revision}"}], "mqtt": {"configured": True}}
    return json.dumps(doc).encode()


def boot(folder: Path) -> Any:
    """What the node finds."""
    found = [config.unpack(n, c) for n, c in flash.Pair(str(folder), "slot").both()]
    newest = flash.Pair(str(folder), "boot").newest()
    record = json.loads(newest[2]) if newest else None
    return config.Store(BASE, [c for c in found if c], record)


def change(folder: Path, store: Any, revision: int) -> None:
    """Take a config: the record first, then the slot, as the node does."""
    text = document(revision)
    kept = {"wifi": {"ssid": "s"}, "mqtt": BASE["mqtt"], "node_secret": "k" * 64}
    made = config.Config(0, revision, config.sha256_hex(text), text, kept, json.loads(text))
    store.begin(made)
    flash.Pair(str(folder), "boot").put(store.record())
    good = json.loads(store.record())["good"]
    flash.Pair(str(folder), "slot").put(config.pack(made), made.slot, keep=good)


def confirm(folder: Path, store: Any) -> None:
    store.confirm()
    flash.Pair(str(folder), "boot").put(store.record())


def roll_back(folder: Path, store: Any) -> None:
    store.fail("rolled_back", "why")
    flash.Pair(str(folder), "boot").put(store.record())


def good_folder(folder: Path) -> None:
    """Revision 1 is proved, revision 2 too: both slots are full."""
    folder.mkdir()
    for revision in (1, 2):
        store = boot(folder)
        change(folder, store, revision)
        confirm(folder, boot(folder))


STEPS: dict[str, tuple[list[Callable[..., None]], set[int]]] = {
    "a change": ([lambda f, s: change(f, s, 3)], {2, 3}),
    "a confirmation": ([lambda f, s: change(f, s, 3), lambda f, _s: confirm(f, boot(f))], {2, 3}),
    "a roll-back": ([lambda f, s: change(f, s, 3), lambda f, _s: roll_back(f, boot(f))], {2, 3}),
}


@pytest.mark.parametrize("name", STEPS)
def test_power_cut_at_every_byte(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the power goes: a config that was proved or is on trial runs, whole, with the Wi-Fi,
    broker and secret that it had; and a second change after that works."""
    steps, allowed = STEPS[name]
    good_folder(tmp_path / "good")
    left = 0
    while True:
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "good", folder)
        power = Power(left)
        with monkeypatch.context() as patch:
            patch.setattr(flash, "write", power.write)
            try:
                for step in steps:
                    step(folder, boot(folder))
            except Cut:
                pass
        found = boot(folder)
        assert found.running.revision in allowed, f"after {left} bytes"
        assert found.good.revision in allowed
        assert found.running.values["channels"] == [{"name": f"c{found.running.revision}"}]
        assert found.running.values["wifi"] == {"ssid": "s"}
        assert found.running.values["mqtt"] == BASE["mqtt"]
        assert found.running.secret == "k" * 64
        if not power.dark:
            break
        change(folder, found, 9)
        assert boot(folder).running.revision == 9
        left += 1
    assert left > 300


def test_an_unchanged_record_is_not_written(tmp_path: Path) -> None:
    """Flash wears: the same content again costs nothing."""
    pair = flash.Pair(str(tmp_path), "boot")
    pair.put(b"x")
    before = sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir())
    pair.put(b"x")
    assert sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir()) == before


def test_three_boots_without_a_receipt_end_a_trial(tmp_path: Path) -> None:
    """A config that resets the node in a loop is counted before it runs, and left at the fourth boot."""
    good_folder(tmp_path / "f")
    folder = tmp_path / "f"
    change(folder, boot(folder), 3)
    for number in range(1, 5):
        store = boot(folder)
        assert store.running.revision == 3
        gone = store.booted()
        flash.Pair(str(folder), "boot").put(store.record())
        assert gone == (number == 4)
    found = boot(folder)
    assert found.running.revision == 2
    assert found.failed[:3] == [3, config.sha256_hex(document(3)), "rolled_back"]


def test_a_flipped_bit_is_a_slot_that_is_not_there(tmp_path: Path) -> None:
    """Every single damaged byte of a slot makes it invalid, never a wrong config."""
    good_folder(tmp_path / "f")
    slot = max((tmp_path / "f").glob("slot.*"), key=lambda p: flash.read(str(p))[0])
    data = slot.read_bytes()
    for at in range(len(data)):
        slot.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert flash.read(str(slot)) is None, f"byte {at}"
