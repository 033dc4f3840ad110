"""Samples on flash while there is nobody to take them: blocks in a ring, the oldest gives way."""
# Rules of this file. A block is one file, written once and whole, so that flash wears evenly; it
# carries what was lost until then, so that a power cut forgets neither. Ranges are [boot_id, first,
# last]. What cannot be written is lost, and counted like the rest.

import json
import os

from . import const, flash

_RANGES = const(8)


class Ring:
    """The files of one folder."""

    def __init__(self, folder, blocks):
        self._folder = folder
        self._blocks = blocks
        found = [self._sequence(k) for k in range(blocks)]
        found = [sequence for sequence in found if sequence]
        self._first = min(found) if found else 1
        self._next = max(found) + 1 if found else 1
        newest = self._read(self._next - 1)
        self.lost = newest[1] if newest else []
        self._sending = False

    @property
    def count(self):
        return self._next - self._first

    # -- files -----------------------------------------------------------------------------------

    def _path(self, sequence):
        return "%s/ring.%d" % (self._folder, sequence % self._blocks)

    def _sequence(self, place):
        return flash.look(self._path(place))[0]

    def _load(self, sequence):
        return flash.read(self._path(sequence))

    def _save(self, sequence, content):
        flash.write(self._path(sequence), sequence, content)

    def _remove(self, sequence):
        try:
            os.remove(self._path(sequence))
        except OSError:
            pass

    def _read(self, sequence):
        """[boot_id, lost, samples] of a block, None where it is not there or not whole."""
        found = self._load(sequence)
        return json.loads(found[1]) if found and found[0] == sequence else None

    # -- blocks ----------------------------------------------------------------------------------

    def put(self, boot_id, samples):
        """A block more; the oldest goes where there is no room."""
        first, last = samples[0][0], samples[-1][0]
        if self.count >= self._blocks:
            if self._sending:
                self._lose(boot_id, first, last)  # the oldest is on its way already
                return
            block = self._read(self._first)
            if block:
                self._lose(block[0], block[2][0][0], block[2][-1][0])
            self._first += 1
        content = json.dumps([boot_id, self.lost, samples]).encode()
        try:
            self._save(self._next, content)
        except OSError:
            self._lose(boot_id, first, last)
            return
        self._next += 1

    def _lose(self, boot_id, first, last):
        if self.lost and self.lost[-1][0] == boot_id and self.lost[-1][2] + 1 == first:
            self.lost[-1][2] = last
        else:
            self.lost.append([boot_id, first, last])
        if len(self.lost) > _RANGES:
            # bounded: of the oldest two only the sum stays exact
            one = self.lost.pop(0)
            two = self.lost[0]
            self.lost[0] = ["", 1, one[2] - one[1] + two[2] - two[1] + 2]

    def fetch(self):
        """(boot_id, samples) of the oldest block that is whole, None where there is none."""
        while self.count:
            block = self._read(self._first)
            if block:
                self._sending = True
                return block[0], block[2]
            self._first += 1
        return None

    def release(self):
        """The oldest block was not delivered."""
        self._sending = False

    def drop(self):
        """The oldest block was delivered."""
        self._sending = False
        self._remove(self._first)
        self._first += 1

    def told(self, ranges):
        """Somebody knows of these; what became longer meanwhile is told again, from there on."""
        for boot_id, first, last in ranges:
            if self.lost and self.lost[0][:2] == [boot_id, first]:
                self.lost[0][1] = last + 1
                if self.lost[0][2] <= last:
                    self.lost.pop(0)
