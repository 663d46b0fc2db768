"""Wall time as text: comparable, in UTC, whatever the clock says."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.alerts import walltime


@given(st.integers(0, 4_000_000_000_000_000_000), st.integers(0, 4_000_000_000_000_000_000))
def test_times_compare_as_text_as_they_do_as_numbers(one_ns: int, other_ns: int) -> None:
    one, other = walltime.iso_from_ns(one_ns), walltime.iso_from_ns(other_ns)
    assert (one < other) == (one_ns // 1_000_000 < other_ns // 1_000_000)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_the_text_of_a_time_reads_back_as_itself(wall_ns: int) -> None:
    text = walltime.iso_from_ns(wall_ns)
    assert walltime.normalised_iso(text) == text
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(wall_ns / 1e9, abs=0.0011)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T03:15:00+01:00", "2026-11-24T02:15:00.000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("2026-11-24T03:15:00.123456", "2026-11-24T03:15:00.123Z"),
        ("0099-01-01T00:00:00Z", "0099-01-01T00:00:00.000Z"),
    ],
)
def test_times_from_outside_are_brought_to_one_form(text: str, expected: str) -> None:
    assert walltime.normalised_iso(text) == expected


def test_a_moment_carries_both_clocks_and_the_boot() -> None:
    before_ns = time.monotonic_ns()
    moment = walltime.now()
    assert before_ns <= moment.monotonic_ns <= time.monotonic_ns()
    assert abs(moment.wall_ns - time.time_ns()) < 60e9
    assert moment.boot_id == walltime.now().boot_id
    assert walltime.now(monotonic_ns=42).monotonic_ns == 42
    assert datetime.fromisoformat(moment.iso).tzinfo == UTC


def test_whether_the_clock_is_synchronised_is_the_kernels_word() -> None:
    assert walltime.clock_synchronised() in (True, False)


def test_a_system_that_cannot_say_counts_as_not_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walltime, "_libc", lambda: None)
    assert walltime.clock_synchronised() is False
