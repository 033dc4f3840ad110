"""Is a node alive? (A4, B4.) Pure: proofs of life, wills and time in, a state out.

    never_seen / seen ─proof▶ online ─time▶ late ─time▶ offline ─proof▶ online
                              any of them ─will of this boot▶ offline
    online ─says so▶ asleep ─overslept▶ offline; any life of the node wakes it

Only live messages are proof. A message of an earlier boot is the past: it can neither revive nor
kill. `now` is always the observed clock, which stands still while we hear nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

Life = Literal["never_seen", "seen", "online", "late", "asleep", "offline"]

DEFAULT_INTERVAL = 40.0
"""For a node that never said how often it beats, until that is learnt; offline after 120 s of it."""
SHORTEST, LONGEST = 5.0, 3600.0
PROMISED = 7 * 86_400.0
"""What a node may declare: a sleeper keeps its own promise, a learnt interval is never that long."""
EARLIER = 4


class Grace(NamedTuple):
    """How long beyond its interval a node may be silent: late after `late`, offline after
    `offline` intervals, and never before `least` seconds of silence beyond one interval."""

    late: float = 1.5
    offline: float = 3.0
    least: float = 10.0


class Pulse(msgspec.Struct, frozen=True):
    """What is known of one node's life. Each beat makes a new one: a Struct is replaced in an eighth of a
    tuple's time."""

    life: Life = "never_seen"
    boot_id: str = ""
    boots: str = ""
    seq: int = 0
    proof: float = 0.0
    wait: float | None = None
    declared: float | None = None
    learnt: float | None = None
    beats: int = 0
    missed: int = 0

    @property
    def interval(self) -> float:
        """Seconds between beats: declared, else learnt, else the default."""
        if self.declared:
            return min(max(self.declared, SHORTEST), PROMISED)
        return min(max(self.learnt or DEFAULT_INTERVAL, SHORTEST), LONGEST)


def is_past(pulse: Pulse, boot_id: str | None) -> bool:
    """True for a boot that another one has followed."""
    return bool(boot_id) and boot_id != pulse.boot_id and boot_id in pulse.boots.split()


def _is_over(pulse: Pulse, boot_id: str | None, now: float, grace: Grace) -> bool:
    """True for a message of an earlier boot, unless the one that followed it is silent by now: then it
    was that one's first word that came late, and the earlier boot is the one that runs."""
    return is_past(pulse, boot_id) and now - pulse.proof < late_after(pulse.interval, grace)


def late_after(interval: float, grace: Grace) -> float:
    """Seconds of silence after which a node is late."""
    return interval + max(interval * (grace.late - 1), grace.least / 2)


def offline_after(interval: float, grace: Grace) -> float:
    """Seconds of silence after which a node is offline."""
    return interval + max(interval * (grace.offline - 1), grace.least)


def proof(pulse: Pulse, boot_id: str | None, now: float, grace: Grace) -> Pulse:
    """A live message of the node: it is online. One of an earlier boot changes nothing."""
    return pulse if _is_over(pulse, boot_id, now, grace) else _lives(pulse, boot_id, now, grace)


def _lives(pulse: Pulse, boot_id: str | None, now: float, grace: Grace) -> Pulse:
    """The same of a boot that is believed: asked once, before the message moves what decides it."""
    if boot_id and boot_id != pulse.boot_id:
        boots = [b for b in f"{pulse.boot_id} {pulse.boots}".split() if b != boot_id][:EARLIER]
        pulse = replace(pulse, boot_id=boot_id, boots=" ".join(boots), seq=0, beats=0, missed=0)
    wait = late_after(pulse.interval, grace)
    return replace(pulse, life="online", proof=max(now, pulse.proof), wait=wait)


class Beat(NamedTuple):
    """A beat, or `copies` adjacent ones; `seq` is the last one's, 0 where the node has none."""

    boot_id: str | None
    seq: int
    copies: int
    interval: float | None


def declares(pulse: Pulse, said: Beat, grace: Grace) -> Pulse:
    """A beat of the past: no life, but how often the node beats is known, or the next one comes late."""
    if said.interval is None or said.interval <= 0 or is_past(pulse, said.boot_id):
        return pulse
    if said.interval == pulse.declared:
        return pulse
    pulse = replace(pulse, declared=said.interval)
    after = {"online": late_after, "late": offline_after}.get(pulse.life)
    return pulse if after is None else replace(pulse, wait=after(pulse.interval, grace))


def beat(pulse: Pulse, said: Beat, now: float, grace: Grace) -> Pulse:
    """A live beat: proof of life, a count of what is missing, and how often this node beats."""
    if _is_over(pulse, said.boot_id, now, grace):
        return pulse
    before = pulse
    if said.interval is not None and said.interval > 0:
        if said.interval != pulse.declared:
            pulse = replace(pulse, declared=said.interval)
    elif pulse.declared is None:
        pulse = replace(pulse, learnt=_learn(before, now, said.copies))
    pulse = _lives(pulse, said.boot_id, now, grace)
    if not said.seq:
        return replace(pulse, beats=pulse.beats + said.copies)
    if said.seq <= pulse.seq:
        return pulse  # an old one that came late: alive, but nothing to count
    gap = max(0, said.seq - pulse.seq - said.copies)  # some may be missing between folded ones too
    beats = pulse.beats + said.copies
    return replace(pulse, seq=said.seq, beats=beats, missed=pulse.missed + gap)


def _learn(pulse: Pulse, now: float, count: int) -> float | None:
    """A slow average of the gaps; one long gap does not make a node lazy."""
    if not pulse.beats or now <= pulse.proof:
        return pulse.learnt
    gap = min(max((now - pulse.proof) / count, SHORTEST), LONGEST)
    if pulse.learnt is None:
        return gap
    return pulse.learnt + (min(gap, pulse.learnt * 2) - pulse.learnt) / 8


def will(pulse: Pulse, boot_id: str | None, registered: str | None = None) -> Pulse:
    """A live will, or a status OFFLINE: the end of this boot, not of a newer one.

    `registered` is the boot of the last hello that was believed: where it came as backlog, no live
    message has shown that boot yet.
    """
    boot = pulse.boot_id
    if registered and registered not in pulse.boots.split():
        boot = registered
    if boot and boot_id != boot:
        # also a plain will of a node that puts its boot into its wills: not its own, or an old one
        return pulse
    return replace(pulse, life="offline", wait=None)


def asleep(pulse: Pulse, boot_id: str | None, seconds: float, now: float, grace: Grace) -> Pulse:
    """The node says that it sleeps, and for how long: silence is what it promised, until it has
    overslept by as many naps as another node may miss beats."""
    if _is_over(pulse, boot_id, now, grace):
        return pulse
    pulse = _lives(pulse, boot_id, now, grace)
    return replace(pulse, life="asleep", wait=offline_after(seconds, grace))


def passed(pulse: Pulse, now: float, resumed: float, grace: Grace) -> Pulse:
    """Time went by. `resumed`: since when we have been listening without a break."""
    if pulse.wait is None:
        return pulse
    silence = now - max(pulse.proof, resumed)
    if silence < pulse.wait:
        return pulse  # it spoke after somebody found that it was due
    if pulse.life == "asleep":
        return replace(pulse, life="offline", wait=None)
    if silence >= offline_after(pulse.interval, grace):
        return replace(pulse, life="offline", wait=None)
    if silence >= late_after(pulse.interval, grace):
        return replace(pulse, life="late", wait=offline_after(pulse.interval, grace))
    return pulse
