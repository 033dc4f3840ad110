"""What can happen to the network of a fleet: each act leaves something broken behind it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from gateway.testing.broker import Mosquitto
from gateway.testing.proxy import Proxy, Weather

COUNT = 6


class Acts:
    """The acts of one script: which, in what order and how strong comes from the dice."""

    def __init__(self, dice: random.Random, proxy: Proxy, broker: Mosquitto) -> None:
        self._dice = dice
        self._proxy = proxy
        self._broker = broker
        every = [self.slow, self.torn, self.stalled, self.narrow, self.reset]
        every += [self.mid_packet, self.silent, self.broker_restarts]
        self.chosen: list[Callable[[], None]] = dice.sample(every, COUNT)

    def slow(self) -> None:
        """Bytes come late, and not evenly."""
        delay = self._dice.uniform(0.01, 0.2)
        self._proxy.weather = Weather(delay=delay, jitter=2 * delay)

    def torn(self) -> None:
        """Connections break in the middle of a packet."""
        self._proxy.weather = Weather(tear=self._dice.uniform(0.01, 0.1))

    def stalled(self) -> None:
        """Connections stand and carry nothing."""
        self._proxy.weather = Weather(stall=self._dice.uniform(0.01, 0.05))

    def narrow(self) -> None:
        """A line of a few kilobytes a second for each node."""
        self._proxy.weather = Weather(rate=self._dice.uniform(500, 5000))

    def reset(self) -> None:
        """Everybody at once."""
        self._proxy.cut()

    def mid_packet(self) -> None:
        """Everybody, so many bytes later."""
        self._proxy.tear(self._dice.randrange(1, 60))

    def silent(self) -> None:
        """Whoever says something now is half-open for ever."""
        self._proxy.silent = True
        time.sleep(self._dice.uniform(0.5, 2.0))
        self._proxy.silent = False

    def broker_restarts(self) -> None:
        """It forgets every session."""
        self._broker.stop()
        self._broker.start()
