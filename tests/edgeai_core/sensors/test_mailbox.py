"""What the mailbox promises: nothing unseen leaves it, what overflows is counted, stamps order events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.clock import VirtualClock
from edgeai_core.loop.spec import Input
from edgeai_core.sample import Reading
from edgeai_core.sensors.mailbox import Mailbox

NEW: Input[int] = Input("x", history="new", depth=4)
LATEST: Input[int] = Input("x")


@given(st.lists(st.one_of(st.none(), st.integers(1, 3)), max_size=40))
def test_every_item_is_seen_once_or_counted_as_lost(script: list[int | None]) -> None:
    """None takes a snapshot; a number puts a chunk of so many items, numbered by the sensor's counter."""
    mailbox = Mailbox([NEW], VirtualClock())
    sent = seen = lost = 0
    for count in [*script, None]:
        if count is not None:
            sent += count
            mailbox.put("x", Reading(sent, sequence=sent, count=count))
            continue
        _, views = mailbox.views()
        mailbox.consume(views)
        seen += sum(sample.count for sample in views["x"].samples)
        lost += views["x"].lost
    assert seen + lost == sent
    assert lost == mailbox.overflowed()


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 3), max_size=12), st.integers(0, 12), st.booleans()), max_size=12
    )
)
def test_what_comes_while_a_step_is_about_to_be_called_is_as_if_it_came_after(
    script: list[tuple[list[int], int, bool]],
) -> None:
    """Each entry: chunks that arrive, so many of them before the snapshot's samples are taken out; if they are."""
    between, after = Mailbox([NEW], VirtualClock()), Mailbox([NEW], VirtualClock())
    sent = 0
    for chunks, early, answered in [*script, ([], 0, True)]:
        readings = []
        for count in chunks:
            sent += count
            readings.append(Reading(sent, sequence=sent, count=count))
        (_, live), (_, replayed) = between.views(), after.views()
        assert live == replayed
        for reading in readings[:early]:
            between.put("x", reading)
        if answered:
            between.consume(live)
            after.consume(replayed)
        for reading in readings[early:]:
            between.put("x", reading)
        for reading in readings:
            after.put("x", reading)
        assert between.views() == after.views()
        assert between.overflowed() == after.overflowed()


@given(st.lists(st.booleans(), max_size=30))
def test_an_arrival_after_a_snapshot_is_stamped_later_and_one_before_it_not_later(script: list[bool]) -> None:
    mailbox = Mailbox([LATEST], VirtualClock())
    arrivals, snapshots = [], [-1]
    for arrives in script:
        if arrives:
            mailbox.put("x", Reading(1))
            received_ns = mailbox.views.__self__._slots["x"].latest.received_ns  # type: ignore[attr-defined]
            arrivals.append(received_ns)
            assert received_ns > snapshots[-1]
        else:
            now_ns, _ = mailbox.views()
            snapshots.append(now_ns)
            assert all(now_ns >= each for each in arrivals)


def test_a_gap_in_the_sensors_counter_is_lost_and_a_counter_that_goes_back_is_a_restart() -> None:
    mailbox = Mailbox([NEW], VirtualClock())
    for sequence in (1, 2, 5, 3):
        mailbox.put("x", Reading(0, sequence=sequence))
    _, views = mailbox.views()
    assert [(s.lost, s.restarted) for s in views["x"].samples] == [
        (0, False),
        (0, False),
        (2, False),
        (0, True),
    ]


def test_what_a_fallback_answered_for_stays_for_the_step() -> None:
    mailbox = Mailbox([NEW], VirtualClock())
    mailbox.put("x", Reading(7))
    mailbox.views()
    _, views = mailbox.views()
    assert [sample.data for sample in views["x"].samples] == [7]
    mailbox.consume(views)
    assert mailbox.views()[1]["x"].samples == ()


def test_the_newest_stays_visible_to_latest_and_its_age_grows() -> None:
    clock = VirtualClock()
    mailbox = Mailbox([LATEST], clock)
    mailbox.put("x", Reading("a", time_ns=0))
    clock.sleep_until_ns(100)
    for _ in range(2):
        _, views = mailbox.views()
        mailbox.consume(views)
        assert views["x"].data == "a"
        assert views["x"].age_ns == 100


def test_depth_one_of_a_durable_input_makes_its_reader_wait() -> None:
    mailbox = Mailbox([Input("x", history="one")], VirtualClock())
    mailbox.put("x", Reading("a", sequence=1))
    assert not mailbox.wait_for_room("x", 0.0)
    _, views = mailbox.views()
    mailbox.consume(views)
    assert not mailbox.wait_for_room("x", 0.0)
    mailbox.settle("x", 1)
    assert mailbox.wait_for_room("x", 0.0)
    assert mailbox.committed("x") == [1]
