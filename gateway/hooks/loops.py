"""Threads that plugins run on: an event loop that always exists, and small pools for plain functions.

All threads are daemons: what they had not finished is in the journal, so that a thread which hangs
for ever costs nothing but itself (rule 15).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)
_TICK = 0.25
# of the time: on a machine that is shared with others, a call that only computes gets no more
_AT_WORK = 0.2


class GivenUp(BaseException):
    """Raised in a plugin's code that ran over its budget and is still at work."""


class Place:
    """The thread that runs something, and the CPU time that it had used by then."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._cpu = time.thread_time()
        self._looked = (time.monotonic(), 0.0)

    def is_at_work(self, now: float) -> bool:
        """True where it has computed, rather than waited, since the last look. Whoever asks knows that
        the thread is alive."""
        then, before = self._looked
        used = self.used()
        self._looked = (now, used)
        return now > then and (used - before) / (now - then) > _AT_WORK

    def used(self) -> float:
        """Seconds of CPU since it was made. Whoever asks knows that the thread is alive."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._ident)) - self._cpu

    def interrupt(self, most: float) -> bool:
        """Raise GivenUp there, if it has used more than `most` seconds of CPU since: a loop that never
        ends would take its turns for ever. What only waits is left alone: it takes nothing from anybody,
        and is perhaps in the middle of something. Whoever asks knows that the thread is alive."""
        if self.used() <= most:
            return False
        raised = ctypes.py_object(GivenUp)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), raised)
        return True


class LoopThread:
    """A thread with one long-lived event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.last_tick = time.monotonic()
        self._place: Place | None = None
        self._all: Place | None = None
        self._started = False

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if not self._started:
            self._started = True
            self.last_tick = time.monotonic()
            self.thread.start()

    @property
    def started(self) -> bool:
        """True from `start` on."""
        return self._started

    def post(self, function: Callable[..., Any], *args: Any) -> bool:
        """Call a function on the loop soon; False where the loop is closed."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return False
        return True

    def blocked_for(self, now: float) -> float:
        """Seconds for which the loop has not come round, beyond its own tick."""
        return max(0.0, now - self.last_tick - _TICK) if self._started else 0.0

    @property
    def used(self) -> float:
        """Seconds of CPU that it has used so far."""
        return self._all.used() if self._all is not None and self.thread.is_alive() else 0.0

    def interrupt(self, most: float) -> None:
        """The same for what blocks the loop, once."""
        place = self._place
        if place is not None and self.thread.is_alive() and place.interrupt(most):
            self._place = None

    def stop(self, patience: float = 1.0) -> None:
        """Cancel what runs and end the thread, if it comes round in time."""
        self.end()
        self.join(patience)

    def end(self) -> None:
        """Cancel what runs and end, as soon as the loop comes round."""
        if self._started:
            self.post(self.loop.stop)
        else:
            self.loop.close()

    def join(self, patience: float) -> None:
        """Wait for the thread's end."""
        if self._started:
            self.thread.join(max(0.0, patience))

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._all = Place()
        self._beat()
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _beat(self) -> None:
        self.last_tick = time.monotonic()
        self._place = Place()
        self.loop.call_later(_TICK, self._beat)


SIDE_BY_SIDE = 4
"""Plain calls of one plugin that are out at once, and threads for them."""


class Pool:
    """A few daemon threads, made when needed, for functions that may block."""

    def __init__(self, name: str, size: int = SIDE_BY_SIDE, most: int = 64) -> None:
        self._name = name
        self._size = size
        self._most = most
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on one of the threads; it must not raise."""
        self._queue.put(work)
        self._staff()

    def grow(self) -> None:
        """One of the threads hangs, perhaps for good: another one takes its place."""
        with self._lock:
            self._size = min(self._size + 1, self._most)
        if not self._queue.empty():
            self._staff()

    def _staff(self) -> None:
        with self._lock:
            if self._idle.acquire(blocking=False) or self._threads >= self._size:
                return
            self._threads += 1
            name = f"{self._name}-{self._threads}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Let idle threads end; one that hangs stays behind as a daemon."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            if work is None:
                return
            with contextlib.suppress(GivenUp):
                work()
            self._idle.release()
