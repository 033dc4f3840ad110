"""What a node keeps on flash: two slots for configs, and the record that says which of them counts."""
# Rules of this file. The record is written before the slot that it speaks of, and both before a
# document runs: a cut between them finds no such slot, and the good one runs. What is wrong with the
# flash is collected in `troubles`, for the node to tell; it never keeps a node from running.

import json

from . import config, flash


class Storage:
    """The files of one folder."""

    def __init__(self, folder):
        self._slots = flash.Pair(folder, "slot")
        self._records = flash.Pair(folder, "boot")
        self.troubles = self._slots.wrong() + self._records.wrong()

    def load(self, base, claim_key="", legacy=False):
        """The store as a boot finds it; a boot within a trial is counted before it runs."""
        slots = [config.unpack(number, content, base) for number, content in self._slots.both()]
        newest = self._records.newest()
        record = json.loads(newest[1]) if newest else None
        store = config.Store(base, [c for c in slots if c], record, claim_key, legacy)
        if store.booted() or store.trial:
            self._count(store)
        return store

    def _count(self, store):
        try:
            self.put_record(store.record())
        except OSError as error:
            # what cannot be counted must not be tried, or it is tried for ever
            self.troubles.append("boot record not written: %s" % error)
            store.trial = None

    def save(self, number, content, record):
        """A slot's content for a trial; raises OSError, and what ran before is as it was."""
        self.put_record(record)
        self._slots.put_as(number, content, json.loads(record)["good"])

    def put_record(self, record):
        """The boot record; raises OSError."""
        self._records.put(record)
