"""Power cuts on what a node keeps besides its configs: the ring of samples, and the notes of commands.

Each write is cut at every byte of every program and before and in every erase, on littlefs as a board has
it (`make test`: on the ESP32's, `make soak-flash`: on both). Whatever a boot finds then is what was there before the write that was cut, or what is behind it; so
every sample that was on flash is there, or named as lost, or was delivered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import littlefs
import pytest
from gwnode import flash, notes, ring
from littlefs import lfs
from nor import ESP32, PICO, Chip, Cut, Geometry, blank, mounted

BLOCKS = 3
EACH = 4
"""Samples in a block."""
CHIPS_CUT = [ESP32, PICO] if os.environ.get("SOAK_FLASH") else [ESP32]
Step = Callable[[Any], None]


class Deck:
    """What happens to one ring, step by step, and what is promised of its samples."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.delivered: set[int] = set()
        self.named: set[int] = set()
        self.last = 0

    def put(self) -> None:
        """A block more."""
        first = self.last + 1
        self.last += EACH
        samples = [[n, "t", n] for n in range(first, self.last + 1)]
        self.steps.append(lambda found: found.put("b1", samples))

    def tell(self) -> None:
        """The lost ranges are told, and the oldest block is delivered."""

        def step(found: Any) -> None:
            ranges = [list(one) for one in found.lost]
            found.told(ranges)
            self.named |= {n for _, first, last in ranges for n in range(first, last + 1)}
            block = found.fetch()
            if block:
                self.delivered |= {sample[0] for sample in block[1]}
                found.drop()

        self.steps.append(step)


def deck() -> Deck:
    """The ring fills, runs over, is told in part, and runs over again."""
    made = Deck()
    for _ in range(BLOCKS + 2):
        made.put()
    made.tell()
    for _ in range(BLOCKS):
        made.put()
    made.tell()
    made.tell()
    made.put()
    return made


@pytest.fixture(autouse=True)
def _removing(monkeypatch: pytest.MonkeyPatch) -> None:
    """ring.py removes files on the chip that is mounted."""

    def remove(path: str) -> None:
        chip, fs = CHIPS[-1]
        try:
            lfs.remove(fs, path.lstrip("/"))
        except littlefs.LittleFSError as error:
            if chip.dead:
                raise Cut from None
            raise OSError(2, str(error)) from None

    monkeypatch.setattr(ring, "os", SimpleNamespace(remove=remove))


CHIPS: list[tuple[Chip, Any]] = []


def play(geometry: Geometry, image: bytes, left: int | None, work: Callable[[], None]) -> Chip:
    """Mount, work, and leave the chip as it is then."""
    chip = Chip(image, left)
    with mounted(chip, geometry, flash) as fs, suppress(Cut):
        CHIPS.append((chip, fs))
        work()
    return chip


def account(found: Any) -> tuple[list[int], set[int]]:
    """(the samples that are in whole blocks, the numbers that are named as lost)."""
    there = []
    for sequence in range(found._first, found._next):
        block = found._read(sequence)
        there += [sample[0] for sample in block[2]] if block else []
    return there, {n for _, first, last in found.lost for n in range(first, last + 1)}


def walk(geometry: Geometry) -> int:
    """Each step cut at each of its bytes; how many cuts that were."""
    image, number, written, made = blank(geometry), 0, 0, deck()
    for step in made.steps:
        before, last = image, written
        known = set(made.delivered), set(made.named)
        chip = play(geometry, image, None, lambda step=step: step(ring.Ring("", BLOCKS)))  # type: ignore[misc] # bound at once
        written += EACH if (made.delivered, made.named) == known else 0
        image = bytes(chip.buffer)
        for left in range(chip.units):
            number += 1
            cut = play(geometry, before, left, lambda step=step: step(ring.Ring("", BLOCKS)))  # type: ignore[misc] # bound at once
            assert cut.dead
            check(geometry, bytes(cut.buffer), made, last, written)
    return number


@pytest.mark.parametrize("geometry", CHIPS_CUT, ids=lambda g: g.name)
def test_a_cut_at_any_byte_loses_no_count_of_samples(geometry: Geometry) -> None:
    """Behind each cut every sample of the blocks that were written is there, named, or was delivered; of
    none is said that it is lost while it is there; and what follows is put and counted as ever."""
    number = walk(geometry)
    print(f"\nring {geometry.name}: {number} cuts")
    assert number > 1000


def test_the_checker_sees_a_ring_that_loses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a ring that names nothing as lost does not pass."""
    monkeypatch.setattr(ring.Ring, "_lose", lambda *_: None)
    with pytest.raises(AssertionError):
        walk(ESP32)


def check(geometry: Geometry, image: bytes, made: Deck, least: int, most: int) -> None:
    """A boot, and a block after it."""

    def boot() -> None:
        found = ring.Ring("", BLOCKS)
        there, lost = account(found)
        known = set(there) | lost | made.delivered | made.named
        assert known >= set(range(1, least + 1)), (least, sorted(known))
        assert known <= set(range(1, most + 1))
        assert len(there) == len(set(there))
        assert not set(there) & lost
        samples = [[n, "t", n] for n in range(most + 1, most + 1 + EACH)]
        found.put("b2", samples)
        after, after_lost = account(ring.Ring("", BLOCKS))
        assert set(after) >= {n for n, _, _ in samples}
        assert set(after) | after_lost >= set(there) | lost

    play(geometry, image, None, boot)


@pytest.mark.parametrize("geometry", CHIPS_CUT, ids=lambda g: g.name)
def test_a_cut_at_any_byte_keeps_the_notes_before_it(geometry: Geometry) -> None:
    """Commands that acted, bad boots and good ones: behind each cut the notes are those before or
    behind the one that was cut, and can be written again."""

    def one(number: int) -> Step:
        steps: dict[int, Step] = {3: lambda n: n.bad_boot(), 5: lambda n: n.good_boot()}
        return steps.get(number, lambda n: n.remember(f"c{number}", None if number % 2 else "DONE"))

    def found() -> Any:
        return notes.Notes("", pytest.fail)

    image, cuts = blank(geometry), 0
    states = [{"bad": 0, "acted": []}]
    for number in range(10):
        chip = play(geometry, image, None, lambda n=number: one(n)(found()))  # type: ignore[misc] # bound at once
        before, image = image, bytes(chip.buffer)
        play(geometry, image, None, lambda: states.append(dict(found()._kept)))
        for left in range(chip.units):
            cuts += 1
            cut = play(geometry, before, left, lambda n=number: one(n)(found()))  # type: ignore[misc] # bound at once

            def boot() -> None:
                assert found()._kept in states[-2:]
                found().remember("next", None)
                assert found()._kept["acted"][-1] == ["next", None]

            play(geometry, bytes(cut.buffer), None, boot)
    print(f"\nnotes {geometry.name}: {cuts} cuts")
    assert cuts > 1000
