"""A hundred SIGKILLs at random moments, over gateway, three kinds of broker and real nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.testing.ledger import Ledger
from tests.faults.crash.forks import Forks
from tests.faults.ledger.script import SCRIPT, Scene, play


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The server of this worker."""
    with Forks() as found:
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCRIPT, ids=str)
def test_whoever_is_killed_no_promise_is_broken(forks: Forks, scene: Scene) -> None:
    """Every hello is registered and receipted, every config verified, what has a number has its effect
    once; only a broker that keeps nothing may lose what it alone knew, and that is named."""
    played = play(forks, scene, 1)
    print(played.ledger.table(str(scene)))
    assert not played.broken(), played.ledger.table(str(scene))
    for account in played.ledger.accounts.values():
        assert account.why or not (account.lost or account.doubles)


def test_what_a_forgetful_broker_loses_is_seen(forks: Forks) -> None:
    """The negative control: a mosquitto without persistence that is killed loses events that it had
    acknowledged, and the ledger says so."""
    played = play(forks, Scene("mosquitto", 0, ("broker",), forgets=5), 2)
    assert len(played.ledger.lost("tally")) == 10
    assert "forgot" in played.ledger.table()
    assert not played.broken()


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
