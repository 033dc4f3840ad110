"""Subscriptions as sets: what covers what, and a union without overlap (rule 6). Pure.

A broker may deliver one copy of a message for each overlapping filter of a session, so the gateway
subscribes to a reduced union and fans out by itself.
"""

from __future__ import annotations

from collections.abc import Iterable


def matches(pattern: str, topic: str) -> bool:
    """True where a topic is in a filter, by the rules of MQTT 3.1.1 §4.7."""
    if topic.startswith("$") and pattern[:1] in "+#":
        return False
    return covers(pattern, topic)


def covers(wide: str, narrow: str) -> bool:
    """True where every topic of `narrow` is in `wide`."""
    left, right = wide.split("/"), narrow.split("/")
    for index, level in enumerate(left):
        if level == "#":
            return True
        if index >= len(right) or right[index] == "#":
            return False
        if level != "+" and level != right[index]:
            return False
    return len(left) == len(right)


def overlaps(one: str, other: str) -> bool:
    """True where some topic is in both filters."""
    left, right = one.split("/"), other.split("/")
    for a, b in zip(left, right, strict=False):
        if "#" in (a, b):
            return True
        if a != b and "+" not in (a, b):
            return False
    longer = left[len(right) :] or right[len(left) :]
    return not longer or longer == ["#"]


def union(one: str, other: str) -> str:
    """The narrowest filter that covers both: where they differ it takes everything."""
    left, right = one.split("/"), other.split("/")
    levels: list[str] = []
    for a, b in zip(left, right, strict=False):
        if "#" in (a, b):
            return "/".join([*levels, "#"])
        levels.append(a if a == b else "+")
    if len(left) != len(right):
        levels.append("#")
    return "/".join(levels)


def reduce(patterns: Iterable[str]) -> list[str]:
    """A sorted union of filters in which no two overlap."""
    result: list[str] = []
    for pattern in sorted(set(patterns)):
        merged = pattern
        again = True
        while again:
            again = False
            for other in result:
                if overlaps(merged, other):
                    result.remove(other)
                    merged = union(merged, other)
                    again = True
                    break
        result.append(merged)
    return sorted(result)
