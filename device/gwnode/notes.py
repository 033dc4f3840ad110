"""Small things that outlive a boot: which commands acted, how many boots in a row went wrong."""
# Rules of this file. Nothing is written in the steady state: a crash counts itself, and a boot that
# lived clears the count where there is one. A command is noted before it acts.

import json

from . import const, flash

_MOST_BAD = const(5)
_ACTED = const(16)


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
        self._put(self._kept["bad"] + 1)

    def good_boot(self):
        if self._kept["bad"]:
            self._put(0)

    def remember(self, cmd_id, status):
        self._kept["acted"] = self._kept["acted"][1 - _ACTED :] + [[cmd_id, status]]
        self._put(self._kept["bad"])

    def _put(self, bad):
        self._kept["bad"] = bad
        try:
            self._pair.put(json.dumps(self._kept).encode())
        except OSError as error:
            self._trouble("notes not written: %s" % error)
