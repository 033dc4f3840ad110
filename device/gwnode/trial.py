"""A config's way through the node: taken, on trial, proved or left again (B5, B6). Pure, as node.py."""
# Rules of this file. The boot record goes to flash before the slot, both before the document runs.
# A trial has an end that nobody needs to be reached for; an end is an end.

from . import say
from .config import pack
from .protocol import MAX_REVISION, Refused, is_integer


def take(node, out, now, payload):
    """A config message, plain or in an envelope."""
    if node.wanted is not None:
        return  # one at a time; the gateway sends again
    try:
        found = node.store.take(payload, node.hardware_id)
    except Refused as refused:
        _answer_refusal(node, out, now, node.store.asked, refused)
        raise
    if found[0] == "again":
        say.report(node, out, found[1], found[1] != "applied")
    elif found[0] == "final":
        say.final(node, out)
    elif found[0] == "reject":
        _reject(node, out, found)
    else:
        _begin(node, out, found[1])


def _reject(node, out, found):
    _, revision, sha, reason, path = found
    if revision:
        node.store.reject(revision, sha, reason, path)
        _keep(node, out)
    say.header(node, out, "rejected", (revision, sha), (reason, path))


def _keep(node, out):
    """The boot record as it is now, to flash."""
    out.append(("record", node.store.record()))


def _answer_refusal(node, out, now, pair, refused):
    """Silence would leave the sender guessing."""
    known = is_integer(pair[0], 0, MAX_REVISION) and isinstance(pair[1], str)
    if known and len(pair[1]) == 64:
        say.header(node, out, "rejected", pair, (refused.word, None))
    else:
        say.error(node, out, now, "config", refused.word, refused.detail)


def _begin(node, out, config):
    pieces = pack(config)  # what may find no memory comes first: nothing has changed yet
    config.text = b""  # flash will have it; a small heap need not
    if config.revision:
        say.header(node, out, "received", (config.revision, config.sha))
    else:
        out.append(("log", "config received, plain"))
    node.store.begin(config)
    node.wanted = config
    # the record first: a power cut behind it finds no such slot, and the good one runs
    out.append(("save", config.slot, pieces, node.store.record()))


def saved(node, out, now):
    """The new document is safe on flash: run it, and prove it."""
    config, node.wanted = node.wanted, None
    node.first_hello = 1 << 30
    node.why = ""
    node.trial_ends = now + node.trial_ms()
    out.append(("log", "config v%d on trial" % config.revision))
    node.switch(out, now)


def unsaved(node, out, now, why):
    """Flash did not take it: what was proved runs, and a trial that it was to replace is over."""
    config, node.wanted = node.wanted, None
    if config is None:
        return
    node.store.trial = None
    _keep(node, out)
    say.header(node, out, "rejected", (config.revision, config.sha), ("flash: " + why, None))
    if node.trial_ends is not None:
        node.trial_ends = None
        node.switch(out, now)


def confirm(node, out):
    """The proof is here."""
    node.store.confirm()
    node.trial_ends = None
    _keep(node, out)
    if node.store.good.revision:
        say.report(node, out, "verified", True)
    else:
        out.append(("log", "config verified, plain"))


def roll_back(node, out, now, reason):
    """No proof came: the config before it runs again, and the next connect tells why."""
    node.trial_ends = None
    node.store.fail("rolled_back", reason)
    node.told = False
    _keep(node, out)
    out.append(("log", "config rolled back: %s" % reason))
    node.switch(out, now)
