# poll() on that clock: real sockets, virtual waiting. While an answer is on its way (`outstanding` says
# so) nothing is late: the wait is a real one and costs no virtual time. Where nothing is, the socket is
# looked at in each 32nd wait: for a look at TLS MicroPython takes a millisecond, and a day has 172,800 waits.

import time

import uselect

POLLIN, POLLOUT, POLLERR, POLLHUP = (
    uselect.POLLIN,
    uselect.POLLOUT,
    uselect.POLLERR,
    uselect.POLLHUP,
)
_PATIENCE_MS = 20000  # of the machine that runs the test, for one answer
_LOOK = 32
outstanding = [lambda: False]


class poll:
    def __init__(self):
        self._real = uselect.poll()
        self._waits = 0
        self.register = self._real.register
        self.modify = self._real.modify
        self.unregister = self._real.unregister

    def poll(self, timeout=0):
        if not timeout:
            return self._real.poll(0)
        if outstanding[0]():
            found = self._real.poll(_PATIENCE_MS)
            if not found:
                raise ValueError("the broker owes an answer")
            return found
        time.advance(timeout)
        self._waits += 1
        return [] if self._waits % _LOOK else self._real.poll(0)
