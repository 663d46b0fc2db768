"""The vital signs panel and the silence of an alert, in a real browser before a real server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.state import State
from edgeai_core.topics.live import LivePublisher

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(120)]

TOPIC = "healthcare.vitals/vitals"


def sign(name: str, value: float, points: int | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "sign": name,
        "name": name,
        "unit": "",
        "value": value,
        "age_s": 0,
        "quality": 1.0,
        "origins": ["monitor"],
        "points": points,
        "per_h_15_min": None,
        "per_h_1_h": None,
    } | fields


LIVE = {
    "patient": "bed-7",
    "status": "EMERGENCY",
    "news2": 9,
    "news2_risk": "high",
    "news2_missing": [],
    "signs": [
        sign("heart_rate", 118.0, 2, origins=["ecg", "ppg"]),
        sign("spo2", 88.0, 3, per_h_15_min=-9.5),
        sign("respiration", 27.0, 3),
        sign("systolic", 98.0, 2, age_s=720, origins=["cuff"]),
        sign("diastolic", 61.0),
        sign("temperature", 38.2, 1, origins=["charted"]),
        sign("consciousness", 0.0, 0),
    ],
    "silent": [],
    "findings": ["low SpO2", "NEWS2 high"],
    "consciousness": "alert",
    "simulated": False,
    "recording": "",
}


def test_the_panel_shows_every_sign_its_points_and_where_it_goes(
    page: Any, served: tuple[State, str]
) -> None:
    state, url = served
    page.open(url)
    page.until("document.querySelector('.vitals-tile')", 60)
    publisher = LivePublisher(state.run)
    for _ in range(600):  # until the page has heard one: its stream may have only just opened
        publisher.publish(TOPIC, LIVE, time.monotonic_ns())
        if page.text(".vitals-score") == "9":
            break
        time.sleep(0.05)
    publisher.close()
    assert page.text(".vitals-score") == "9"
    shown = page.text(".vitals")
    for text in (
        "NEWS2, high risk",
        "118",
        "ecg + ppg",
        "88",
        "↘ 9.5 an hour, over 15 min",
        "98/61",
        "12 min ago",
        "38.2",
        "alert",
        "low SpO2 · NEWS2 high",
    ):
        assert text in shown, shown
    page.until("document.querySelector('.vitals-silent').textContent.startsWith('No data')", 30)
    assert page.errors == []


def test_an_alert_can_be_silenced_and_called_again(page: Any, served: tuple[State, str]) -> None:
    state, url = served
    journal = Journal(state.journal)
    condition = Condition("DETERIORATION", "bed-7", Priority.HIGH, "NEWS2 9")
    journal.append([Change(True, "healthcare", "vitals", condition, now(), "a1", by="healthcare.vitals")])
    page.open(url)
    page.until("document.querySelector('.silence')?.textContent === 'Silence 2 min'", 60)
    page.evaluate("document.querySelector('.silence').click()")
    page.until("document.querySelector('.silence').textContent.startsWith('Silenced')", 30)
    alert = journal.alert("a1")
    assert alert is not None
    assert (alert.silenced_by, alert.state.value) == ("local", "raised")
    page.evaluate("document.querySelector('.silence').click()")
    page.until("document.querySelector('.silence').textContent === 'Silence 2 min'", 30)
    assert journal.events("a1")[-1].kind == "unsilenced"
    journal.close()
    assert page.errors == []
