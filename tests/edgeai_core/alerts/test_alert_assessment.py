"""How the alarm system does: the measures of ISA-18.2 by hand-counted examples."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
    assert (found.raised, found.raised_per_day) == (3, 1.5)
    assert found.by_priority == {"high": 2, "medium": 0, "low": 1}
    assert found.frequent == (("a", 3),)


def test_chattering_is_three_times_within_a_minute() -> None:
    assert assess([raised(0), raised(30), raised(60)], [], SINCE, UNTIL).chattering == (("a", 1),)
    assert assess([raised(0), raised(30), raised(60.001)], [], SINCE, UNTIL).chattering == ()
    assert assess([raised(0), raised(1), raised(2, "b")], [], SINCE, UNTIL).chattering == ()


def test_standing_is_open_for_more_than_a_day() -> None:
    end_s = UNTIL.timestamp()
    found = assess([], [("old", end_s - 25 * 3600), ("new", end_s - 24 * 3600)], SINCE, UNTIL)
    assert found.standing == (("old", 25.0),)


def test_ten_in_ten_minutes_are_a_flood_for_as_long_as_ten_lie_within_ten_minutes() -> None:
    found = assess([raised(i) for i in range(10)], [], SINCE, UNTIL)
    assert found.most_in_10_minutes == 10
    assert found.flood_share == pytest.approx((600 - 9) / (2 * 86_400))
    assert assess([raised(i) for i in range(9)], [], SINCE, UNTIL).flood_share == 0
    apart = assess([raised(i * 66.7) for i in range(10)], [], SINCE, UNTIL)
    assert (apart.most_in_10_minutes, apart.flood_share) == (9, 0)


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


def test_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="since must come before until"):
        assess([], [], UNTIL, UNTIL)


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
