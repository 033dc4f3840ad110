"""Flash without a power cut: what wears it, and what a full, worn or unreadable one does to a node."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tape
from gwnode import config, flash
from gwnode.storage import Storage
from nor import ESP32, PICO, Chip, Geometry, blank, mounted

CHIPS = pytest.mark.parametrize("geometry", [ESP32, PICO], ids=["ESP32", "Pico W"])


def filled(folder: str) -> tuple[Storage, dict[str, Any]]:
    """A node that has proved two configs, on whatever `open` means now."""
    node = tape.aged(2)
    storage, base = Storage(folder), tape.base(node)
    tape.play(storage, node.cut_here(), base, [])
    return storage, base


def prove(storage: Storage, base: dict[str, Any], revision: int, size: int = 0) -> None:
    """One config from its push to its proof, in a slot of `size` bytes."""
    store = storage.load(base)
    doc = tape.later(revision)
    kept = {"node_secret": "s" * 64, "wifi": {"ssid": "farm", "pass": "hush"}}
    made = tape.packed(store, doc, kept, size)
    storage.save(made.slot, config.pack(made), store.record())
    store.confirm()
    storage.put_record(store.record())


@CHIPS
@pytest.mark.parametrize("size", [1000, 4095])
def test_a_change_costs_about_one_erase(geometry: Geometry, size: int) -> None:
    """300 changes with slots of up to 4,095 bytes: at most 1.2 erases for each, record and proof
    included, and no block wears out long before the others."""
    chip = Chip(blank(geometry))
    with mounted(chip, geometry, flash):
        storage, base = filled("")
        before = sum(chip.erases.values())
        for revision in range(3, 303):
            prove(storage, base, revision, size)
        assert storage.load(base).good.revision == 302
    erases = (sum(chip.erases.values()) - before) / 300
    print(f"\nwear {geometry.name} {size} bytes: {erases:.2f} erases for a change")
    assert erases <= 1.2
    assert max(chip.erases.values()) <= 3 * sum(chip.erases.values()) / geometry.blocks


def test_what_is_already_there_is_not_written() -> None:
    """The same envelope again, the same record again, and boots without a trial: not one program."""
    node = tape.aged(2)
    chip = Chip(blank(ESP32))
    with mounted(chip, ESP32, flash):
        storage, base = Storage(""), tape.base(node)
        tape.play(storage, node.cut_here(), base, [])
        writes = chip.units
        storage.put_record(storage.load(base).record())
        for _ in range(3):
            Storage("").load(base)
        assert chip.units == writes
    node.push(2, tape.later(2), "secret")
    assert node.state() == ("verified", 2)
    node.boot()
    assert [action for action in node.cut_here() if action[0] != "load"] == []


def test_full_flash_takes_nothing_and_loses_nothing() -> None:
    """Somebody filled the flash: the change is refused with ENOSPC, both slots are as they were, and
    once there is room it goes on."""
    chip = Chip(blank(ESP32))
    with mounted(chip, ESP32, flash):
        storage, base = filled("")
        with pytest.raises(OSError, match="NOSPC"):
            fill_up()
        with pytest.raises(OSError, match="NOSPC") as caught:
            prove(storage, base, 3, 4000)
        assert caught.value.errno == 28
        store = storage.load(base)
        assert (store.good.revision, store.trial) == (2, None)
        tape.whole(store)
        flash.write("/ballast0", 2, b"")
        prove(storage, base, 3, 4000)
        assert storage.load(base).good.revision == 3


def fill_up() -> None:
    """Until there is no room."""
    for number in range(1000):
        flash.write(f"/ballast{number}", 1, b"x" * 4000)


@pytest.mark.parametrize("bad", range(2, ESP32.blocks))
def test_a_bad_block_is_passed_over(bad: int) -> None:
    """A block that keeps no new data: littlefs sees it and takes another one."""
    chip = Chip(blank(ESP32))
    with mounted(chip, ESP32, flash):
        storage, base = filled("")
        chip.bad_writes.add(bad)
        for revision in range(3, 3 + ESP32.blocks):
            prove(storage, base, revision, 4000)
    again = Chip(bytes(chip.buffer))
    with mounted(again, ESP32, flash):
        assert Storage("").load(base).good.revision == 2 + ESP32.blocks


def test_an_unreadable_slot_is_told_and_the_other_one_runs() -> None:
    """Rubbish where the proved document was: the one before it runs, and the node knows what to tell."""
    chip = Chip(blank(ESP32))
    with mounted(chip, ESP32, flash):
        storage, base = filled("")
        prove(storage, base, 3, 4000)
        newest = bytes(chip.buffer).rindex(b"c3_0")
    chip = Chip(bytes(chip.buffer))
    with mounted(chip, ESP32, flash):
        chip.bad_reads.add(newest // 4096)
        storage = Storage("")
        store = storage.load(base)
        assert store.good.revision == 2
        tape.whole(store)
        assert len(storage.troubles) == 1
        assert storage.troubles[0].split()[0] in ("slot.a", "slot.b")


def test_a_flipped_bit_is_a_slot_that_is_not_there(tmp_path: Path) -> None:
    """Every single damaged byte of a slot makes it invalid, never a wrong config, and it is told."""
    filled(str(tmp_path))
    slot = max(tmp_path.glob("slot.*"), key=lambda path: flash.look(str(path))[0])
    data = slot.read_bytes()
    for at in range(len(data)):
        slot.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert flash.read(str(slot)) is None, f"byte {at}"
        (told,) = Storage(str(tmp_path)).troubles
        assert told in (f"{slot.name} damaged", f"{slot.name} torn")


class Power:
    """Replaces `flash.write`: after `left` bytes of all writes together it is dark for good."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.dark = False
        self._real = flash.write

    def write(self, path: str, sequence: int, *pieces: bytes) -> None:
        self._real(path, sequence, *pieces)
        data = Path(path).read_bytes()
        self.dark = self.left < len(data)
        self.left -= len(data)
        if self.dark:
            # the beginning of the new, and nothing of the old
            Path(path).write_bytes(data[: self.left])
            raise KeyboardInterrupt


def test_a_torn_file_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that tears files, cut at every byte of a rotation of the secret: what was proved
    before runs, or what was proved last, and a push after that works."""
    node = tape.aged(2)
    past, base = node.cut_here(), tape.base(node)
    tape.rotation(node)
    writes = node.cut_here()
    left = 0
    while True:
        for path in tmp_path.iterdir():
            path.unlink()
        storage = Storage(str(tmp_path))
        tape.play(storage, past, base, [])
        power = Power(left)
        with monkeypatch.context() as patch:
            patch.setattr(flash, "write", power.write)
            with suppress(KeyboardInterrupt):
                tape.play(storage, writes, base, [])
        store = Storage(str(tmp_path)).load(base)
        assert (store.good.revision, store.running.revision) in {(2, 2), (2, 3), (3, 3)}
        tape.whole(store)
        if not power.dark:
            break
        assert tape.recover(Storage(str(tmp_path)), base).good.revision == 3
        left += 1
    assert left > 1000
    assert json.loads(store.record())["good"] == 3
