"""What another probability to alert at would have given, by which a plant chooses its own."""

from __future__ import annotations

import numpy as np
import pytest

from apps.manufacturing.maintenance.evaluate_simulated import LIMITS, at_limit
from apps.manufacturing.maintenance.fleet import Seen
from apps.manufacturing.simulation.machines import Machine

ENDS_H = 600.0


def life(name: str, highest: float) -> Seen:
    """A machine measured twice a day, whose probability rises over its last 300 hours and is never sure of more."""
    hours = np.arange(12.0, ENDS_H, 12.0)
    probability = highest * np.clip((hours - ENDS_H + 300) / 300, 0, 1)
    probability[:5] = np.nan
    return Seen(
        Machine(name, "ball", 200.0, ENDS_H), hours, probability, probability,
        np.full((len(hours), 3), np.inf), ("ball",) * len(hours), probability, probability > 0.8,
    )  # fmt: skip


def test_a_lower_limit_alerts_earlier_and_costs_fewer_failures() -> None:
    fleet = [life("sure", 1.0), life("never sure", 0.7)]
    rows = [at_limit(fleet, limit) for limit in LIMITS]
    leads = [float(str(row["lead_time_h"])) for row in rows]
    assert leads == sorted(leads, reverse=True)
    by_limit = {row["alert_above"]: row for row in rows}
    assert by_limit[0.8]["never"] == by_limit[0.8]["late"] == 1
    assert by_limit[0.5]["late"] == 0
    assert float(str(by_limit[0.5]["downtime_h"])) < float(str(by_limit[0.8]["downtime_h"]))


def test_without_any_alert_every_machine_runs_to_its_failure() -> None:
    row = at_limit([life("never sure", 0.1)], 0.5)
    assert (row["late"], row["never"], row["early"]) == (1, 1, 0)
    assert row["downtime_h"] == pytest.approx(1000 * 48 / ENDS_H)
