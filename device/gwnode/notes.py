"""Small things that outlive a boot: commands that acted, boots that went wrong, the last crash."""
# Rules of this file. Nothing is written in the steady state: a crash counts itself, and a boot that
# lived clears the count where there is one. A command is noted before it acts. The crash's traceback is
# kept by functions that cannot fail, for they run when something else has: printable ASCII only, and the
# end of the text, where the error stands. What is there already is not written again, so that a board
# that crashes in a loop does not wear its flash.

import json
import os

from . import const, flash

_MOST_BAD = const(5)
_ACTED = const(16)
_MOST_CRASH = const(512)


class Notes:
    """One pair of files."""

    def __init__(self, folder, trouble):
        self._trouble = trouble  # is told what flash did not take
        self._pair = flash.Pair(folder, "notes")
        newest = self._pair.newest()
        self._kept = json.loads(newest[1]) if newest else {"bad": 0, "acted": []}

    @property
    def bad(self):
        """Boots that went wrong, without a good one since."""
        return self._kept["bad"]

    @property
    def safe_mode(self):
        return self.bad >= _MOST_BAD

    def seen(self):
        """Commands that acted, as a node knows them. How one ended that a boot cut short, nobody knows."""
        failed = "ERROR", "command_already_failed"
        return [(one, (how, None) if how else failed) for one, how in self._kept["acted"]]

    def bad_boot(self):
        """This boot ends, or the last one ended, as none should."""
        self._put(self.bad + 1)

    def good_boot(self):
        if self.bad:
            self._put(0)

    def remember(self, cmd_id, status):
        self._kept["acted"] = self._kept["acted"][1 - _ACTED :] + [[cmd_id, status]]
        self._put(self.bad)

    def _put(self, bad):
        self._kept["bad"] = bad
        try:
            self._pair.put(json.dumps(self._kept).encode())
        except OSError as error:
            self._trouble("notes not written: %s" % error)


def keep_crash(folder, text):
    """Write it; a flash that takes nothing loses it."""
    text = "".join([c if " " <= c <= "~" or c == "\n" else "?" for c in text])[-_MOST_CRASH:]
    try:
        if read_crash(folder) != text:
            with open(folder + "/crash", "w") as file:
                file.write(text)
    except OSError:
        pass


def read_crash(folder):
    """What was kept, "" for nothing."""
    try:
        with open(folder + "/crash") as file:
            return file.read(_MOST_CRASH)
    except (OSError, UnicodeError):
        return ""


def forget_crash(folder):
    """It has been told."""
    try:
        os.remove(folder + "/crash")
    except OSError:
        pass
