"""Every labelled step is the last one of a gateway once, and pairs of them; nothing is lost or doubled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.faults.crash.forks import Forks
from tests.faults.crash.lab import Lab, lab
from tests.faults.crash.labels import labels
from tests.faults.crash.lives import working_day
from tests.faults.crash.soak import MISSED, STRUCK, Attempt, Done, Labs, every_pair
from tests.faults.crash.world import World

HANDFULS, PAIRS = 10, 22


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for this worker."""
    with lab(tmp_path_factory.mktemp("crash")) as found:
        yield found


@pytest.mark.parametrize("label", labels())
def test_a_kill_at_each_label_loses_nothing(crash: Lab, label: str) -> None:
    """SIGKILL there: everything acknowledged has its effect once, the node is registered, and its config
    is verified. A label that no life reaches fails."""
    struck = crash.kill(label)
    assert f"{label}=kill" in struck, f"{label} was not reached this time"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, HANDFULS + 1))
def test_a_second_kill_in_the_recovery_loses_nothing(crash: Lab, seed: int) -> None:
    """Pairs by a seed, two hundred in all of which both strike; `make soak-crash` tries more."""
    both = sum(crash.kill_twice(*pair) for pair in islice(crash.pairs(seed), PAIRS))
    assert both > PAIRS // 2, "pairs of which the second is hardly ever reached prove nothing"


@pytest.mark.parametrize("label", ["writer.begun", "writer.applied", "writer.committed"])
def test_a_disk_that_fails_in_a_commit_loses_nothing(crash: Lab, label: str) -> None:
    """EIO before, in and behind a COMMIT of the real gateway, which behind it is one of unknown outcome
    (rule 19): it says so, goes on by itself, and nothing is done twice."""

    def life(world: World) -> None:
        working_day(world)
        assert "cannot be written" in world.gateway.whole_log()
        assert "can be written again" in world.gateway.whole_log()

    assert crash.live(life, f"{label}=eio@8") == []


def test_the_soak_goes_on_where_it_was_stopped(crash: Lab, tmp_path: Path) -> None:
    """What was done stands in a file, with its seed; what went wrong is told apart from what was not
    reached, and nothing is done twice."""

    def attempt(label: str) -> Attempt:
        def do(_lab: Lab) -> bool:
            if label == "bad":
                raise AssertionError("lost")
            return label == "good"

        return do

    file = tmp_path / "crash.json"
    done = Done(file, 1)
    found = Labs([crash]).run((name, attempt(name)) for name in ("good", "bad", "late"))
    done.pairs.update(found)
    done.save()
    again = Done(file, 2)
    assert again.seed == 1
    assert again.pairs == {"good": STRUCK, "bad": "AssertionError: lost", "late": MISSED}
    assert again.count(again.pairs) == (1, 1, 1)
    every_pair(Labs([crash]), again, 1, iter([("never", "asked")]))
    assert "never then asked" not in again.pairs


def test_there_are_steps_all_along_the_way() -> None:
    """At least fifty, in every room that a message passes."""
    found = labels()
    assert len(found) >= 50
    rooms = {where.split("/")[1] for where in found.values()}
    assert {"engine", "flow", "mqtt", "service", "store"} <= rooms


def test_a_lost_message_would_be_seen(crash: Lab) -> None:
    """The negative control: what was said to be acknowledged and never was said is found missing."""

    def life(world: World) -> None:
        working_day(world)
        world.ledger.note("tally", "acknowledged", ("nobody", "boot", 1))

    with pytest.raises(AssertionError, match="lost"):
        crash.live(life)


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
root_alone = pytest.mark.skipif(
    not os.access(LAST_PID, os.W_OK), reason="only root may choose the next process id"
)


def with_pid(pid: int, begin: Callable[[], Any]) -> Any:
    """A process that got this id, which is free; others on this machine may be given it first."""
    while True:
        LAST_PID.write_text(str(pid - 1))
        process = begin()
        if process.pid == pid:
            return process
        process.kill()
        process.wait(10)


@root_alone
def test_a_child_is_not_taken_for_an_earlier_one(tmp_path: Path) -> None:
    """The system gives process ids again: the end of an earlier child is not this one's."""
    with Forks() as forks:
        ended = forks.fork(["version"], {}, tmp_path / "log")
        assert ended.wait(30) == 0
        child = with_pid(ended.pid, lambda: forks.fork(["no-such-verb"], {}, tmp_path / "log"))
        assert child.wait(30) != 0


@root_alone
def test_a_signal_never_reaches_who_has_the_process_id_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child has ended and nobody has heard of it yet; its process id is somebody else's by now."""
    with Forks() as forks:
        ended = forks.fork(["version"], {}, tmp_path / "log")
        assert ended.wait(60) == 0
        monkeypatch.setattr(forks, "end_of", lambda _number: None)
        other = with_pid(ended.pid, lambda: subprocess.Popen(["sleep", "60"]))
        ended.kill()
        monkeypatch.undo()
        forks.fork(["version"], {}, tmp_path / "log").wait(60)  # it takes its orders in turn
        assert other.poll() is None
        other.kill()
        other.wait(10)
