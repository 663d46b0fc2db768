"""How the alarm system does: the measures of ISA-18.2 by hand-counted examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from edgeai_core.alerts import assessment
from edgeai_core.alerts.assessment import Happening, assess, assess_journal
from edgeai_core.alerts.journal import Journal
from edgeai_core.decision import Priority
from edgeai_core.errors import InputError

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=2)
START_S = SINCE.timestamp()


def raised(at_s: float, key: str = "a", alert: str = "1", priority: Priority = Priority.HIGH) -> Happening:
    return Happening(START_S + at_s, "raised", alert, key, priority)


def test_rates_are_a_day_and_by_priority() -> None:
    found = assess([raised(0), raised(1e4), raised(2e4, priority=Priority.LOW)], [], SINCE, UNTIL)
    assert (found.raised, found.raised_per_day, found.days) == (3, 1.5, 2.0)
    assert found.by_priority == {"high": 2, "medium": 0, "low": 1}
    assert found.frequent == (("a", 3),)


def test_the_sources_raised_most_come_first_and_those_alike_by_name() -> None:
    found = assess([raised(i * 1e3, key) for i, key in enumerate("bbaccc")], [], SINCE, UNTIL)
    assert found.frequent == (("c", 3), ("b", 2), ("a", 1))
    assert assess([raised(0, "z"), raised(1, "y")], [], SINCE, UNTIL).frequent == (("y", 1), ("z", 1))


def test_lists_end_after_the_twenty_that_matter_most() -> None:
    end_s = UNTIL.timestamp()
    many = [raised(i, f"source {i:02}") for i in range(25)]
    old = [(f"source {i:02}", end_s - (30 + i) * 3600.0) for i in range(25)]
    found = assess(many, old, SINCE, UNTIL)
    assert [key for key, _ in found.frequent] == [f"source {i:02}" for i in range(20)]
    assert [key for key, _ in found.standing] == [f"source {i:02}" for i in range(24, 4, -1)]


def test_what_was_measured_cannot_be_changed_afterwards() -> None:
    for record in (raised(0), assess([], [], SINCE, UNTIL)):
        with pytest.raises(FrozenInstanceError):
            record.key = "other"  # type: ignore[union-attr, misc]


def test_chattering_is_three_times_within_a_minute() -> None:
    assert assess([raised(0), raised(30), raised(60)], [], SINCE, UNTIL).chattering == (("a", 1),)
    assert assess([raised(0), raised(30), raised(60.001)], [], SINCE, UNTIL).chattering == ()
    assert assess([raised(0), raised(1), raised(2, "b")], [], SINCE, UNTIL).chattering == ()
    assert assess([raised(i * 20) for i in range(5)], [], SINCE, UNTIL).chattering == (("a", 3),)


def test_standing_is_open_for_more_than_a_day() -> None:
    end_s = UNTIL.timestamp()
    standing = [("new", end_s - 24 * 3600), ("old", end_s - 24 * 3600 - 1), ("older", end_s - 1000 * 3600)]
    assert assess([], standing, SINCE, UNTIL).standing == (("older", 1000.0), ("old", 24.0))


def test_ten_in_ten_minutes_are_a_flood_for_as_long_as_ten_lie_within_ten_minutes() -> None:
    found = assess([raised(i) for i in range(10)], [], SINCE, UNTIL)
    assert found.most_in_10_minutes == 10
    assert found.flood_share == pytest.approx((600 - 9) / (2 * 86_400))
    assert assess([raised(i) for i in range(9)], [], SINCE, UNTIL).flood_share == 0
    assert assess([], [], SINCE, UNTIL).most_in_10_minutes == 0
    apart = assess([raised(i * 66.7) for i in range(10)], [], SINCE, UNTIL)
    assert (apart.most_in_10_minutes, apart.flood_share) == (9, 0)
    at_the_edge = assess([raised(0)] * 9 + [raised(600)], [], SINCE, UNTIL)
    assert at_the_edge.most_in_10_minutes == 9


def test_a_flood_lasts_until_ten_no_longer_lie_within_ten_minutes_and_no_time_counts_twice() -> None:
    two_days_s = 2 * 86_400
    longer = assess([raised(i) for i in range(30)], [], SINCE, UNTIL)
    assert longer.most_in_10_minutes == 30
    assert longer.flood_share * two_days_s == pytest.approx(611)
    # The tenth comes when the first is about to leave: half a second of flood, and that twice.
    brief = [raised(i) for i in range(9)] + [raised(599.5)]
    again = [raised(5000.0 + i) for i in range(9)] + [raised(5599.5)]
    assert assess(brief, [], SINCE, UNTIL).flood_share * two_days_s == pytest.approx(0.5)
    assert assess(brief + again, [], SINCE, UNTIL).flood_share * two_days_s == pytest.approx(1.0)


def test_a_flood_that_lasts_past_the_end_is_a_share_of_one_at_most() -> None:
    short = assess([raised(0)] * 10, [], SINCE, SINCE + timedelta(minutes=5))
    assert short.flood_share == 1.0


def test_the_time_to_acknowledge_is_that_from_the_last_raise() -> None:
    answers = [
        raised(0),
        raised(100),
        Happening(START_S + 130, "acknowledged", "1", "a", Priority.HIGH),
        Happening(START_S + 140, "acknowledged", "unknown", "b", Priority.HIGH),
    ]
    found = assess(answers, [], SINCE, UNTIL)
    assert (found.acknowledged, found.acknowledge_median_s) == (2, 30.0)
    assert assess([], [], SINCE, UNTIL).acknowledge_median_s is None
    quick = Happening(START_S + 0.25, "acknowledged", "1", "a", Priority.HIGH)
    assert assess([raised(0), quick], [], SINCE, UNTIL).acknowledge_median_s == 0.25


def test_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="since must come before until"):
        assess([], [], UNTIL, UNTIL)
    assert assess([], [], SINCE, SINCE + timedelta(seconds=0.5)).raised == 0


def test_more_events_than_are_read_at_most_are_refused_not_cut_short(
    journal: Journal, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = datetime.fromtimestamp(1_764_000_000, UTC)
    for number in range(4):
        journal.append([change(code=f"C{number}", at_s=float(number))])
    bounds = (base - timedelta(hours=1), base + timedelta(hours=1))
    assert assessment.MAX_EVENTS == 500_000
    monkeypatch.setattr(assessment, "MAX_EVENTS", 4)
    assert assess_journal(journal, *bounds).raised == 4
    monkeypatch.setattr(assessment, "MAX_EVENTS", 3)
    with pytest.raises(InputError, match="more than 3 events"):
        assess_journal(journal, *bounds)


def test_times_of_any_zone_bound_the_same_events(journal: Journal, change: Callable[..., Any]) -> None:
    base = datetime.fromtimestamp(1_764_000_000, UTC)
    journal.append([change(at_s=0.0)])
    for hours in (-5, 0, 3):
        there = base.astimezone(timezone(timedelta(hours=hours)))
        assert assess_journal(journal, there - timedelta(minutes=1), there + timedelta(minutes=1)).raised == 1
        assert assess_journal(journal, there + timedelta(minutes=1), there + timedelta(hours=9)).raised == 0


def test_a_journal_is_assessed_over_its_own_events(journal: Journal, change: Callable[..., Any]) -> None:
    base = datetime.fromtimestamp(1_764_000_000, UTC)
    for number in range(3):
        journal.append([change(at_s=number * 20.0)])
        journal.append([change(holds=False, at_s=number * 20.0 + 5)])
    journal.append([change(code="VT", at_s=50.0, priority="medium")])
    found = assess_journal(journal, base - timedelta(hours=1), base + timedelta(days=2))
    assert found.raised == 4
    assert found.chattering == (("healthcare.ecg VF patient-1", 1),)
    assert found.standing == (("healthcare.ecg VT patient-1", 48.0),)
    plain = found.to_json()
    assert plain["chattering"] == [{"source": "healthcare.ecg VF patient-1", "times": 1}]
    assert assess_journal(journal, base + timedelta(days=1), base + timedelta(days=2)).raised == 0
