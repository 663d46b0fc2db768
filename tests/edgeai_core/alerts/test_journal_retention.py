"""Retention: what is forgotten by age and by size, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change

ChangeOf = Callable[..., Change]
LONG_AGO = "2025-11-24T16:30:00.000Z"


def _over(
    journal: Journal, change: ChangeOf, subject: str, *, acknowledged: bool = True, note: str = ""
) -> str:
    """Write an incident of long ago that is over; return the alert's id."""
    (event,) = journal.append([change(subject=subject, note=note)])
    if acknowledged:
        journal.acknowledge(event.alert.id, "nurse", LONG_AGO)
    journal.append([change(holds=False, subject=subject, at_s=1900)])
    return event.alert.id


def _subjects(journal: Journal) -> list[str]:
    return sorted(alert.subject for _, alert in journal.alerts(limit=1000))


def test_by_age_only_what_is_over_and_acknowledged_goes(journal_path: Path, change: ChangeOf) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=30)
    _over(journal, change, "over")
    _over(journal, change, "unseen", acknowledged=False)
    journal.append([change(subject="active")])
    (held,) = journal.append([change(subject="acknowledged and active")])
    journal.acknowledge(held.alert.id, "nurse", LONG_AGO)
    journal.append([change(subject="latched", latched=True)])
    journal.append([change(holds=False, subject="latched")])
    assert journal.prune().deleted == 1
    assert _subjects(journal) == ["acknowledged and active", "active", "latched", "unseen"]
    assert journal.prune().deleted == 0
    journal.close()


def test_what_is_young_stays_while_the_file_is_small(journal_path: Path, change: ChangeOf) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=36_500)
    _over(journal, change, "over")
    assert journal.prune().deleted == 0
    journal.close()


def test_what_a_receiver_has_not_got_stays(journal_path: Path, change: ChangeOf) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=30)
    journal.deliver("gateway", 0)
    _over(journal, change, "first")
    delivered = journal.last_sequence()
    _over(journal, change, "second")
    assert journal.prune().deleted == 0
    journal.deliver("gateway", delivered)
    journal.deliver("gateway", 1)  # never goes back
    assert journal.delivered("gateway") == delivered
    assert journal.prune().deleted == 1
    assert _subjects(journal) == ["second"]
    journal.drop_receiver("gateway")
    assert journal.delivered("gateway") is None
    assert journal.prune().deleted == 1
    journal.close()


def test_past_the_size_limit_the_oldest_go_and_the_file_shrinks(journal_path: Path, change: ChangeOf) -> None:
    limit = 600_000
    journal = Journal(journal_path, device="ward-3", retention_days=36_500, max_bytes=limit)
    for number in range(60):
        _over(journal, change, f"{number:03d}", note="x" * 10_000)
    pruned = journal.prune()
    assert not pruned.over_limit
    assert pruned.used_bytes <= limit
    assert pruned.deleted > 0
    left = _subjects(journal)
    assert len(left) > 10  # no more went than had to
    assert left == [f"{number:03d}" for number in range(60 - len(left), 60)]  # the newest
    assert journal.open_alerts() == []
    journal.close()
    assert journal_path.stat().st_size <= limit


def test_where_nothing_may_be_deleted_the_size_limit_becomes_an_alert_until_somebody_acknowledges(
    journal_path: Path, change: ChangeOf
) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=30, max_bytes=400_000)
    ids = [
        _over(journal, change, f"{number:03d}", acknowledged=False, note="x" * 10_000) for number in range(40)
    ]
    pruned = journal.prune()
    assert (pruned.deleted, pruned.over_limit) == (0, True)
    assert len(_subjects(journal)) == 41
    (warning,) = journal.open_alerts("edgeai", "journal")
    assert (warning.code, warning.active) == ("JOURNAL_TOO_LARGE", True)
    assert warning.evidence["limit_bytes"] == 400_000
    journal.prune()
    assert len(journal.open_alerts()) == 1  # one incident, one alert
    for alert_id in ids:
        journal.acknowledge(alert_id, "nurse", LONG_AGO)
    assert not journal.prune().over_limit
    assert journal.open_alerts() == []
    journal.close()


def test_who_resumes_can_tell_that_events_in_between_were_deleted(
    journal_path: Path, change: ChangeOf
) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=30)
    journal.append([change(subject="active")])
    _over(journal, change, "over")
    assert journal.first_sequence() == 1
    last = journal.last_sequence()
    journal.prune()
    assert journal.first_sequence() == last + 1
    assert journal.last_sequence() == last  # a sequence is never used twice
    (event,) = journal.append([change(subject="new")])
    assert event.sequence == last + 1
    assert [event.alert.subject for event in journal.events_after(0)] == ["active", "new"]
    journal.close()


@pytest.mark.parametrize("days", [0, 30])
def test_pruning_an_empty_journal_does_nothing(journal_path: Path, days: float) -> None:
    journal = Journal(journal_path, device="ward-3", retention_days=days)
    assert journal.prune().deleted == 0
    assert journal.last_sequence() == 0
    journal.close()
