"""What the node does next: step(event, now) -> actions. Pure: no clock, no socket, no flash, no chance."""
# Rules of this file. `now` is a monotonic count of milliseconds that never wraps. Events and actions
# are tuples whose first item is their name:
#   in:  boot | network | connected | failed why | lost why | message topic payload | oversized topic size |
#        acked mark | saved | unsaved why | trouble component text | tick
#   out: open mqtt will_topic will | subscribe topics | publish topic payload retain mark |
#        save slot pieces record | record content | flush | close | clock unix | forget_crash |
#        restart why | remember cmd_id status | good_boot | sleep seconds | log text
#   both ways: hardware what ..., see channels.py and samples.py
# A message's payload is a bytearray, and a config uses it up: it becomes the document.
# Promises: hello on every connect, repeated until a receipt that counts; beats always; a config that
# cannot prove itself is left again. say.py makes the messages, greeting.py minds hello, receipt and
# clock, trial.py leads a config, commands.py answers commands. No floats in any time: a board's
# have 32 bits and know the year to two minutes.

from . import const, follow, greeting, say, trial
from .protocol import TEMP_GH, TEMP_ZONE, Refused, is_temp, temp_topic

_MINUTE = const(60000)
_SETTLED = const(10000)  # a connection that lived this long was a good one


class Names:
    """The part of a node that answers questions."""

    def __init__(self, settings, store, seed):
        self.settings = settings
        self.store = store
        self.seed = seed
        self.root = settings.get("root", "hydro")
        self.hardware_id = settings["hardware_id"]
        self.seqs = {}
        self.wall = None  # unix milliseconds minus now, once the clock is known

    @property
    def config(self):
        return self.store.running.values

    def place(self):
        """(gh, zone, node) of the name space in which we speak."""
        gh, zone = self.config.get("gh_uid") or TEMP_GH, self.config.get("zone_uid") or TEMP_ZONE
        if is_temp(gh, zone):
            return TEMP_GH, TEMP_ZONE, self.hardware_id
        return gh, zone, self.config.get("node_id") or self.hardware_id

    def topic(self, kind, channel=None):
        place = self.place()
        return "/".join((self.root,) + place + ((channel,) if channel else ()) + (kind,))

    def topics(self):
        """Ours, and the temp ones for ever (A1)."""
        temp = temp_topic(self.root, self.hardware_id, "")
        names = [temp + "hello_ack"]
        for base in (temp, self.topic("")):
            for name in (base + "config", base + "+/command"):
                if name not in names:
                    names.append(name)
        names.append(self.root + "/time/response")
        return names

    def seq(self, kind):
        self.seqs[kind] = self.seqs.get(kind, 0) + 1
        return self.seqs[kind]

    def chance(self, most):
        """0 to most - 1; chance comes from outside, once, as the seed."""
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.seed >> 7) % most

    def jitter(self, pause):
        """Full jitter, but never at once again."""
        return pause // 8 + self.chance(pause * 7 // 8)

    def interval(self):
        return self.settings.get("interval_s", 15)

    def trial_ms(self):
        return int(self.settings.get("trial_s", 120) * 1000)

    def unix(self, now):
        return (self.wall + now) // 1000 if self.wall is not None else 0


class Node(Names):
    """The state. One object for a boot."""

    def __init__(self, settings, store, boot_id, facts, seed):
        super().__init__(settings, store, seed)
        self.boot_id = boot_id
        self.facts = facts  # () -> a dictionary: free_heap, min_free_heap, rssi, uptime
        self.lost_messages = 0
        self.connected = False
        self.since = 0  # when this connection began
        self.trusted_clock = False
        self.past = 0  # unix seconds that are past for sure
        self.heard = False  # a receipt has counted in this boot
        self.crash = ""  # the traceback of the boot before, until it is told
        self.why = ""  # what kept us from the broker last
        self.tries = 0  # connections in a row that did not come to anything
        self.open_at = 0
        self.hello_at = None
        self.hello_pause = 1000
        self.first_hello = 0  # the first hello since this config runs: only its answers prove it
        self.unanswered = 0
        self.beat_at = 0
        self.time_at = None
        self.time_tries = 0
        self.trial_ends = None
        self.wanted = None  # a config that is being written
        self.told = False  # this boot has said which pair failed last
        self.seen = []  # [cmd_id, the answer that is repeated, when it came], oldest first
        self.woke = None  # when it began to be awake, for one that sleeps
        self.heard_at = 0  # when a message came
        self.desired = 0  # the revision that the last receipt spoke of
        self.safe_mode = False  # too many boots went wrong: no drivers
        self.followed = None  # the config whose channels these are
        self.channels = None  # where a channel has a driver
        self.samples = None  # of all channels, also of those that are gone
        self.troubles = []  # [component, text, whether it is told]

    # -- the step --------------------------------------------------------------------------------

    def step(self, event, now):
        """The actions that follow an event."""
        out = []
        getattr(self, "on_" + event[0])(out, now, *event[1:])
        return out

    on_boot, on_hardware, on_trouble = follow.wire, follow.hardware, follow.note
    on_saved, on_unsaved = trial.saved, trial.unsaved

    def on_connected(self, out, now):
        self.connected = True
        self.since = now
        out.append(("subscribe", self.topics()))
        self.beat_at = now + self.jitter(2000)
        if self.wall is not None:
            say.status(self, out, now)
        greeting.begin(self, out, now)
        if self.store.failed and not self.store.trial and not self.told:
            self.told = True
            say.final(self, out)
        say.report_all(self, out)
        follow.tell(self, out, now)
        if self.crash:  # told again until it is acknowledged
            say.error(self, out, now, "node", "crash", self.crash)

    def on_network(self, out, now):
        """There is a network again; a house that had no power does not come back as one."""
        if not self.connected:
            self.tries = 0
            self.open_at = now + self.chance(1000)

    def on_failed(self, out, now, why):
        pause = self._back_off(out, now, why)
        text = "broker not reached (%s), next try within %d s"
        out.append(("log", text % (why, pause // 1000)))

    def on_lost(self, out, now, why):
        if now - self.since >= _SETTLED:
            self.tries = 0
        # a broker that takes us and throws us out again is not asked more often than one that is away
        self._back_off(out, now, why)
        out.append(("log", "connection lost: %s" % why))

    def _back_off(self, out, now, why):
        self._cut(out)
        self.why = why
        pause = min(1000 << min(self.tries, 6), _MINUTE)
        self.tries += 1
        self.open_at = now + self.jitter(pause)
        return pause

    def on_tick(self, out, now):
        if self.store.trial and self.trial_ends is None and self.wanted is None:
            # a reboot within a trial: its time runs from here, whether or not there is a network
            self.trial_ends = now + self.trial_ms()
        if self.trial_ends is not None and now >= self.trial_ends and self.wanted is None:
            reason = "no receipt within %d s" % (self.trial_ms() // 1000)
            if self.why:
                reason += " (%s)" % self.why[:80]
            trial.roll_back(self, out, now, reason)
        elif not self.connected:
            if now >= self.open_at:
                self.open_at = now + _MINUTE
                out.append(("open", self.config.get("mqtt") or {}) + say.will(self))
        else:
            greeting.due(self, out, now)
            if now >= self.beat_at:
                self.beat_at = now + int(self.interval() * 1000)
                say.beat(self, out)
        follow.due(self, out, now)

    def on_message(self, out, now, topic, payload):
        if not self.connected:
            return  # it was for the connection that this config has left
        self.heard_at = now
        kind = topic.split("/")[-1]
        try:
            if kind == "hello_ack":
                greeting.receipt(self, out, now, payload)
            elif kind == "config":
                trial.take(self, out, now, payload)
            elif kind == "response":
                greeting.time_response(self, out, now, payload)
            elif kind == "command":
                from . import commands  # not before the first one: a small heap is better used

                commands.take(self, out, now, topic.split("/")[-2], payload)
        except Refused as refused:
            out.append(("log", "refused a %s: %s %s" % (kind, refused.word, refused.detail)))

    def on_oversized(self, out, now, topic, size):
        kind = topic.split("/")[-1]
        out.append(("log", "refused a %s: too_big %d bytes" % (kind, size)))
        if kind == "config" and self.connected:
            say.error(self, out, now, "config", "too_big", "%d bytes" % size)

    def on_acked(self, out, now, mark):
        on_trial = self.store.trial
        if mark == "plain" and on_trial and not on_trial.revision and self.wanted is None:
            trial.confirm(self, out)
        elif mark == "crash":
            self.crash = ""
            out.append(("forget_crash",))
        elif self.samples:
            self.samples.acked(out, now, mark)

    def switch(self, out, now):
        """Everything may have changed: name space, broker, Wi-Fi. Begin the connection anew."""
        if self.connected:
            out.append(("flush",))
        out.append(("close",))
        self._cut(out)
        self.tries = 0
        self.open_at = now

    def _cut(self, out):
        self.connected = False
        if self.samples:
            self.samples.cut(out)
