# poll() on that clock: real sockets, virtual waiting. While an answer is on its way (`outstanding` says
# so) nothing is late: the wait is a real one and costs no virtual time.

import time

import uselect

POLLIN, POLLOUT, POLLERR, POLLHUP = (
    uselect.POLLIN,
    uselect.POLLOUT,
    uselect.POLLERR,
    uselect.POLLHUP,
)
_PATIENCE_MS = 20000  # of the machine that runs the test, for one answer
outstanding = [lambda: False]


class poll:
    def __init__(self):
        self._real = uselect.poll()
        self.register = self._real.register
        self.modify = self._real.modify
        self.unregister = self._real.unregister

    def poll(self, timeout=0):
        found = self._real.poll(0)
        if found or not timeout:
            return found
        if outstanding[0]():
            found = self._real.poll(_PATIENCE_MS)
            if not found:
                raise ValueError("the broker owes an answer")
            return found
        time.advance(timeout)
        return self._real.poll(0)
