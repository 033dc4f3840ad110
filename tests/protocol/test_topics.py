"""Topics: taken apart, built, refused. The vectors hold the cases, Hypothesis the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DataError, Refusal
from gateway.protocol import topics
from gateway.protocol.topics import Topic, Topics, is_hardware_id, is_temp, is_uid, parse
from gateway.testing import strategies


@pytest.mark.vectors("topics.json", "parse")
def test_parse(case: dict[str, Any]) -> None:
    """Each topic is taken apart as the vectors say, or refused with the word `topic`."""
    root = case.get("root", "hydro")
    if "refused" in case:
        with pytest.raises(Refusal) as caught:
            parse(case["topic"], root)
        assert caught.value.word == case["refused"]
    else:
        assert parse(case["topic"], root)._asdict() == case["expect"]
        assert Topics(root).parse(case["topic"]) == parse(case["topic"], root)


@pytest.mark.vectors("topics.json", "build")
def test_build(case: dict[str, Any]) -> None:
    """Each builder makes the topic of the vectors, or raises and makes none."""
    build = getattr(Topics("hydro"), case["build"])
    if "refused" in case:
        with pytest.raises(DataError):
            build(*case["args"])
    else:
        assert build(*case["args"]) == case["expect"]
        parse(case["expect"], "hydro")


@pytest.mark.vectors("topics.json", "filters")
def test_filters(case: dict[str, Any]) -> None:
    """A kind is subscribed to with exactly the filters of the vectors."""
    assert Topics("hydro").filters(case["kind"], case["per_channel"]) == case["expect"]


def test_filters_of_all_kinds_never_overlap(vectors: Any) -> None:
    """No topic can match two of our filters, whatever the broker does about overlaps."""
    filters = [text for case in vectors("topics.json")["filters"] for text in case["expect"]]
    for i, one in enumerate(filters):
        for other in filters[i + 1 :]:
            pairs = list(zip(one.split("/"), other.split("/"), strict=False))
            same_length = one.count("/") == other.count("/")
            assert not (same_length and all(a == b or "+" in (a, b) for a, b in pairs))


def test_filter_for_a_kind_that_is_no_name() -> None:
    """A plugin cannot subscribe to a wildcard under the name of a kind."""
    for kind in ("#", "+", "", "a/b", "A"):
        with pytest.raises(DataError):
            Topics("hydro").filters(kind)


@pytest.mark.vectors("topics.json", "is_temp")
def test_is_temp(case: list[Any]) -> None:
    """A name space is temporary if either half says so."""
    assert is_temp(case[0], case[1]) is case[2]


@pytest.mark.vectors("topics.json", "is_uid")
def test_is_uid(case: list[Any]) -> None:
    """A uid keeps to B1's pattern in lower case."""
    assert is_uid(case[0]) is case[1]


def test_is_hardware_id_is_longer() -> None:
    """A hardware_id may have 128 characters where a uid has 64."""
    assert is_hardware_id("n" * 128)
    assert not is_hardware_id("n" * 129)
    assert not is_uid("n" * 128)


@pytest.mark.parametrize("root", ["", "/", "a/", "/a", "a//b", "+", "a/#", "a\0", "$SYS", "a\n"])
def test_root_that_cannot_be(root: str) -> None:
    """A root with wildcards, empty levels or control characters builds nothing."""
    with pytest.raises(DataError, match="root"):
        Topics(root)


@given(strategies.topics())
def test_good_topics_come_apart_and_go_together(pair: tuple[str, Topic]) -> None:
    """Every allowed topic comes apart into its parts, and the parts build the same topic."""
    text, expected = pair
    assert parse(text, "hydro") == expected
    assert Topics("hydro").of(
        expected.gh, expected.zone, expected.spelled, expected.kind, expected.channel
    ) == text  # fmt: skip


@given(strategies.hostile_topics())
def test_hostile_topics_are_refused(text: str) -> None:
    """Nothing hostile comes through, and the reason repeats nothing of it."""
    with pytest.raises(Refusal) as caught:
        parse(text, "hydro")
    assert caught.value.word == "topic"
    assert caught.value.detail.isprintable()


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever a topic is, parse answers with a Topic or a Refusal and with nothing else."""
    for topic in (text, "hydro/" + text, f"hydro/{text}/zn/nd/heartbeat"):
        try:
            parsed = parse(topic, "hydro")
        except Refusal:
            continue
        assert parsed.name == "" or is_hardware_id(parsed.name)
        assert parsed.channel.isprintable()


def test_cache_is_bounded() -> None:
    """A stranger who invents topics cannot fill the memory."""
    size = topics.parse.cache_info().maxsize
    assert size is not None
    assert size <= 10_000


def test_the_place_in_a_topic_is_as_received() -> None:
    """Greenhouse, zone and node in the spelling received, for topics about a node; "" for others."""
    topics = Topics("hydro")
    assert topics.place_in("hydro/GH-1/zn-1/ND-1/config_report") == "GH-1/zn-1/ND-1"
    for other in ("hydro/node_hello", "hydro/gh/zn/nd/ph/telemetry", "elsewhere", "$change/x"):
        assert topics.place_in(other) == ""
