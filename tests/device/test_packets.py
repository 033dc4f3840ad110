"""What a broker sends, cut into pieces of any size: whole messages, and a PUBACK for each."""

from __future__ import annotations

from gwnode.packets import _ROOM, Reader, publish
from hypothesis import given
from hypothesis import strategies as st

MOST = 4608
SIZES = st.one_of(st.integers(0, 40), st.integers(480, 530), st.integers(MOST - 3, MOST + 900))
TOPICS = st.one_of(
    st.sampled_from(["t", "ü" * 128]), st.integers(490, 520).map("t".__mul__), st.just("t" * 60000)
)
MESSAGES = st.lists(st.tuples(TOPICS, SIZES, st.integers(0, 65535)))


def feed(reader: Reader, data: bytes, pieces: list[int]) -> None:
    """Read what came as a socket does: never more than there is room for, nor than has arrived."""
    while data:
        room = reader.room()
        size = min(len(room), len(data), pieces[len(data) % len(pieces)])
        assert size, "no room"
        room[:size] = data[:size]
        reader.took(size)
        data = data[size:]


def payload(number: int, size: int) -> bytes:
    """So many bytes that no other message has."""
    return bytes([(number * 7 + at) % 251 for at in range(size)])


@given(MESSAGES, st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_messages_are_whole_however_they_came(
    messages: list[tuple[str, int, int]], pieces: list[int]
) -> None:
    """In their order, each in memory of its own; one that is too long, or whose topic is, is told and
    skipped, and the broker may forget each of them."""
    reader = Reader(MOST)
    wanted, skipped = [], None
    for number, (topic, size, pid) in enumerate(messages):
        packet = bytes(publish(pid, topic, payload(number, size), False))
        feed(reader, packet, pieces)
        if size <= MOST and len(packet) - size <= _ROOM:
            wanted.append((topic.encode(), payload(number, size)))
        else:
            skipped = (topic.encode(), size)
    assert reader.inbox == wanted
    pids = [pid for _topic, _size, pid in messages if pid]
    assert bytes(reader.owed) == b"".join(b"\x40\x02" + pid.to_bytes(2, "big") for pid in pids)
    told = reader.oversized
    assert (told and told[1]) == (skipped and skipped[1])
    assert told is None or (skipped and skipped[0].startswith(told[0]))


def test_a_new_connection_forgets_half_a_message() -> None:
    """What was on its way in or through belongs to the connection that is gone."""
    for size in (MOST, MOST + 1):
        reader = Reader(MOST)
        feed(reader, bytes(publish(1, "t", bytes(size), False))[:-1], [700])
        reader.clear()
        feed(reader, bytes(publish(2, "t", b"next", False)), [3])
        assert reader.inbox == [(b"t", b"next")]
        assert bytes(reader.owed) == b"\x40\x02\x00\x02"
