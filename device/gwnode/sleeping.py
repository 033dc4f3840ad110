"""A node that sleeps: it wakes, says hello, takes what waits for it, and sleeps again. Pure, as node.py."""
# Rules of this file. Before it sleeps it says so, and for how long: who is asleep is not offline. A
# trial is never slept through. Where nobody answers, the samples go to flash and the battery is saved.

from . import const, say

_IDLE_MS = const(2000)  # so long nothing may have come
_AWAKE_S = const(30)


def due(node, out, now):
    """Sleep, if it is time."""
    if node.woke is None:
        node.woke = now
    if node.store.trial or node.wanted is not None:
        return
    late = now - node.woke >= node.settings.get("awake_s", _AWAKE_S) * 1000
    if not late and not _is_done(node, now):
        return
    if node.channels:
        node.channels.stop(node, out, now)
    if node.samples:
        node.samples.spill(node, out)
    seconds = node.settings["sleep_s"]
    if node.connected and node.wall is not None:
        say.status(node, out, now, "ASLEEP")
        out.append(("flush",))
    out.append(("sleep", seconds))


def _is_done(node, now):
    """Heard, nothing on its way, everything read and told."""
    heard = node.connected and node.hello_at is None and node.desired <= node.store.running.revision
    if not heard or now - node.heard_at < _IDLE_MS or now - node.since < _IDLE_MS:
        return False
    if node.samples and not node.samples.is_empty():
        return False
    return not node.channels or node.channels.is_done()
