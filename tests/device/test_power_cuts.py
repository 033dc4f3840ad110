"""Power cuts on LittleFS: the device's own files on a chip that dies at every byte and every erase.

What the real node writes while a config is taken, proved, left, or brings a new secret, is recorded
once (tape.py) and played on the chip again and again, each time cut a little later. Whatever is
found afterwards is what was there before the write that was cut, or behind it: never neither, never a
mix, and Wi-Fi, broker, secret and calibration are always there. `make soak-flash` plays every byte and
every pair of cuts on every chip; here are all operations, and a sample of the pairs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tape
from gwnode import flash
from gwnode.storage import Storage
from nor import ESP32, PICO, Chip, Cut, Geometry, blank, mounted

from tests.interpreter import played

SOAK = bool(os.environ.get("SOAK_FLASH"))
WORN = Geometry("worn", 32, 128, cycles=1)
"""littlefs moves a pair of metadata blocks at nearly each compaction."""
EACH = 12
"""One pair of so many is played by `make test`."""


class Case(NamedTuple):
    """A chip, and what is to be written on it."""

    geometry: Geometry
    image: bytes
    base: dict[str, Any]
    tape: list[Any]
    seen: list[Any]
    """What a boot finds after so many writes."""


def run(case: Case, image: bytes, left: int | None, work: Callable[[Storage, Chip], Any]) -> Chip:
    """Mount, work, and leave the chip as it is then."""
    chip = Chip(image, left)
    with mounted(chip, case.geometry, flash), suppress(Cut):
        work(Storage(""), chip)
    return chip


def boot(case: Case, image: bytes) -> Any:
    """The store that a boot finds; its own count of the boot is not kept."""
    found = []
    run(case, image, None, lambda storage, _: found.append(storage.load(case.base)))
    return found[0]


def make(geometry: Geometry, scenario: Callable[[Any], None]) -> Case:
    """The scenario's writes, and a chip so full that littlefs compacts its metadata under them."""
    node = tape.aged(2)
    past, base = node.cut_here(), tape.base(node)
    scenario(node)
    writes = node.cut_here()
    image = blank(geometry)
    image = bytes(play(Case(geometry, image, base, past, []), image, None)[0].buffer)
    case, most, record = Case(geometry, image, base, writes, []), 0, past[-1][1]
    for number in range(40):
        units = play(case, image, None)[0].units
        if units > most:
            most, case = units, case._replace(image=image)
        # the same record in other bytes: one commit more
        again = case._replace(tape=[("put_record", record + b" " * (1 + number % 2))])
        image = bytes(play(again, image, None)[0].buffer)
    for number in range(len(writes) + 1):
        chip, _ = play(case._replace(tape=writes[:number]), case.image, None)
        case.seen.append(tape.seen(boot(case, bytes(chip.buffer))))
    return case


def play(case: Case, image: bytes, left: int | None) -> tuple[Chip, int]:
    """The writes on this image; the chip, and how many were complete."""
    done: list[int] = []
    chip = run(case, image, left, lambda storage, _: tape.play(storage, case.tape, case.base, done))
    return chip, len(done)


def operations(chip: Chip) -> Iterator[int]:
    """Each operation not done at all, and half done."""
    for start, end in zip(chip.starts, [*chip.starts[1:], chip.units], strict=True):
        yield start
        yield (start + end) // 2


def check(case: Case, chip: Chip, done: int) -> None:
    """Old or new, and whole."""
    store = boot(case, bytes(chip.buffer))
    assert tape.seen(store) in case.seen[done : done + 2], (done, case.seen)
    tape.whole(store)


CASES = [(g, s) for g in (ESP32, PICO, WORN) for s in tape.SCENARIOS]
IDS = [f"{g.name}-{s.__name__}" for g, s in CASES]


@pytest.fixture(params=CASES, ids=IDS)
def case(request: pytest.FixtureRequest) -> Case:
    """Each scenario on each chip."""
    return make(*request.param)


def count(what: str, case: Case, number: int) -> None:
    """What docs/figures.md tells; `pytest -s` shows it."""
    print(f"\n{what} {case.geometry.name}: {number}")


def test_a_cut_in_any_operation_leaves_the_old_or_the_new(case: Case) -> None:
    """Every program and every erase, not done at all and half done."""
    clean, done = play(case, case.image, None)
    assert done == len(case.tape)
    assert len(set(case.seen)) > 1
    cuts = list(operations(clean))
    for left in cuts:
        chip, done = play(case, case.image, left)
        assert chip.dead
        check(case, chip, done)
    count("operations", case, len(cuts))


@pytest.mark.parametrize("params", CASES if SOAK else [(ESP32, tape.rotation)])
def test_a_cut_at_any_byte_leaves_the_old_or_the_new(params: Any) -> None:
    """Each byte of each program, and each erase."""
    case = make(*params)
    clean, _ = play(case, case.image, None)
    for left in range(clean.units):
        check(case, *play(case, case.image, left))
    count("bytes", case, clean.units)


def pairs(case: Case) -> Iterator[tuple[bytes, int]]:
    """A chip after a cut, and where the next boot and the next push are cut then."""
    clean, _ = play(case, case.image, None)
    for left in [*operations(clean), None]:
        first = bytes(play(case, case.image, left)[0].buffer)
        again = run(case, first, None, lambda storage, _: tape.recover(storage, case.base))
        for second in operations(again):
            yield first, second


def test_a_second_cut_in_the_recovery_loses_nothing(case: Case) -> None:
    """Two cuts: one in the scenario, one in what the next boot does and the push that follows it.
    Afterwards a boot and a push without a cut prove what was pushed last."""
    chance = random.Random(1)  # noqa: S311 - a sample, not a secret
    number = 0
    for first, second in pairs(case):
        if not SOAK and chance.random() > 1 / EACH:
            continue
        number += 1
        chip = run(case, first, second, lambda storage, _: tape.recover(storage, case.base))
        before, store = boot(case, first), boot(case, bytes(chip.buffer))
        newest = max(tape.seen(before)[:3])
        assert before.good.revision <= store.good.revision <= newest + 1
        tape.whole(store)
        proved = recovered(case, bytes(chip.buffer))
        assert proved.good.revision > before.good.revision
        tape.whole(proved)
    count("pairs", case, number)


def recovered(case: Case, image: bytes) -> Any:
    """The store after a boot and a push without a cut."""
    found = []
    run(case, image, None, lambda storage, _: found.append(tape.recover(storage, case.base)))
    return found[0]


def test_the_checker_sees_a_store_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls: a store that writes over the good slot, and one that counts its record as written
    before it is, do not pass."""
    case = make(ESP32, tape.roll_back)
    real = flash.Pair.put_as
    with monkeypatch.context() as patch:
        patch.setattr(flash.Pair, "put_as", lambda self, n, c, keep: real(self, n, c, keep - 1))
        assert fails(case)
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put_record", lambda *_: None)
        assert fails(case)
    assert not fails(case)


@pytest.mark.parametrize(("kind", "least"), [("lfs2", 130), ("fat", 90)])
def test_the_same_on_micropythons_own_file_systems(micropython: str, kind: str, least: int) -> None:
    """Its littlefs, each write and erase not done or half done; its FAT, each write of a sector done
    or not done. FAT with a torn sector is not promised (docs/node/flash.md). A block that answers EIO
    costs the config in it, and is told."""
    here = Path(__file__).parent
    path = f"{here.parents[1] / 'device'}:{here}"
    said = played(micropython, here / "cuts_driver.py", kind, path=path, heap="8M")
    print(f"\n{kind}\n{said}")
    lines = [line.split() for line in said.splitlines()]
    assert sum(int(words[2]) for words in lines if words[0] == "cuts") >= least
    assert lines[-1][0] == "unreadable"


def fails(case: Case) -> bool:
    """Whether a cut somewhere is seen."""
    clean, _ = play(case, case.image, None)
    try:
        for left in [*operations(clean), clean.units]:
            check(case, *play(case, case.image, left))
    except (AssertionError, KeyError):
        return True
    return False
