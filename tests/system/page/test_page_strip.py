"""The strip of an alert on the page, in a real browser before a real server."""

from __future__ import annotations

from typing import Any

import pytest

from apps.healthcare.ecg.decide import STRIP
from apps.healthcare.ecg.strip import Strip, StripLead, strip_svg
from apps.healthcare.ecg.strip_keeper import strips_folder
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.decision import Condition, Priority
from edgeai_core.state import State

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(120)]

DRAWN = Strip(
    (StripLead("II", [0.1] * 1250), StripLead("V1", [0.2] * 1250)),
    125.0,
    0.0,
    ((1.0, "N"),),
    7.0,
    "Run of ventricular beats",
    "bed-7",
    "now",
)


def test_the_strip_is_shown_with_its_alert_once_it_is_drawn(page: Any, served: tuple[State, str]) -> None:
    state, url = served
    moment, alert = now(), "a" * 32
    condition = Condition("PVC_RUN", "bed-7", Priority.MEDIUM, "Run of ventricular beats", {"picture": STRIP})
    journal = Journal(state.journal)
    journal.append([Change(True, "healthcare", "ecg", condition, moment, alert, by="healthcare.ecg")])
    journal.close()
    page.open(url)
    page.until("document.querySelector('.evidence')", 60)
    page.evaluate("document.querySelector('.evidence').open = true")
    assert page.evaluate("document.querySelector('.evidence .picture').hidden") is True
    folder = strips_folder(state)
    folder.mkdir(parents=True)
    drawn = folder / f"{moment.boot_id}-{moment.monotonic_ns}-PVC_RUN.svg"
    drawn.write_text(strip_svg(DRAWN), encoding="utf-8")
    page.until("document.querySelector('.evidence .picture img')?.naturalWidth > 0", 60)
    assert page.evaluate("document.querySelector('.evidence .picture').hidden") is False
    alternative = page.evaluate("document.querySelector('.evidence .picture img').alt")
    assert alternative == "Picture of Run of ventricular beats, bed-7"
    assert "strips" not in page.text(".evidence dl")
