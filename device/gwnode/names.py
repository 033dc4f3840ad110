"""What a node is called, how it counts, and its chance. Pure, as node.py."""
# Rules of this file. Names come from the config that runs; nothing here changes what the node does.

from .protocol import TEMP_GH, TEMP_ZONE, is_temp, temp_topic


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
        parts = [self.root] + list(self.place()) + ([channel] if channel else []) + [kind]
        return "/".join(parts)

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
