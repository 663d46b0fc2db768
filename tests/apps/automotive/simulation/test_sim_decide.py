"""What the simulated car says of a collision, of old evidence and of its watchdog."""

from __future__ import annotations

from apps.automotive.simulation.decide import Code, Drive, conditions


def test_a_car_that_stands_has_hit_nobody() -> None:
    (hit,) = conditions(Drive(3.0, "town", 0, speed_mps=7.0), "ego", "pedestrian")
    (met,) = conditions(Drive(3.0, "town", 0, speed_mps=0.0), "ego", "pedestrian")
    assert (hit.code, hit.title) == (Code.COLLISION, "The simulated car hit something")
    assert (met.code, met.title) == (Code.COLLISION, "Something ran into the standing car")
    assert hit.evidence == {"hit": "pedestrian", "speed_mps": 7.0}


def test_evidence_is_old_at_the_wheels_above_its_limit_and_unknown_where_nobody_brakes() -> None:
    def codes(age_s: float) -> list[str]:
        return [each.code for each in conditions(Drive(3.0, "town", 0, evidence_age_s=age_s), "ego", "")]

    assert codes(0.31) == [Code.EVIDENCE_TOO_OLD]
    assert codes(0.3) == codes(float("nan")) == []
