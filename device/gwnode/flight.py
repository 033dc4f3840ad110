"""QoS 1 packets on their way: their ids, who was acknowledged, who is sent again. Pure; `now` is given."""
# Rules of this file. Ids go from 1 to 65535 and begin again; one that is on its way is not given out
# a second time. What nobody acknowledges is sent again with DUP, the oldest first.

from . import const
from .packets import DUP

_RESEND_MS = const(10000)
_REMEMBERED = const(64)  # ids that acked() knows


class Flight:
    """What was sent and is not acknowledged."""

    def __init__(self, window):
        self.window = window
        self.pid = 0
        self.clear()

    def __len__(self):
        return len(self._out)

    def clear(self):
        """A clean session knows nothing of the last one; the ids go on."""
        self._out = []  # [id, packet, when sent], oldest first
        self._acked = []

    def next_id(self):
        taken = [one[0] for one in self._out]
        while True:
            self.pid = self.pid % 65535 + 1
            if self.pid not in taken:
                return self.pid

    def add(self, pid, packet, now):
        self._out.append([pid, packet, now])

    def acknowledge(self, pid):
        """A PUBACK came, in whatever order."""
        left = [one for one in self._out if one[0] != pid]
        if len(left) < len(self._out):
            self._out = left
            self._acked = self._acked[1 - _REMEMBERED :] + [pid]

    def acked(self, pid):
        return pid in self._acked

    def overdue(self, now):
        """The next packet that has to go again, marked as that; None for none."""
        for one in self._out:
            if now - one[2] >= _RESEND_MS:
                one[1][0] |= DUP
                one[2] = now
                return one[1]
        return None
