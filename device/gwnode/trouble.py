"""What is wrong with this board, told to the gateway as soon as there is somebody. Pure, as node.py."""
# Rules of this file. A text is told once in a boot, and a boot tells so many; the crash of the boot before
# is told until the broker has it.

from . import const, say

_MOST = const(8)


def note(node, out, now, component, text):
    """Something does not work."""
    known = [one[1] for one in node.troubles]
    if text not in known and len(known) < _MOST:
        node.troubles.append([component, text, False])
        if node.connected:
            tell(node, out, now)


def tell(node, out, now):
    """There is somebody."""
    for one in node.troubles:
        if not one[2]:
            one[2] = True
            say.error(node, out, now, one[0], "trouble", one[1])


def crash(node, out, now):
    """A new connection: what is not acknowledged is told again."""
    if node.crash:
        say.crash(node, out, now)


def told(node, out):
    """The broker has the crash."""
    node.crash = ""
    out.append(("forget_crash",))
