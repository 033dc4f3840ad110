"""Samples while nobody is there: kept in order, counted, and what there was no room for is named."""

from rig import SECRET, Blocks, Rig

SENSOR = {"name": "air", "type": "SENSOR", "metric": "TEMPERATURE", "poll_interval_ms": 1000}


def ready(**settings):
    rig = Rig(simulate=True, **settings)
    rig.adopt(channels=[SENSOR])
    rig.wait(10)
    return rig


def back(rig, seconds=90):
    rig.brokers = ["one"]
    rig.wait(seconds)
    rig.receipt(SECRET)
    rig.wait(10)


def numbers(rig):
    return [one["n"] for one in rig.heard("telemetry")]


def test_a_short_absence_loses_nothing():
    """What was taken meanwhile is told afterwards, each with its own time, in order."""
    rig = ready()
    rig.cut()
    rig.wait(20)
    back(rig)
    assert numbers(rig) == list(range(1, len(numbers(rig)) + 1))
    times = [one["ts"] for one in rig.heard("telemetry")]
    assert times == [times[0] + i for i in range(len(times))]
    assert rig.heard("event") == []


def test_a_longer_absence_goes_to_flash_and_comes_back():
    """The ring takes what memory has no room for; it is told oldest first, and empty afterwards."""
    rig = ready()
    rig.cut()
    rig.wait(100)
    assert rig.ring.count == 3
    back(rig)
    assert numbers(rig) == list(range(1, len(numbers(rig)) + 1))
    assert rig.ring.count == 0
    assert rig.ring.files == {}


def test_what_the_ring_has_no_room_for_is_named_exactly():
    """samples_lost with the first, the last and the count; together with what came nothing is missing."""
    rig = ready()
    rig.cut()
    rig.wait(500)
    back(rig)
    (event,) = rig.heard("event")
    assert (event["event_code"], event["reason"]) == ("samples_lost", "ring_full")
    assert event["boot"] == rig.boot_id
    lost = list(range(event["first"], event["last"] + 1))
    assert event["count"] == len(lost) > 300
    assert sorted(numbers(rig) + lost) == list(range(1, max(numbers(rig)) + 1))
    assert rig.topic_of("event").endswith("/system/event")
    assert rig.ring.lost == []


def test_samples_on_flash_outlive_a_power_cut():
    """They are told after the next boot with the boot that took them; so is what was lost."""
    rig = ready()
    first = rig.boot_id
    rig.cut()
    rig.wait(250)
    before = max(numbers(rig))
    rig.boot()
    back(rig)
    told = [one for one in rig.heard("telemetry") if one.get("n_boot") == first]
    (event,) = rig.heard("event")
    assert event["boot"] == first
    kept = [one["n"] for one in told]
    assert kept == list(range(event["last"] + 1, event["last"] + 1 + 4 * 32))
    assert event["first"] == before + 1
    assert rig.heard("telemetry")[-1]["n"] > 1
    assert "n_boot" not in rig.heard("telemetry")[-1]


def test_an_unacknowledged_batch_is_told_again():
    """No PUBACK: the same samples again on the next connection, and none is skipped."""
    rig = ready()
    rig.pubacks = False
    rig.wait(20)
    rig.pubacks = True
    rig.do(("lost", "reset"))
    back(rig, 20)
    found = numbers(rig)
    assert sorted(set(found)) == list(range(1, max(found) + 1))


def test_a_broker_that_forgets_a_puback_is_told_again():
    """After half a minute, on the same connection."""
    rig = ready()
    rig.pubacks = False
    rig.wait(10)
    rig.pubacks = True
    rig.wait(60)
    assert sorted(set(numbers(rig))) == list(range(1, max(numbers(rig)) + 1))


def test_a_full_flash_is_a_loss_like_any_other():
    """What cannot be written is named."""
    rig = ready()
    rig.cut()
    rig.ring.full = True
    rig.wait(100)
    rig.ring.full = False
    back(rig)
    (event,) = rig.heard("event")
    lost = list(range(event["first"], event["last"] + 1))
    assert sorted(numbers(rig) + lost) == list(range(1, max(numbers(rig)) + 1))


def test_memory_and_flash_are_bounded():
    """A month of nobody: 32 samples in memory, as many blocks as there are, one range of losses."""
    rig = ready()
    rig.cut()
    rig.step = 1000
    rig.wait(20000)
    assert len(rig.node.samples.queue) <= 32
    assert len(rig.ring.files) == 4
    assert len(rig.ring.lost) == 1


def test_the_blocks_of_a_ring_are_written_in_turn():
    """Each place as often as the others: flash wears evenly."""
    ring = Blocks(4)
    for number in range(1, 101):
        ring.put("b", [[number, 0, "c", "", 1]])
    assert sorted(sequence for sequence, _ in ring.files.values()) == [97, 98, 99, 100]
    assert ring.lost == [["b", 1, 96]]
    assert ring.again().lost == [["b", 1, 96]]


def test_a_block_under_way_is_not_overwritten():
    """While the oldest is being told the newest gives way, and is named."""
    ring = Blocks(2)
    for number in (1, 2):
        ring.put("b", [[number, 0, "c", "", 1]])
    assert ring.fetch() == ("b", [[1, 0, "c", "", 1]])
    ring.put("b", [[3, 0, "c", "", 1]])
    assert ring.lost == [["b", 3, 3]]
    ring.drop()
    ring.told([["b", 3, 3]])
    assert (ring.lost, ring.fetch()) == ([], ("b", [[2, 0, "c", "", 1]]))


def test_losses_of_many_boots_are_bounded():
    """Eight ranges; of the oldest ones the sum stays exact."""
    ring = Blocks(1)
    for boot in range(20):
        ring.put("b%d" % boot, [[1, 0, "c", "", 1], [2, 0, "c", "", 1]])
    assert len(ring.lost) == 8
    assert sum([last - first + 1 for _, first, last in ring.lost]) == 38


def test_a_damaged_block_is_passed_over():
    """What is behind it is still told."""
    ring = Blocks(4)
    for number in (1, 2, 3):
        ring.put("b", [[number, 0, "c", "", 1]])
    del ring.files[1]
    assert ring.again().fetch() == ("b", [[2, 0, "c", "", 1]])
