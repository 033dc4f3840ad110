"""Which of the known networks is joined, and when it is tried again. Pure; the radio is given."""
# Rules of this file. tick() never waits, but for the scan of a node that knows several networks (2 s on
# a board, and only while there is no network). The strongest known one comes first; one that the scan
# does not see comes last, for it may be hidden. When all have failed there is a pause: 1, 2, 4 ... 60 s.

from . import const

_JOIN_MS = const(15000)
_FIRST_PAUSE = const(1000)
_LONGEST_PAUSE = const(60000)
_FAILURES = const(
    (
        ("STAT_WRONG_PASSWORD", "wrong password"),
        ("STAT_NO_AP_FOUND", "not found"),
        ("STAT_CONNECT_FAIL", "refused"),
        ("STAT_ASSOC_FAIL", "refused"),
        ("STAT_HANDSHAKE_TIMEOUT", "wrong password"),
        ("STAT_BEACON_TIMEOUT", "too weak"),
    )
)


def failures(network):
    """What the numbers mean that this board's radio gives up with: number -> text."""
    found = {}
    for name, text in _FAILURES:
        if hasattr(network, name):
            found[getattr(network, name)] = text
    return found


class Wifi:
    """`failures` is what the radio's status means where it has given up: number -> text."""

    def __init__(self, wlan, failures):
        self._wlan = wlan
        self._failures = failures
        self._known = []
        self._queue = []  # networks of this round that have not been tried yet
        self._net = None  # the one that is being joined
        self._since = self._resume = 0
        self._pause = _FIRST_PAUSE
        self._fixed = False  # an address of our own is set
        self.joined = False
        self.why = "no Wi-Fi yet"

    def tick(self, wanted, now):
        """Whether a wanted network is joined; else one step towards it. `why` says what went wrong."""
        known = [
            n for n in (wanted if isinstance(wanted, list) else [wanted]) if n and n.get("ssid")
        ]
        if known != self._known:
            if self._known:
                self._leave()  # what is joined may not be wanted any more
            self._known, self._queue, self._net = known, [], None
            self._resume, self._pause = now, _FIRST_PAUSE
        self.joined = self._wlan.isconnected()
        if self.joined:
            self._queue, self._net, self._pause = [], None, _FIRST_PAUSE
        elif not known:
            self.why = "no Wi-Fi is known"
        else:
            self._step(now)
        return self.joined

    def _step(self, now):
        if self._net:
            failure = self._failures.get(self._wlan.status())
            if not failure and now - self._since < _JOIN_MS:
                return
            self.why = "Wi-Fi %s: %s" % (self._net["ssid"], failure or "no answer in time")
            self._net = None
            if not self._queue:
                self._resume = now + self._pause
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if not self._queue:
            if now < self._resume:
                return
            self._queue = self._by_strength()
        self._net, self._since = self._queue.pop(0), now
        self._join(self._net)

    def _by_strength(self):
        if len(self._known) == 1:
            return list(self._known)  # a scan costs seconds, and there is nothing to choose
        found = {}
        try:
            for seen in self._wlan.scan():
                name = seen[0]
                found[name] = max(seen[3], found.get(name, seen[3]))
        except OSError:
            pass  # a radio that cannot look around can still join

        def weakness(net):
            return -found.get(net["ssid"].encode(), -1000)

        return sorted(self._known, key=weakness)

    def _join(self, net):
        self._leave()
        try:
            if net.get("ip"):
                self._wlan.ifconfig(tuple(net["ip"]))
            elif self._fixed:
                self._wlan.ifconfig("dhcp")
            self._fixed = bool(net.get("ip"))
            self._wlan.connect(net["ssid"], net.get("pass") or net.get("password") or "")
        except (OSError, ValueError) as error:
            self.why = "Wi-Fi %s: %s" % (net["ssid"], error)

    def _leave(self):
        try:
            self._wlan.disconnect()
        except (OSError, ValueError):
            pass
