"""Silence, escalation and statistics over HTTP, and the escalator's clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change, EscalationStep
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.http.escalation import Escalator

STEPS = (
    EscalationStep(Priority.HIGH, 60.0, "charge nurse"),
    EscalationStep(Priority.HIGH, 180.0, "physician"),
)


def test_an_operator_silences_an_alert_for_a_bounded_time_and_ends_it(server: Any, problem: Any) -> None:
    event = server.change()
    path = f"/v1/alerts/{event.alert.id}/silence"
    with server.client("operator", name="anna") as client:
        told = client.post(path, json={"for_s": 60, "by": "Night shift"}).json()
        assert told["kind"] == "silenced"
        assert told["alert"]["silenced_by"] == "Night shift (anna)"
        assert told["alert"]["state"] == "raised"
        until = datetime.fromisoformat(told["alert"]["silenced_until"])
        assert 50 < (until - datetime.now(UTC)).total_seconds() < 60.5
        assert "up to 120 s" in problem(client.post(path, json={"for_s": 121}), 422)["detail"]
        problem(client.post(path, json={"for_s": 0}), 422)
        assert client.delete(path).json()["kind"] == "unsilenced"
        problem(client.delete(path), 409)
        client.post(f"/v1/alerts/{event.alert.id}/acknowledge")
        problem(client.post(path, json={"for_s": 60}), 409)
        problem(client.post("/v1/alerts/no-such/silence", json={"for_s": 60}), 404)


def test_the_site_bounds_silence_by_its_configuration(
    start: Callable[..., Any], tmp_path: Path, problem: Any
) -> None:
    site = tmp_path / "site.toml"
    site.write_text("[edgeai.silence]\nhigh_s = 10\n")
    server = start(config=site)
    event = server.change()
    with server.client("operator") as client:
        problem(client.post(f"/v1/alerts/{event.alert.id}/silence", json={"for_s": 11}), 422)


def test_statistics_count_what_the_journal_holds(server: Any, problem: Any) -> None:
    event = server.change()
    server.journal.acknowledge(event.alert.id, "anna")
    with server.client("viewer") as client:
        found = client.get("/v1/alerts/statistics").json()
        assert (found["raised"], found["acknowledged"]) == (1, 1)
        assert found["by_priority"] == {"high": 1, "medium": 0, "low": 0}
        problem(client.get("/v1/alerts/statistics?since=never"), 422)
        problem(
            client.get("/v1/alerts/statistics?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"), 422
        )


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    opened = Journal(tmp_path / "journal.sqlite3", device="ward-3")
    yield opened
    opened.close()


def raise_one(journal: Journal, subject: str = "p1", priority: Priority = Priority.HIGH) -> str:
    change = Change(
        True, "healthcare", "ecg", Condition("VF", subject, priority), now(), f"id-{subject}", by="ecg"
    )
    return journal.append([change])[0].alert.id


def test_each_step_comes_at_its_time_and_once(journal: Journal) -> None:
    clock = [1000.0]
    escalator = Escalator(STEPS, lambda: clock[0])
    assert escalator.look(journal) == []
    alert = raise_one(journal)
    called = []
    for at_s in (1000.0, 1059.0, 1060.0, 1061.0, 1179.0, 1180.0, 5000.0):
        clock[0] = at_s
        called += [(at_s, event.alert.escalated_to) for event in escalator.look(journal)]
    assert called == [(1060.0, "charge nurse"), (1180.0, "physician")]
    assert [event.kind for event in journal.events(alert)] == ["raised", "escalated", "escalated"]


def test_what_is_acknowledged_is_not_escalated(journal: Journal) -> None:
    clock = [0.0]
    escalator = Escalator(STEPS, lambda: clock[0])
    escalator.look(journal)
    journal.acknowledge(raise_one(journal), "anna")
    raise_one(journal, "p2", Priority.LOW)
    clock[0] = 1e6
    assert escalator.look(journal) == []


def test_a_server_that_starts_again_counts_on_from_the_last_raise(journal: Journal, monkeypatch: Any) -> None:
    raise_one(journal)
    later = now()
    moved = type(later)(later.wall_ns + 70_000_000_000, later.monotonic_ns, later.boot_id, later.synchronised)
    monkeypatch.setattr("edgeai_core.alerts.walltime.now", lambda: moved)
    (event,) = Escalator(STEPS, lambda: 0.0).look(journal)
    assert event.alert.escalated_to == "charge nurse"


def test_without_steps_nothing_escalates(journal: Journal) -> None:
    raise_one(journal)
    assert Escalator((), lambda: 1e9).look(journal) == []
