"""Lanes: order within, fairness between, a bounded window, and nothing forgotten on disk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.flow.lanes import Item, Lanes
from gateway.store import journal


def row(number: int, lane: str) -> journal.Row:
    return journal.Row(number, 0.0, 0.0, "control", "journal", "status", lane, "t", b"", 0)


class Disk:
    """The journal as lanes see it: waiting rows by lane, in order of their ids."""

    def __init__(self) -> None:
        self.rows: dict[int, journal.Row] = {}

    def read(self, lane: str, after: int, limit: int) -> list[journal.Row]:
        found = [r for r in self.rows.values() if r.lane == lane and r.id > after]
        return sorted(found)[:limit]

    def waiting(self) -> list[tuple[str, int, int]]:
        lanes: dict[str, list[int]] = {}
        for r in self.rows.values():
            lanes.setdefault(r.lane, []).append(r.id)
        return sorted(((k, min(v), len(v)) for k, v in lanes.items()), key=lambda t: t[1])


def make(disk: Disk, window: int = 50, lane_window: int = 4) -> Lanes:
    return Lanes(disk.read, lambda: None, window=window, lane_window=lane_window)


def finish(disk: Disk, lanes: Lanes, item: Item) -> None:
    del disk.rows[item.row.id]
    lanes.free(item)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.sampled_from("abcde"), min_size=1, max_size=30).map(lambda x: ("push", x)),
            st.integers(1, 8).map(lambda n: ("take", n)),
            st.just(("done", 1)),
        ),
        max_size=40,
    ),
    st.integers(3, 20),
    st.integers(1, 5),
)
def test_every_row_runs_once_and_in_order(
    steps: list[tuple[str, object]], window: int, lane_window: int
) -> None:
    """Whatever arrives and however slowly it is done: each lane sees its rows once, in order."""
    disk = Disk()
    lanes = make(disk, window, lane_window)
    number, running = 0, list[Item]()
    seen: dict[str, list[int]] = {}

    def take(most: int) -> None:
        for item in lanes.take(most):
            seen.setdefault(item.row.lane, []).append(item.row.id)
            running.append(item)
        assert lanes.held <= window + lane_window

    for verb, argument in steps:
        if verb == "push":
            assert isinstance(argument, list)
            rows = [row(number + i + 1, lane) for i, lane in enumerate(argument)]
            number += len(rows)
            disk.rows.update({r.id: r for r in rows})
            lanes.push([Item(r) for r in rows])
        elif verb == "take":
            assert isinstance(argument, int)
            take(argument)
        elif running:
            finish(disk, lanes, running.pop(0))
    while disk.rows:
        take(100)
        assert running, "rows wait on disk and no lane offers them"
        while running:
            finish(disk, lanes, running.pop(0))
    assert sorted(n for ids in seen.values() for n in ids) == list(range(1, number + 1))
    assert all(ids == sorted(ids) for ids in seen.values())
    assert len(lanes) == 0


def test_a_flooding_node_waits_behind_itself() -> None:
    """With a thousand rows of one node in front, another node's row is taken in the first turn."""
    disk = Disk()
    lanes = make(disk)
    rows = [row(n, "flood") for n in range(1, 1001)] + [row(1001, "quiet")]
    disk.rows = {r.id: r for r in rows}
    lanes.push([Item(r) for r in rows])
    assert {item.row.lane for item in lanes.take(2)} == {"flood", "quiet"}
    assert lanes.held < 10


def test_who_waits_on_disk_gets_a_turn_while_others_keep_coming() -> None:
    """Nodes whose messages are in memory send as fast as they are served: a node whose message had no
    room is served all the same, before as many others as fit into memory twice."""
    disk = Disk()
    lanes = make(disk, window=10)
    for number in range(1, 11):
        disk.rows[number] = row(number, f"busy{number}")
    disk.rows[11] = row(11, "waits")
    lanes.push([Item(one) for one in disk.rows.values()])
    served = []
    for number in range(12, 32):
        (item,) = lanes.take(1)
        served.append(item.row.lane)
        finish(disk, lanes, item)
        disk.rows[number] = row(number, item.row.lane)
        lanes.push([Item(disk.rows[number])])
    assert "waits" in served


def test_who_waits_on_disk_gets_a_turn_beside_floods_that_wait_there_too() -> None:
    """Five nodes with twenty messages each fill memory: a sixth with one is served when each of them has
    had its window of eight, and not when they are done."""
    disk = Disk()
    lanes = make(disk, window=10, lane_window=8)
    names = [f"flood{number % 5}" for number in range(100)] + ["quiet"]
    disk.rows = {number: row(number, name) for number, name in enumerate(names, 1)}
    lanes.push([Item(one) for one in disk.rows.values()])
    served = []
    while disk.rows:
        (item,) = lanes.take(1)
        served.append(item.row.lane)
        finish(disk, lanes, item)
    assert len(served) == 101
    assert served.index("quiet") < 5 * 8 + 8


def test_a_lane_runs_one_event_at_a_time() -> None:
    """The next event of a node is not offered before the one under way is free."""
    disk = Disk()
    lanes = make(disk)
    disk.rows = {n: row(n, "a") for n in (1, 2)}
    lanes.push([Item(r) for r in disk.rows.values()])
    (first,) = lanes.take(10)
    assert list(lanes.take(10)) == []
    finish(disk, lanes, first)
    assert [item.row.id for item in lanes.take(10)] == [2]


def test_the_second_round_comes_next() -> None:
    """A change goes in front of what waits already, and is not read from disk a second time."""
    disk = Disk()
    lanes = make(disk, lane_window=2)
    disk.rows = {n: row(n, "a") for n in range(1, 7)}
    lanes.push([Item(r) for r in disk.rows.values()])
    (first,) = lanes.take(1)
    disk.rows[7] = row(7, "a")
    del disk.rows[1]
    lanes.push_ahead(Item(disk.rows[7]))
    lanes.free(first)
    order = []
    while disk.rows:
        (item,) = lanes.take(1)
        order.append(item.row.id)
        finish(disk, lanes, item)
    assert order == [7, 2, 3, 4, 5, 6]


def test_heads_come_before_any_second_row() -> None:
    """After an unclean end the first row of each lane is looked at before a long journal is."""
    disk = Disk()
    disk.rows = {n: row(n, "abcde"[n % 5]) for n in range(1, 101)}
    lanes = make(disk)
    lanes.restore(disk.waiting(), heads=True)
    seen = []
    while disk.rows:
        (item,) = lanes.take(1)
        seen.append(item.row.id)
        finish(disk, lanes, item)
    assert seen[:5] == [1, 2, 3, 4, 5]
    assert sorted(seen) == list(range(1, 101))


def test_a_restart_takes_up_what_waits() -> None:
    """After a start everything that waits on disk is offered, oldest lane first."""
    disk = Disk()
    disk.rows = {n: row(n, "b" if n < 3 else "a") for n in range(1, 6)}
    lanes = make(disk)
    lanes.restore(disk.waiting())
    assert [item.row.id for item in lanes.take(10)] == [1, 3]


def test_two_names_of_one_node_do_not_run_side_by_side() -> None:
    """While an event of the old name is under way, nothing of the new one begins."""
    disk = Disk()
    lanes = make(disk)
    rows = [row(1, "uid"), row(2, "hw"), row(3, "hw")]
    disk.rows = {r.id: r for r in rows}
    lanes.push([Item(r) for r in rows])
    old, new = lanes.take(5)
    lanes.merge("uid", "hw")
    finish(disk, lanes, new)
    assert list(lanes.take(5)) == []
    finish(disk, lanes, old)
    (last,) = lanes.take(5)
    finish(disk, lanes, last)
    assert len(lanes) == 0


def test_a_store_that_does_not_answer_forgets_no_lane() -> None:
    """A lane whose rows cannot be read now is asked for again, and nobody's turn is lost."""
    disk = Disk()
    disk.rows = {n: row(n, "ab"[n % 2]) for n in range(1, 5)}
    answers = True
    lanes = Lanes(
        lambda *asked: disk.read(*asked) if answers else None,
        lambda: None,
        window=50,
        lane_window=4,
    )
    answers = False
    lanes.restore(disk.waiting())
    assert list(lanes.take(9)) == []
    answers = True
    assert list(lanes.take(9)) == []
    assert sorted(item.row.id for item in lanes.take(9)) == [1, 2]


def test_two_names_of_one_node_become_one_lane() -> None:
    """When a node's names meet, their rows go on in the order of their ids."""
    disk = Disk()
    lanes = make(disk)
    rows = [row(n, "uid" if n % 2 else "hw") for n in range(1, 6)]
    disk.rows = {r.id: r for r in rows}
    lanes.push([Item(r) for r in rows])
    lanes.merge("uid", "hw")
    order = []
    while disk.rows:
        (item,) = lanes.take(5)
        order.append(item.row.id)
        finish(disk, lanes, item)
    assert order == [1, 2, 3, 4, 5]


def test_what_runs_under_the_old_name_ends_first() -> None:
    """A node's two lanes met while an event of each was running: nothing more of the node begins before
    both are over."""
    disk = Disk()
    lanes = make(disk)
    rows = [row(n, "uid" if n % 2 else "hw") for n in range(1, 6)]
    disk.rows = {r.id: r for r in rows}
    lanes.push([Item(r) for r in rows])
    running = {item.row.lane: item for item in lanes.take(5)}
    lanes.merge("uid", "hw")
    finish(disk, lanes, running["hw"])
    assert list(lanes.take(5)) == []
    finish(disk, lanes, running["uid"])
    order = []
    while disk.rows:
        (item,) = lanes.take(5)
        order.append(item.row.id)
        finish(disk, lanes, item)
    assert order == [3, 4, 5]
    assert len(lanes) == 0
