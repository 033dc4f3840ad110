"""Hypothesis strategies for the wire: topics and payloads, good and hostile.

For tests of the gateway and of plugins. Good ones are what PROTOCOL allows; hostile ones are paired
with the word of the refusal that they must meet. Nothing here looks at a clock or at a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from gateway.protocol.scan import SAFE_INT
from gateway.protocol.states import NODE_TYPES
from gateway.protocol.topics import CHANNEL_KINDS, RESERVED, Topic, is_temp

_HEAD = "abcdefghijklmnopqrstuvwxyz0123456789"
_BODY = _HEAD + "-_"

Pairs = list[tuple[str, Any]]
"""An object as pairs, so that a key may come twice."""


def names(longest: int = 64) -> SearchStrategy[str]:
    """Names that B1 allows in a topic, in lower case."""
    return st.builds(
        str.__add__, st.sampled_from(_HEAD), st.text(_BODY, max_size=longest - 1)
    ).filter(lambda name: name not in RESERVED)


def channels() -> SearchStrategy[str]:
    """Channel names: what a human may call a pump."""
    return st.one_of(names(63), st.sampled_from(["system", "pump_acid", "Датчик 1", "x" * 255]))


@st.composite
def topics(draw: DrawFn, root: str = "hydro") -> tuple[str, Topic]:
    """A topic of a node, with what it must be taken apart into."""
    temp = draw(st.booleans())
    gh, zone = ("gh-temp", "zn-temp") if temp else (draw(names()), draw(names()))
    spelled = draw(names(128 if is_temp(gh, zone) else 64))
    if draw(st.booleans()):
        spelled = spelled.upper()
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["heartbeat", "status", "lwt", "config_report", "node_hello"]))
        text = f"{root}/{gh}/{zone}/{spelled}/{kind}"
        return text, Topic(kind, gh, zone, spelled.lower(), "", spelled)
    kind, channel = draw(st.sampled_from(sorted(CHANNEL_KINDS))), draw(channels())
    text = f"{root}/{gh}/{zone}/{spelled}/{channel}/{kind}"
    return text, Topic(kind, gh, zone, spelled.lower(), channel, spelled)


_BAD_NAMES = (
    "", "+", "#", "a+b", "a#", "a\0b", "a\nb", "a b", "-a", "_a", "é", "\u212a", "a\x7f", "a.b",
    "..", "x" * 129, "x" * 300, "%2e", "a\u202eb", "$SYS", "'; --",
)  # fmt: skip


@st.composite
def hostile_topics(draw: DrawFn, root: str = "hydro") -> str:
    """A topic that must be refused with the word `topic`."""
    good, _ = draw(topics(root))
    levels = good.split("/")
    spoil = draw(st.sampled_from(["name", "shorter", "longer", "root", "kind", "channel"]))
    if spoil == "name":
        levels[draw(st.integers(1, 3))] = draw(st.sampled_from(_BAD_NAMES))
    elif spoil == "shorter":
        levels = levels[: draw(st.integers(0, 3))]
    elif spoil == "longer":
        levels += ["x"] * draw(st.integers(3, 20))
    elif spoil == "root":
        levels[0] += draw(st.sampled_from(["x", " ", "\0"]))
    elif spoil == "kind":
        levels[-1] = draw(st.sampled_from(["", "Heartbeat", "+", "#", "a b", "time_request"]))
    else:
        bad = ["", "+", "#", "a\0", "x" * 256, "a\nb", "\ud800", "\u202e"]
        levels = [*levels[:4], draw(st.sampled_from(bad)), "telemetry"]
    return "/".join(levels)


def scalars() -> SearchStrategy[Any]:
    """Values without anything inside that every reader of the wire reads alike."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-SAFE_INT, SAFE_INT),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.sampled_from(["12:00", 'a":1', '":', " :", "\\", "\\u0061", "{[", "]}"]),
    )


def documents() -> SearchStrategy[dict[str, Any]]:
    """Whole objects, a few levels deep, that everybody takes."""
    keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    below = st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=12,
    )
    return st.dictionaries(keys, below, max_size=6)


def boots() -> SearchStrategy[dict[str, Any]]:
    """The two fields that our own nodes put into every message, or neither."""
    ours = st.fixed_dictionaries(
        {
            "boot_id": st.text("0123456789abcdef", min_size=8, max_size=8),
            "seq": st.integers(1, 9999),
        }
    )
    return st.one_of(st.just({}), ours)


def _message(**fields: SearchStrategy[Any]) -> Callable[..., SearchStrategy[dict[str, Any]]]:
    def build(**always: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
        body = st.fixed_dictionaries(always, optional=fields)
        return st.builds(lambda body, boot: {**body, **boot}, body, boots())

    return build


_WORDS = st.text("abc-.0123456789 ", max_size=16)


def hellos() -> SearchStrategy[dict[str, Any]]:
    """`node_hello` documents that must be taken."""
    return _message(
        node_type=st.sampled_from([*NODE_TYPES, "ph_node", "toaster"]),
        fw_version=_WORDS,
        hardware_revision=_WORDS,
        capabilities=st.lists(channels(), max_size=3),
        provisioning_meta=st.fixed_dictionaries({}, optional={"node_uid": names(), "extra": scalars()}),
        protocol=st.just(1),
        config_revision=st.integers(0, 1000),
        trace_id=_WORDS,
    )(message_type=st.just("node_hello"), hardware_id=names(128))  # fmt: skip


def heartbeats() -> SearchStrategy[dict[str, Any]]:
    """`heartbeat` documents that must be taken."""
    return _message(
        rssi=st.integers(-100, 0),
        fw_version=_WORDS,
        config_revision=st.integers(0, 1000),
        interval_s=st.one_of(st.integers(1, 600), st.floats(0.5, 600)),
        unknown_field=scalars(),
    )(uptime=st.integers(0, 10**9), free_heap=st.integers(0, 10**9))


def config_reports() -> SearchStrategy[dict[str, Any]]:
    """`config_report` documents that must be taken: ours and plain ones."""
    return _message(
        state=st.sampled_from(["received", "applied", "verified", "rejected", "rolled_back"]),
        revision=st.integers(1, 1000),
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
        reason=_WORDS,
        channels=st.lists(st.dictionaries(names(8), scalars(), max_size=3), max_size=3),
    )(node_id=names())


def compact(document: Any) -> bytes:
    """The document as our nodes spell it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def messages() -> SearchStrategy[tuple[str, bytes]]:
    """A kind and a payload of that kind that must be taken."""
    wills = st.sampled_from([b"offline", b"OFFLINE", b'{"status":"OFFLINE","boot_id":"0a1b2c3d"}'])
    return st.one_of(
        st.tuples(st.just("node_hello"), hellos().map(compact)),
        st.tuples(st.just("heartbeat"), heartbeats().map(compact)),
        st.tuples(st.just("config_report"), config_reports().map(compact)),
        st.tuples(st.just("lwt"), wills),
    )


def trees() -> SearchStrategy[Any]:
    """Documents as trees whose objects are `Pairs`: keys may come twice, in two spellings."""
    keys = st.sampled_from(["a", "b", "", "a:", '"', "é", "\U0001f331", "ab"])
    numbers = st.integers(-SAFE_INT - 2, SAFE_INT + 2)
    return st.recursive(
        st.one_of(scalars(), numbers),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(tuple),
            st.lists(st.tuples(keys, inner), max_size=4),
        ),
        max_leaves=15,
    )


@st.composite
def json_texts(draw: DrawFn) -> str:
    """JSON in any spelling: white space anywhere, characters escaped or not, keys that come twice.

    It is always JSON by RFC 8259; whether we take it is another question.
    """
    return _spell(draw, draw(trees()))


def _spell(draw: DrawFn, tree: Any) -> str:
    def gap() -> str:
        return draw(st.sampled_from(["", "", "", "", " ", "\n", "\t\r "]))

    if isinstance(tree, str):
        return _quoted(draw, tree)
    if isinstance(tree, tuple):
        inside = ",".join(gap() + _spell(draw, item) + gap() for item in tree)
        return f"[{inside or gap()}]"
    if isinstance(tree, list):
        pairs = (
            f"{gap()}{_quoted(draw, key)}{gap()}:{gap()}{_spell(draw, item)}{gap()}"
            for key, item in tree
        )
        return f"{{{','.join(pairs) or gap()}}}"
    return json.dumps(tree)


def _quoted(draw: DrawFn, text: str) -> str:
    if draw(st.booleans()):
        return json.dumps(text, ensure_ascii=draw(st.booleans()))
    units = text.encode("utf-16-be")
    return (
        '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'
    )


@st.composite
def hostile_payloads(draw: DrawFn) -> tuple[bytes, str]:
    """A payload that must be refused whatever its kind, and the word that it must meet."""
    good = draw(documents().map(compact))
    inside = draw(st.sampled_from(sorted(_HOSTILE)))
    value, word = _HOSTILE[inside]
    bad = b'{"x":' + value + b',"y":' + good + b"}"
    return bad, word


_HOSTILE: dict[str, tuple[bytes, str]] = {
    "NaN": (b"NaN", "not_json"),
    "Infinity": (b"-Infinity", "not_json"),
    "out of range": (b"1e400", "not_json"),
    "2^53 + 1": (b"9007199254740993", "not_json"),
    "5,000 digits": (b"9" * 5000, "not_json"),
    "leading zero": (b"01", "not_json"),
    "bare word": (b"tru", "not_json"),
    "missing comma": (b"[1 2]", "not_json"),
    "missing colon": (b'{"a" 1}', "not_json"),
    "trailing comma": (b"[1,]", "not_json"),
    "twice": (b'{"a":1,"a":2}', "not_json"),
    "twice in two spellings": (b'{"a":1,"\\u0061":2}', "not_json"),
    "twice with a gap": (b'{"a" :1,"a":2}', "not_json"),
    "half a pair": (b'"\\ud83d"', "not_json"),
    "half a pair, low": (b'"\\udf31x"', "not_json"),
    "raw control character": (b'"a\nb"', "not_json"),
    "open string": (b'"a', "not_json"),
    "not UTF-8": (b'"\xff"', "not_utf8"),
    "raw half of a pair": (b'"\xed\xa0\xbd"', "not_utf8"),
    "overlong": (b'"\xc0\xaf"', "not_utf8"),
    "17 levels": (b"[" * 17 + b"]" * 17, "depth"),
    "10,000 arrays": (b"[" * 10_000 + b"]" * 10_000, "depth"),
    "10,000 objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "depth"),
}
