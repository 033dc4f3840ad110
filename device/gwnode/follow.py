"""What follows from the config that runs, and what is wrong with this board. Pure, as node.py."""
# Rules of this file. What no config and no setting asks for is not even loaded. In safe mode no driver
# runs; another config ends it, because the one that went may have been what was wrong. A trouble is told
# once in a boot, and a boot tells so many; the crash of the boot before until the broker has it.

from . import const, say

_MOST_TROUBLES = const(8)


def recall(node, seen, safe_mode, unix, now):
    """What outlived the last boot; unix is 0 where no clock did."""
    node.seen = [[one[0], one[1], now] for one in seen]
    node.safe_mode = safe_mode
    if unix:
        node.wall = unix * 1000 - now


def wire(node, out, now):
    """The channels of the config that runs, where they are not those that are there."""
    if node.followed is node.store.running or node.wanted is not None:
        return
    if node.channels:
        node.channels.stop(node, out, now)
    if node.followed is not None:
        node.safe_mode = False
    node.followed, node.channels = node.store.running, None
    if node.config["channels"] and not node.safe_mode:
        from . import channels

        found = channels.wanted(node.config, node.settings)
        if found or node.samples:
            node.channels = channels.Channels(node, out, now, found)


def due(node, out, now):
    """What is to be done by now."""
    wire(node, out, now)
    if node.channels:
        node.channels.due(node, out, now)
    if node.samples:
        node.samples.due(node, out, now)
    if node.settings.get("sleep_s"):
        from . import sleeping

        sleeping.due(node, out, now)


def leave_safe_mode(node, out):
    """The next tick opens the channels."""
    node.safe_mode, node.followed = False, None
    out.append(("good_boot",))


def hardware(node, out, now, what, *words):
    """From channels' drivers, or from the ring of samples."""
    if what in ("stored", "fetched"):
        getattr(node.samples, "on_" + what)(*words)
    elif node.channels:
        getattr(node.channels, "on_" + what)(node, out, now, *words)


# -- troubles ---------------------------------------------------------------------------------


def note(node, out, now, component, text):
    """Something does not work."""
    known = [one[1] for one in node.troubles]
    if text not in known and len(known) < _MOST_TROUBLES:
        node.troubles.append([component, text, False])
        if node.connected:
            tell(node, out, now)


def tell(node, out, now):
    """There is somebody."""
    for one in node.troubles:
        if not one[2]:
            one[2] = True
            say.error(node, out, now, one[0], "trouble", one[1])
