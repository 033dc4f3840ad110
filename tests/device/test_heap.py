"""What a board's memory looks like once the node runs: there is room, and it is in one piece."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.interpreter import played

DEVICE = Path(__file__).parents[2] / "device"
LEAST_PIECE = 32 * 1024

SCRIPT = """
import gc, sys
from gwnode import run
runner = run.Runner(sys.argv[1])
runner.link = runner.way.link({})
gc.collect()
size, low, high = 1 << 20, 0, 1 << 20
while high - low > 256:
    size = (low + high) // 2
    try:
        bytearray(size)
        low = size
    except MemoryError:
        high = size
    gc.collect()
print(low)
"""


def test_the_largest_free_piece_takes_any_message(
    micropython: str, umqtt: Path, tmp_path: Path
) -> None:
    """With everything imported from source into a board's 192 KB, 32 KB in one piece are left: many
    times what the largest config and the report on it need.

    Without early collection it was 9 KB, and a node found no memory for its first tick."""
    settings = {"hardware_id": "esp32-a0b1c2d3e4f5", "mqtt": {"host": "127.0.0.1"}}
    (tmp_path / "node.json").write_text(json.dumps(settings))
    path = f"{DEVICE}:{umqtt}"
    said = played(micropython, "-c", SCRIPT, tmp_path, path=path, heap="192k")
    assert int(said) >= LEAST_PIECE


SKIPPED = r"""
from gwnode import packets
reader = packets.Reader(1 << 20)
left = 200000 + 5
while left:
    room = reader.room()
    if left == 200000 + 5:
        room[:9] = b"\x32\xc5\x9a\x0c\0\1t\0\7"
        left -= 5
        reader.took(9)
        continue
    size = min(left, len(room))
    left -= size
    reader.took(size)
for one in packets.publish(8, "t", b"next", False):
    reader.room()[0] = one
    reader.took(1)
print([list(reader.oversized), [bytes(one[1]) for one in reader.inbox], bytes(reader.owed)])
"""


def test_a_message_that_finds_no_memory_is_told_and_skipped(micropython: str, umqtt: Path) -> None:
    """It would come again with each connection, if it ended this one: what is behind it arrives."""
    said = played(micropython, "-c", SKIPPED, path=f"{DEVICE}:{umqtt}", heap="96k")
    assert ast.literal_eval(said) == [
        [b"t", 200000],
        [b"next"],
        b"\x40\x02\0\7\x40\x02\0\x08",
    ]
