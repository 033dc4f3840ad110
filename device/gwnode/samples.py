"""Samples on their way: numbered, sent in small batches, kept on flash while nobody takes them. Pure."""
# Rules of this file. A sample is [number, unix time, channel, metric, value]; numbers count from 1 in
# a boot and never skip, so that what was lost can be named. A sample is here until its PUBACK; what
# is too much for memory goes to the ring on flash, and comes back from there oldest first.

from . import const, say

_BATCH = const(8)  # the link's window
_WAIT_MS = const(5000)  # nobody waits longer for the batch to be full
_RESEND_MS = const(30000)
_MOST = const(32)  # in memory


class Samples:
    """All that were taken and not yet acknowledged."""

    def __init__(self):
        self.count = 0
        self.queue = []  # in memory, oldest first
        self.since = 0  # when the oldest of them was taken
        self.stored = 0  # blocks on flash
        self.block = None  # (boot_id, samples) of the oldest block, while it is being sent
        self.lost = []  # [boot_id, first, last] that the ring had no room for
        self.flying = []  # marks
        self.sent = (None, 0)  # the list that they are of, and how many
        self.resend_at = 0

    def take(self, node, out, now, channel, value):
        """Something worth telling; without a clock it is not."""
        if node.wall is None:
            return
        self.count += 1
        if not self.queue:
            self.since = now
        metric = channel.get("metric") or ""
        self.queue.append([self.count, node.unix(now), channel["name"], metric, value])
        if len(self.queue) >= _MOST:
            self.spill(node, out)

    def spill(self, node, out):
        """From memory to flash, but for what is being sent from there."""
        keep = self.sent[1] if self.flying and self.sent[0] is self.queue else 0
        if len(self.queue) > keep:
            out.append(("hardware", "put", node.boot_id, self.queue[keep:]))
            del self.queue[keep:]

    def is_empty(self):
        return not (self.queue or self.stored or self.lost)

    def cut(self, out):
        """The connection is gone, and with it what was in flight."""
        self.flying = []
        if self.block:
            self.block = None
            out.append(("hardware", "release"))

    def due(self, node, out, now):
        """Send what may be sent, oldest first, one batch after the other."""
        if not node.connected or node.wall is None or (self.flying and now < self.resend_at):
            return
        if self.block:
            self._send(node, out, now, self.block[1], self.block[0])
        elif self.lost:
            self._send(node, out, now, self.lost, None)
        elif self.stored:
            out.append(("hardware", "fetch"))
        elif len(self.queue) >= _BATCH or (self.queue and now - self.since >= _WAIT_MS):
            self._send(node, out, now, self.queue, node.boot_id)

    def _send(self, node, out, now, source, boot_id):
        self.flying = []
        self.sent = source, min(len(source), _BATCH)
        self.resend_at = now + _RESEND_MS
        for one in source[:_BATCH]:
            mark = node.seqs.get("telemetry", 0) + 1
            if boot_id is None:
                mark = -1 - node.seqs.get("event", 0)
            self.flying.append(mark)
            if boot_id is None:
                fields = {"boot": one[0], "first": one[1], "last": one[2], "mark": mark}
                fields.update({"count": one[2] - one[1] + 1, "reason": "ring_full"})
                say.event(node, out, now, "system", "samples_lost", fields)
            else:
                say.telemetry(node, out, one, boot_id, mark)

    def acked(self, out, now, mark):
        """A PUBACK; behind the last of a batch that batch is done."""
        if mark not in self.flying:
            return
        self.flying.remove(mark)
        if self.flying:
            return
        source, count = self.sent
        done = source[:count]
        del source[:count]
        if source is self.queue:
            self.since = now - _WAIT_MS  # what is left has waited for this batch
        elif mark < 0:
            out.append(("hardware", "told", done))
        elif not source:
            self.block = None
            out.append(("hardware", "drop"))

    def on_stored(self, count, lost):
        """How many blocks flash has, and what it had no room for."""
        self.stored = count
        self.lost = lost

    def on_fetched(self, boot_id, samples):
        """The oldest block."""
        self.block = boot_id, samples
