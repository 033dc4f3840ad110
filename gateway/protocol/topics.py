"""Topics: the only file of the gateway that knows how they are spelled (PROTOCOL A1, B1).

Pure functions over strings. A name that breaks the rules is refused with the word `topic`; it never
becomes part of another topic, a file name, a log line or SQL. Names are compared in lower case,
topics are published in the spelling in which they were received.

    {root}/node_hello                          global: a node says who it is
    {root}/time/request  {root}/time/response  global: the clock
    {root}/{gh}/{zone}/{node}/{kind}           five levels: about a node
    {root}/{gh}/{zone}/{node}/{channel}/{kind} six levels: about one channel of a node
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.errors import DataError, Refusal

TEMP_GH: Final = "gh-temp"
TEMP_ZONE: Final = "zn-temp"
RESERVED: Final = frozenset({"system", "v2"})
"""First levels that A1 keeps for later; nothing below them is ours."""

GLOBAL: Final = {
    "node_hello": "node_hello",
    "time/request": "time_request",
    "time/response": "time_response",
}
"""What follows the root in the topics that name no node, and the kind that it stands for."""

NODE_KINDS: Final = frozenset(
    {
        "node_hello",
        "hello_ack",
        "status",
        "lwt",
        "heartbeat",
        "config_report",
        "diagnostics",
        "error",
        "config",
    }
)
"""Kinds of part A and B with five levels. A plugin's own kinds may have five or six."""

CHANNEL_KINDS: Final = frozenset({"telemetry", "event", "command", "command_response"})
"""Kinds of part A with six levels."""

CHANNEL_MAX: Final = 255

_UID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HARDWARE = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}")
_SPELLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SPELLED_TEMP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Topic(NamedTuple):
    """A topic taken apart; what a topic does not have is ''."""

    kind: str
    gh: str
    """As received: compare it with `is_temp`, publish to it as it is."""
    zone: str
    name: str
    """The node segment in lower case: a uid, or on temp topics the hardware_id."""
    channel: str
    spelled: str
    """The node segment as received."""


def is_uid(name: str) -> bool:
    """Whether the name may be a uid: B1's pattern, at most 64 characters, lower case already."""
    return _UID.fullmatch(name) is not None


def is_hardware_id(name: str) -> bool:
    """Whether the name may be a hardware_id: B1's pattern, at most 128 characters, lower case."""
    return _HARDWARE.fullmatch(name) is not None


def is_temp(gh: str, zone: str) -> bool:
    """Whether the name space is the one of unbound nodes: either half says so (A1.1)."""
    return gh.lower() == TEMP_GH or zone.lower() == TEMP_ZONE


def is_channel(name: str) -> bool:
    """Whether the name may be a channel: printable, no wildcard, no slash, at most 255."""
    return (
        0 < len(name) <= CHANNEL_MAX
        and name.isprintable()
        and "+" not in name
        and "#" not in name
        and "/" not in name
    )


@lru_cache(maxsize=8192)
def parse(topic: str, root: str) -> Topic:
    """Take a topic apart.

    Raises:
        Refusal: word `topic`, when the shape is unknown or a name breaks B1's rules.
    """
    head = root + "/"
    if not topic.startswith(head):
        raise Refusal("topic", "the topic does not begin with the configured root")
    rest = topic[len(head) :]
    if (kind := GLOBAL.get(rest)) is not None:
        return Topic(kind, "", "", "", "", "")
    levels = rest.split("/")
    if len(levels) not in (4, 5):
        raise Refusal(
            "topic", f"{len(levels)} levels below the root; nodes use 4, or 5 for a channel"
        )
    gh, zone, spelled = levels[:3]
    channel = levels[3] if len(levels) == 5 else ""
    kind = levels[-1]
    problem = _problem(gh, zone, spelled, kind, channel if len(levels) == 5 else None)
    if problem:
        raise Refusal("topic", problem)
    return Topic(kind, gh, zone, spelled.lower(), channel, spelled)


def _problem(gh: str, zone: str, node: str, kind: str, channel: str | None) -> str:
    """Say which part of a node's topic breaks a rule; '' when none does. Names no bad value."""
    if not _SPELLED.fullmatch(gh) or gh.lower() in RESERVED:
        return "the greenhouse level is no allowed name, or is reserved"
    if not _SPELLED.fullmatch(zone):
        return "the zone level is no allowed name"
    pattern = _SPELLED_TEMP if is_temp(gh, zone) else _SPELLED
    if not pattern.fullmatch(node):
        return "the node level is no allowed name (letters, digits, - and _, at most 64 or 128)"
    if channel is not None and not is_channel(channel):
        return "the channel level is empty, too long, or has wildcards or control characters"
    return _kind_problem(kind, channel is not None)


def _kind_problem(kind: str, per_channel: bool) -> str:
    """Say why the kind does not go with the shape of its topic; '' when it does."""
    if not _KIND.fullmatch(kind) or kind in ("time_request", "time_response"):
        return "the last level is no message kind of a node"
    if kind in (NODE_KINDS if per_channel else CHANNEL_KINDS):
        return f"{kind} has no channel level" if per_channel else f"{kind} needs a channel level"
    return ""


class Topics:
    """Builds topics below one root; refuses names that break B1's rules with a `DataError`."""

    def __init__(self, root: str = "hydro") -> None:
        levels = root.split("/")
        if not all(is_channel(level) for level in levels) or root.startswith("$"):
            raise DataError(
                f"{root!a} cannot be the root of our topics",
                why="a root is one or more levels without wildcards and control characters",
                hint='root = "hydro"',
            )
        self.root = root

    def node_hello(self) -> str:
        """Where a node says who it is."""
        return f"{self.root}/node_hello"

    def time_request(self) -> str:
        """Where a node asks for the time."""
        return f"{self.root}/time/request"

    def time_response(self) -> str:
        """Where all nodes listen for the time."""
        return f"{self.root}/time/response"

    def hello_ack(self, hardware_id: str) -> str:
        """Where a node listens for its receipt, under the one name that it never changes."""
        return self.of(TEMP_GH, TEMP_ZONE, hardware_id, "hello_ack")

    def temp_config(self, hardware_id: str) -> str:
        """Where every node listens for a config for ever, bound or not."""
        return self.of(TEMP_GH, TEMP_ZONE, hardware_id, "config")

    def config(self, gh: str, zone: str, node: str) -> str:
        """Where a node of this name space listens for a config."""
        return self.of(gh, zone, node, "config")

    def command(self, gh: str, zone: str, node: str, channel: str) -> str:
        """Where a node listens for commands to one channel; `system` is the node itself."""
        return self.of(gh, zone, node, "command", channel)

    def of(self, gh: str, zone: str, node: str, kind: str, channel: str = "") -> str:
        """Build any topic of a node; with a channel it has six levels.

        Raises:
            DataError: a part is no allowed name, or the kind does not go with that shape.
        """
        problem = _problem(gh, zone, node, kind, channel or None)
        if problem:
            raise DataError(f"no topic can be built: {problem}")
        middle = f"{node}/{channel}" if channel else node
        return f"{self.root}/{gh}/{zone}/{middle}/{kind}"

    def parse(self, topic: str) -> Topic:
        """Take apart a topic below this root; see the function `parse`."""
        return parse(topic, self.root)

    def place_in(self, topic: str) -> str:
        """`greenhouse/zone/node` of a topic with five levels, as received; "" for any other."""
        try:
            found = self.parse(topic)
        except Refusal:
            return ""
        whole = found.spelled and not found.channel
        return f"{found.gh}/{found.zone}/{found.spelled}" if whole else ""

    def filters(self, kind: str, per_channel: bool = False) -> list[str]:
        """Say what to subscribe to for this kind; no two filters overlap."""
        if kind == "time_request":
            return [self.time_request()]
        if not _KIND.fullmatch(kind):
            raise DataError(f"{kind!a} cannot be a message kind")
        if per_channel:
            return [f"{self.root}/+/+/+/+/{kind}"]
        node = f"{self.root}/+/+/+/{kind}"
        return [self.node_hello(), node] if kind == "node_hello" else [node]
