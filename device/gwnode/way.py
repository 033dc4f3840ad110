"""The way to the broker: a network to go over, and the link that goes there."""
# Rules of this file. One link is kept, because it remembers the broker's address and the packet ids; it
# is made anew only for another broker or login. Without a network nothing is opened.

import gc

from . import board, log
from .link import Link, LinkError


class Way:
    """Where the node's mqtt and wifi lead."""

    def __init__(self, folder, settings):
        self._folder = folder
        self._name = settings["hardware_id"]
        self._links = {}
        self._wifi = board.radio(settings.get("wifi_country"), settings.get("wifi_power", ""))

    def changed(self, wanted):
        """True when the network has come, False when it has gone, None when it is as it was."""
        wifi = self._wifi
        if wifi is None:
            return None
        had, why = wifi.joined, wifi.why
        has = wifi.tick(wanted, board.now_ms())
        if has != had:
            log.info("Wi-Fi joined, %d dBm" % board.rssi() if has else "Wi-Fi lost")
            return has
        if why != wifi.why:
            log.info(wifi.why)
        return None

    def link(self, mqtt):
        """The link to this broker, to be opened. Raises LinkError, and OSError or ValueError for what
        is wrong with the files of TLS."""
        if self._wifi is not None and not self._wifi.joined:
            raise LinkError(self._wifi.why)
        secure = bool(mqtt.get("tls") or mqtt.get("use_tls"))
        key = (
            mqtt.get("client_id") or self._name,
            mqtt.get("host", "127.0.0.1"),
            mqtt.get("port", 1883),
            mqtt.get("username") or mqtt.get("user"),
            mqtt.get("password") or mqtt.get("pass"),
            mqtt.get("keepalive", 60),
        )
        if (key, secure) not in self._links:
            self._links.clear()  # one at a time: its buffer is what a small heap misses most
            gc.collect()
            context = self._context(secure)
            self._links[key, secure] = Link(*key, ssl=context, clock=board.now_ms)
        return self._links[key, secure]

    def _context(self, secure):
        if not secure:
            return None
        from . import tls  # a board without TLS has the memory for something else

        return tls.context(self._folder)
