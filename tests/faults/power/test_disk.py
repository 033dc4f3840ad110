"""A disk that fails, a file system that is gone, and bits that rot: no false word to anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.power import ext4
from tests.faults.power.flips import BY_CRC, MISSING, NO_HARM, WRONG, Rotting
from tests.faults.power.rounds import fast_folder
from tests.faults.power.sweep import Shot, shoot
from tests.faults.power.swept import Swept

FLIPS, CRASHES = 300, 6
SHOTS = [
    Shot("pwrite64", "EIO", 40, for_good=False, cold=False),
    Shot("pwrite64", "ENOSPC", 45, for_good=True, cold=False),
    Shot("fdatasync", "EIO", 14, for_good=False, cold=False),
    Shot("fdatasync", "EIO", 14, for_good=True, cold=False),
    Shot("fdatasync", "ENOSPC", 4, for_good=False, cold=True),
    Shot("openat", "EIO", 2, for_good=False, cold=True),
    Shot("openat", "ENOSPC", 1, for_good=True, cold=True),
    Shot("fsync", "EIO", 1, for_good=False, cold=False),
    Shot("unlink", "EIO", 1, for_good=False, cold=False),
]
"""A sample; `make soak-power` fires at every call."""


@pytest.mark.parametrize("shot", SHOTS, ids=str)
def test_a_call_that_fails_brings_no_false_acknowledgement(shot: Shot) -> None:
    """What was acknowledged survives a kill and a power cut at any later moment; one failure is
    overcome, and a disk that never works again ends without another word."""
    found = shoot(shot, 1)
    assert found.met, "the run has no such call"
    assert not found.tally.wrong, "\n".join(found.tally.words)
    if shot.for_good:
        assert found.ended in ("hopeless", "refused"), found
    else:
        assert found.ended in ("done", "refused"), found
    if found.ended == "done":
        assert found.acknowledged == 14


def test_a_store_that_shrugs_off_a_failed_commit_is_caught() -> None:
    """The negative control: acknowledged although the sync failed, and the check sees it."""
    found = shoot(Shot("fdatasync", "EIO", 14, for_good=True, cold=False), 1, swallow=True)
    assert found.tally.wrong


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """What was done stands in a file, with its seed; the rest is done, and nothing twice."""
    file = tmp_path / "sweep.json"
    begun = Swept(file, 1)
    for each, row in begun.rows.items():
        row.over = each[:3] != ("fsync", "EIO", False)
        row.next = 3 if row.over or each.cold else 2
    begun.save()
    swept = Swept(file, 2)
    assert (swept.seed, swept.failed) == (1, 0)
    done = list(swept.run(1))
    assert {each[:3] for each in done} == {("fsync", "EIO", False)}
    assert swept.rows == Swept(file, 2).rows
    assert all(row.over for row in swept.rows.values())
    assert 1 <= swept.failed < 8
    assert not swept.false
    assert "| fsync | EIO |" in swept.report()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An ext4 in a file."""
    if why := ext4.why_not():
        pytest.skip(why)
    image = ext4.new_image(tmp_path)
    try:
        with ext4.mounted(image, tmp_path / "mnt"):
            pass
    except RuntimeError as error:
        pytest.skip(f"this machine does not mount a loop image: {error}")
    return image


def test_a_real_file_system_that_is_shut_down_keeps_what_was_acknowledged(disk: Path) -> None:
    """ext4, shut down in the middle of the work without a flush of its log, and mounted again."""
    crashes = [ext4.crash(disk, seed) for seed in range(CRASHES)]
    assert not [found for found in crashes if found.wrong]
    assert all(found.acknowledged for found in crashes)


def test_a_store_that_does_not_sync_loses_on_a_real_file_system(disk: Path) -> None:
    """The negative control: with NORMAL acknowledged rows are gone, every time."""
    crashes = [ext4.crash(disk, seed, "NORMAL") for seed in range(2)]
    assert all(found.wrong for found in crashes)


@pytest.mark.parametrize("wal", [False, True], ids=["database", "log"])
def test_a_bit_that_rots_never_makes_a_wrong_message(wal: bool) -> None:
    """It is found at the start or by the row's CRC, or does no harm; what else it can do (rows missing
    behind a bad frame of the log, another column, another table) is in docs/promises.md."""
    with fast_folder() as folder:
        found = Rotting(folder, 1, wal=wal).flips(FLIPS)
    assert not found[WRONG], found
    assert found[MISSING] if wal else found[NO_HARM] + found[BY_CRC]
