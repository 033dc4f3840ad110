"""The board's watchdog: begun once the gateway has answered, fed by a loop that gets on."""
# Rules of this file. It cannot be stopped once it runs, so it is not begun where somebody is at work on
# the board (the file no_watchdog, which `gateway node deploy` writes before it resets the board) nor
# where the node sleeps. Before the first receipt of a boot it is not begun either, for a board that cannot
# reach anybody is no better off after a reset; but behind a reset of its own, or while a config is on
# trial, a driver may hang at once: then it begins ahead of the drivers.

import os


class Watchdog:
    """`begin` starts the board's own and returns it, None where there is none."""

    def __init__(self, folder, begin, sleeps):
        self._begin = None if sleeps or is_off(folder) else begin
        self._dog = None

    def turn(self, heard, moved):
        """The loop went round once; moved = it got something done or had nothing to do."""
        if heard and self._begin:
            self._dog, self._begin = self._begin(), None
        if moved:
            self.feed()

    def feed(self):
        """Ahead of the few calls that can take seconds."""
        if self._dog:
            self._dog.feed()


def is_off(folder):
    """Whether somebody has asked for a board without it."""
    return "no_watchdog" in os.listdir(folder or "/")
