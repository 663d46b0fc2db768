"""What plays recordings: each reading when it is due, none twice, none left open."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading
from edgeai_core.sensors.player import Player, Recorded, Timed
from edgeai_core.testing import check_source


def recording(*due_ns: int, closed: list[str] | None = None) -> Recorded[int]:
    def play() -> Generator[Timed[int], None, None]:
        try:
            for number, each in enumerate(due_ns):
                yield Timed(each, number)
        finally:
            if closed is not None:
                closed.append("closed")

    return play


def read_all(source: Player[int], timeout_s: float = 1.0, limit: int = 1000) -> list[Reading[int]]:
    out = []
    for _ in range(limit):
        try:
            reading = source.read(timeout_s)
        except EndOfStream:
            return out
        if reading is not None:
            out.append(reading)
    return out


@given(
    st.lists(st.lists(st.integers(0, 3_000_000_000), max_size=5).map(sorted), min_size=1, max_size=4),
    st.sampled_from([0.01, 0.5, 10.0]),
)
def test_every_reading_comes_once_at_its_time_whatever_the_patience(
    recordings: list[list[int]], timeout_s: float
) -> None:
    clock = VirtualClock(7_000)
    source = Player("numbers", [recording(*each) for each in recordings])
    source.open(clock)
    expected, start_ns = [], 7_000
    for each in recordings:
        expected += [start_ns + due for due in each]
        start_ns += each[-1] if each else 0
    readings = read_all(source, timeout_s, limit=5000)
    assert [reading.time_ns for reading in readings] == expected
    assert [reading.sequence for reading in readings] == list(range(len(expected)))


def test_a_repeated_player_goes_on_for_ever_and_an_empty_one_ends() -> None:
    source = Player("numbers", [recording(10, 20)], repeat=True)
    source.open(VirtualClock())
    assert [each.time_ns for each in read_all(source, limit=6)] == [10, 20, 30, 40, 50, 60]
    empty = Player("numbers", [recording()], repeat=True)
    empty.open(VirtualClock())
    with pytest.raises(EndOfStream):
        empty.read(1.0)


def test_a_file_is_let_go_at_its_end_when_closed_and_after_a_check() -> None:
    closed: list[str] = []
    source = Player("numbers", [recording(1, 2, closed=closed), recording(1, 2, closed=closed)])
    source.check()
    assert len(closed) == 2
    source.open(VirtualClock())
    for _ in range(3):
        source.read(1.0)
    assert len(closed) == 3
    source.close()
    assert len(closed) == 4
    with pytest.raises(SensorError, match="'numbers' is read before it is opened"):
        source.read(1.0)


def test_a_damaged_recording_is_found_by_the_check() -> None:
    def damaged() -> Generator[Timed[int], None, None]:
        raise InputError("b.csv: line 3 has 2 cells")
        yield Timed(0, 0)

    source = Player("numbers", [recording(1), damaged])
    with pytest.raises(InputError, match="line 3"):
        source.check()


def test_a_player_keeps_the_contract_of_a_source() -> None:
    check_source(lambda: Player("numbers", [recording(100_000_000, 200_000_000)]))
