"""After an unclean exit: named in groups, suspects alone, and the one that does it is given up."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.service.careful import GROUP, TIMES, TRYING, Careful
from gateway.testing.broker import Mosquitto
from gateway.testing.process import GatewayProcess, Peer, hello, until

HEADS, KILLER = 5000, 300


def life(folder: Path, waiting: list[int]) -> tuple[list[int], bool]:
    """One life of a process that a certain event ends: what it got done, and whether it was ended.

    A group runs side by side; what is alone runs alone.
    """
    careful, done = Careful(folder), list[int]()
    careful.begin(waiting)
    while careful:
        left = [n for n in waiting if n not in done]
        for number in left[: 1 if careful.alone else 100]:
            if not careful.before(number):
                done.append(number)
                careful.after(number)
                return done, False
            if number == KILLER:
                return done, True
            done.append(number)
            careful.after(number)
    return done, True


def has_ended(gateway: GatewayProcess) -> bool:
    """True where its process is no more."""
    assert gateway.process is not None
    return gateway.process.poll() is not None


def test_what_ends_the_process_is_found_in_three_exits(tmp_path: Path) -> None:
    """Among five thousand: named in its group and twice alone, then given up; nobody else ever is."""
    waiting = list(range(1, HEADS + 1))
    (tmp_path / "running").write_text("1")
    for _exit in range(TIMES):
        done, ended = life(tmp_path, waiting)
        assert ended
        assert KILLER not in done
        waiting = [n for n in waiting if n not in done]
        assert waiting[0] == KILLER or len(done) < GROUP
    done, ended = life(tmp_path, waiting)
    assert not ended
    assert done[-1] == KILLER


def test_a_group_is_named_at_once(tmp_path: Path) -> None:
    """Before the first of a group runs all of it is in the file, and the file is not written again
    for the others of it."""
    (tmp_path / "running").write_text("1")
    careful = Careful(tmp_path)
    careful.begin(range(1, 1001))
    assert careful.before(1)
    named = (tmp_path / TRYING).read_text()
    assert named.endswith("\n")
    assert [int(line.split()[0]) for line in named.splitlines()][:GROUP] == list(
        range(1, GROUP + 1)
    )
    (tmp_path / TRYING).write_text("as it was")
    assert all(careful.before(number) for number in range(2, GROUP + 1))
    assert (tmp_path / TRYING).read_text() == "as it was"


def test_a_name_that_was_cut_off_is_nobodys(tmp_path: Path) -> None:
    """A kill in the middle of the writing leaves the names before it, and makes no others."""
    (tmp_path / "running").write_text("1")
    for left in ("", "1 1\n2 1\n3", "1 1\n2 1\n3 ", "\x00\x00"):
        (tmp_path / TRYING).write_text(left)
        careful = Careful(tmp_path)
        careful.begin([1, 2, 3])
        assert careful.alone == ("1 1" in left)
        assert (tmp_path / TRYING).read_text() == ("1 1\n2 1\n" if careful.alone else "")


def test_a_poisoned_message_among_three_hundred_lanes(tmp_path: Path, broker: Mosquitto) -> None:
    """It ends the real process once unnamed and three times named, and is a dead letter then; its
    neighbours are all registered, none of them given up."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "poisoned.py").write_text(
        "import os\nfrom gateway import hookimpl\n@hookimpl\nasync def node_hello(event):\n"
        "    if event.hardware_id == 'killer':\n        os._exit(9)\n"
    )
    env = {"GATEWAY__PLUGINS__DIRS": json.dumps([str(tmp_path / "plugins")])}
    gateway = GatewayProcess(tmp_path / "state", broker.port, env=env).start()
    gateway.kill()
    peer = Peer(broker.port)
    for number in range(300):
        name = "killer" if number == 150 else f"n{number}"
        # numbered: a redelivery that the end overtook is then no second poisoned message
        peer.say("hydro/node_hello", hello(name, boot_id="0000000a", seq=1))
    peer.close()
    dead = "SELECT lane, error FROM delivery WHERE state = 'dead'"
    ends = 0
    gateway.start(wait=False)
    while until(lambda: gateway.rows(dead) or has_ended(gateway), 100, "its next end") is True:
        ends += 1
        gateway.start(wait=False)
    try:
        ((lane, why),) = gateway.rows(dead)
        assert (lane, ends) == ("killer", 1 + TIMES)
        assert "ended the gateway" in why
        registered = "SELECT count(*) FROM nodes WHERE lifecycle_state = 'REGISTERED_BACKEND'"
        until(lambda: gateway.rows(registered) == [(299,)], 60, "the 299 others")
        assert len(gateway.rows(dead)) == 1
    finally:
        gateway.kill()
