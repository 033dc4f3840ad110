"""Two hundred SIGKILLs at random moments, over gateway, three kinds of broker and real nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.testing.ledger import Ledger
from tests.faults.crash.forks import Forks
from tests.faults.ledger.script import ALL, SCRIPT, Scene, play
from tests.faults.ledger.site import KINDS, Site


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The server of this worker."""
    with Forks() as found:
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCRIPT, ids=str)
def test_whoever_is_killed_no_promise_is_broken(forks: Forks, scene: Scene) -> None:
    """Every hello is registered and receipted, every config verified, what has a number has its effect
    once; only a broker that was killed may lose what it alone knew, and that is named."""
    played = play(forks, scene, 1)
    print(played.ledger.table(str(scene)))
    assert not played.broken(), played.ledger.table(str(scene))
    for account in played.ledger.accounts.values():
        assert account.why or not (account.lost or account.doubles)


def test_two_hundred_kills_are_played() -> None:
    """Over the gateway, both kinds of mosquitto, the embedded broker and nodes."""
    assert sum(scene.kills for scene in SCRIPT) >= 200
    played = {(scene.broker, target) for scene in SCRIPT for target in scene.targets}
    assert played >= {(broker, "broker") for broker in KINDS}
    assert {target for _, target in played} == set(ALL)


def test_what_a_forgetful_broker_loses_is_seen(forks: Forks) -> None:
    """The negative control: a mosquitto without persistence that is killed loses events that it had
    acknowledged, and the ledger says so."""
    played = play(forks, Scene("mosquitto", 0, ("broker",), forgets=5), 2)
    assert len(played.ledger.lost("tally")) == 10
    assert "forgot" in played.ledger.table()
    assert not played.broken()


def test_the_last_words_have_arrived_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """paho lets a word that is said before the CONNACK overtake those that wait, so that a broker without
    a memory may bring the older and forget the newer one: what is waited for is what has arrived."""
    said: list[list[str]] = []

    class Parrot:
        def __init__(self, number: int) -> None:
            self.name = f"parrot-{number}"

        def say(self, _kind: str) -> tuple[str, int]:
            if self.name == "parrot-0":
                said.append([])
            said[-1].append(self.name)
            return (self.name, len(said))

    def keys(_site: Site) -> list[tuple[str, int]]:
        first = [("parrot-0", 1), ("parrot-1", 1)] if len(said) > 1 else []
        return [*first, ("parrot-0", 2), *[(name, 3) for name in said[2:] and said[2]]]

    site = object.__new__(Site)
    site._talkers = [Parrot(0), Parrot(1)]  # type: ignore[list-item] # what it uses of a talker
    monkeypatch.setattr(Site, "_keys", keys)
    monkeypatch.setattr(Site, "_supervise", lambda _site: None)
    assert site._last_words() == {("parrot-0", 3), ("parrot-1", 3)}


def test_the_ledger_counts() -> None:
    """Sent, promised, done: what is promised and not done is lost, what is done twice is a double."""
    ledger = Ledger()
    for number in range(5):
        ledger.note("x", "sent", (number,))
    for number in range(4):
        ledger.note("x", "acknowledged", (number,))
    ledger.settle("x", stored=[(0,), (1,), (2,)], effects=[(0,), (1,), (1,), (4,)])
    assert ledger.lost("x") == {(2,), (3,)}
    assert ledger.doubles("x") == {(1,)}
    assert ledger.rows() == [("x", "5", "4", "0", "3", "3", "1", "2", "")]
    twice = Ledger()
    twice.add(ledger, "a")
    twice.add(ledger, "b")
    assert twice.rows() == [("x", "10", "8", "0", "6", "6", "2", "4", "")]
