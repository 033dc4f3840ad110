"""The watchdog: begun by a receipt, fed by a loop that gets on, and not begun where it would harm."""

import os

from gwnode.watchdog import Watchdog


class Dog:
    """Counts what it gets."""

    def __init__(self):
        self.meals = 0

    def feed(self):
        self.meals += 1


def kennel():
    """What begins one, and those that were begun."""
    begun = []

    def begin():
        begun.append(Dog())
        return begun[-1]

    return begin, begun


def test_it_begins_with_the_first_receipt_and_once():
    """Before that a reset would help nobody."""
    begin, begun = kennel()
    dog = Watchdog("", begin, None)
    dog.turn(False, True)
    dog.feed()
    assert begun == []
    for _ in range(3):
        dog.turn(True, True)
    assert [one.meals for one in begun] == [3]


def test_a_loop_that_gets_nothing_done_does_not_feed_it():
    """Turning round without memory is no progress: the board begins again."""
    begin, begun = kennel()
    dog = Watchdog("", begin, None)
    dog.turn(True, True)
    for _ in range(5):
        dog.turn(True, False)
    assert [one.meals for one in begun] == [1]
    dog.turn(True, True)
    assert [one.meals for one in begun] == [2]


def test_a_node_that_sleeps_has_none():
    """It cannot be stopped, and would wake the board."""
    begin, begun = kennel()
    Watchdog("", begin, 600).turn(True, True)
    assert begun == []


def test_a_file_keeps_it_off():
    """Whoever copies files onto the board must not be reset in the middle of it."""
    begin, begun = kennel()
    folder = "/tmp/hellogate-%d" % int.from_bytes(os.urandom(4), "big")
    os.mkdir(folder)
    with open(folder + "/no_watchdog", "w"):
        pass
    Watchdog(folder, begin, None).turn(True, True)
    assert begun == []
    os.remove(folder + "/no_watchdog")
    Watchdog(folder, begin, None).turn(True, True)
    assert len(begun) == 1
    os.rmdir(folder)


def test_a_board_without_one_goes_on():
    """A PC has none."""
    begun = []
    dog = Watchdog("", lambda: begun.append(1), None)
    dog.turn(True, True)
    dog.feed()
    assert begun == [1], "it was looked for, and was not there"
