"""What a node keeps on flash: two slots for configs, and the record that says which of them counts."""
# Rules of this file. The record is written before the slot that it speaks of, and both before a
# document runs: a cut between them finds no such slot, and the good one runs. What is wrong with the
# flash is collected in `troubles`, for the node to tell; it never keeps a node from running.

import json

from . import config, const, flash

_A_DAY = const(86400)


class Storage:
    """The files of one folder."""

    def __init__(self, folder):
        self._slots = flash.Pair(folder, "slot")
        self._records = flash.Pair(folder, "boot")
        self.troubles = self._slots.wrong() + self._records.wrong()

        self._times = flash.Pair(folder, "clock")
        self._floor = folder + "/clock"  # written by whoever flashed the board
        self._kept = None

    def load(self, base, claim_key="", legacy=False):
        """The store as a boot finds it; a boot within a trial is counted before it runs."""
        slots = [config.unpack(number, content, base) for number, content in self._slots.both()]
        newest = self._records.newest()
        record = json.loads(newest[1]) if newest else None
        store = config.Store(base, [c for c in slots if c], record, claim_key, legacy)
        if store.booted():
            self._count(store)
        return store

    def _count(self, store):
        try:
            self.put_record(store.record())
        except OSError as error:
            # what cannot be counted must not be tried, or it is tried for ever
            self.troubles.append("boot record not written: %s" % error)
            store.trial = None

    def save(self, number, pieces, record):
        """A slot's content for a trial, in pieces; raises OSError, and what ran before is as it was."""
        self.put_record(record)
        self._slots.put_as(number, pieces, json.loads(record)["good"])

    def put_record(self, record):
        """The boot record; raises OSError."""
        self._records.put(record)

    def known_time(self):
        """Unix seconds that are past for sure, 0 where nobody has told any."""
        times = [0]
        newest = self._times.newest()
        try:
            times.append(int(newest[1]) if newest else 0)
            with open(self._floor) as file:
                times.append(int(file.read(16)))
        except (OSError, ValueError):
            pass
        self._kept = max(times)
        return self._kept

    def keep_time(self, unix_ts):
        """Once a day at most; raises OSError."""
        if self._kept is None or unix_ts - self._kept >= _A_DAY:
            self._kept = unix_ts
            self._times.put(b"%d" % unix_ts)
