"""From views to words: probabilities joined and calibrated; every study gets a status, a place and a reason."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.imaging.decide import (
    FINDINGS,
    Code,
    Judged,
    Status,
    Triage,
    decide,
    refuse,
    weigh,
    worklist_key,
)
from apps.healthcare.imaging.findings import Calibration, View
from apps.healthcare.imaging.fuse import Belief, join
from edgeai_core.decision import Priority

CALIBRATION = Calibration(temperature=2.0, threshold=0.6, grey_low=0.4, grey_high=0.75)
JUDGED = Judged("ab" * 16, "film.png", "xray", "imaging-xray", "1.0.0", "f" * 64)


def belief(probability: float, finding: str = "pneumonia") -> Belief:
    return Belief(
        {"normal": 1 - probability, finding: probability}, finding, probability, np.zeros((7, 7), np.float32)
    )


@pytest.mark.parametrize(
    ("probability", "status", "triage"),
    [
        (0.0, Status.NO_FINDING, Triage.ROUTINE),
        (0.3999, Status.NO_FINDING, Triage.ROUTINE),
        (0.4, Status.CANNOT_TELL, Triage.UNCLEAR),
        (0.7499, Status.CANNOT_TELL, Triage.UNCLEAR),
        (0.75, Status.FINDING, Triage.SOON),
        (0.8999, Status.FINDING, Triage.SOON),
        (0.9, Status.FINDING, Triage.NOW),
        (1.0, Status.FINDING, Triage.NOW),
    ],
)
def test_the_grey_zone_is_left_to_a_person(probability: float, status: Status, triage: Triage) -> None:
    assert weigh(probability, CALIBRATION) == (status, triage)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_is_an_alert_that_names_study_model_version_and_digest(finding: str) -> None:
    decision = decide(JUDGED, belief(0.95, finding), CALIBRATION)
    (condition,) = decision.conditions or ()
    assert condition.code == FINDINGS[finding][0]
    assert condition.priority is Priority.HIGH
    assert condition.subject == "study abababababab"
    assert condition.evidence["digest"] == "f" * 64
    assert (condition.evidence["model"], condition.evidence["version"]) == ("imaging-xray", "1.0.0")
    assert "Not a medical device" in str(condition.evidence["note"])
    assert decision.output.status == Status.FINDING
    assert decision.output.finding == finding


def test_nothing_found_raises_no_alert_and_the_grey_zone_a_low_one() -> None:
    assert decide(JUDGED, belief(0.1), CALIBRATION).conditions == ()
    unsure = decide(JUDGED, belief(0.5), CALIBRATION)
    (condition,) = unsure.conditions or ()
    assert (condition.code, condition.priority) == (Code.UNCERTAIN, Priority.LOW)
    assert unsure.output.finding == ""
    assert decide(JUDGED, belief(0.8), CALIBRATION).conditions[0].priority is Priority.MEDIUM  # type: ignore[index]


def test_a_refusal_says_why() -> None:
    decision = refuse("cd" * 16, "cat.jpg", "", "COLOUR", "this is a colour picture")
    (condition,) = decision.conditions or ()
    assert condition.code == Code.REFUSED
    assert decision.output.reason == "COLOUR"
    assert "colour picture" in condition.title


def test_the_worklist_puts_the_urgent_first_then_the_likelier_then_who_has_waited_longest() -> None:
    studies = [
        {"triage": 4, "probability": 0.01, "answered_at": "1", "study": "routine"},
        {"triage": 3, "probability": None, "answered_at": "2", "study": "refused"},
        {"triage": 1, "probability": 0.93, "answered_at": "5", "study": "later"},
        {"triage": 1, "probability": 0.93, "answered_at": "3", "study": "earlier"},
        {"triage": 1, "probability": 0.99, "answered_at": "9", "study": "surest"},
        {"triage": 2, "probability": 0.80, "answered_at": "0", "study": "soon"},
    ]
    order = [each["study"] for each in sorted(studies, key=worklist_key)]
    assert order == ["surest", "earlier", "later", "soon", "refused", "routine"]


@given(st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=3))
def test_joined_probabilities_sum_to_one_and_the_map_lies_between_0_and_1(logits: list[list[float]]) -> None:
    rng = np.random.default_rng(0)
    views = [
        View(np.array(each, np.float32), rng.normal(size=(4, 7, 7)).astype(np.float32)) for each in logits
    ]
    found = join(views, ("no_tumor", "glioma", "meningioma", "pituitary"), 0, CALIBRATION)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.probability == pytest.approx(1 - found.probabilities["no_tumor"], abs=1e-9)
    assert found.finding != "no_tumor"
    assert found.probabilities[found.finding] == max(
        v for k, v in found.probabilities.items() if k != "no_tumor"
    )
    assert 0 <= found.map.min() <= found.map.max() <= 1


def test_the_map_shows_where_the_finding_has_more_evidence_than_its_absence() -> None:
    evidence = np.zeros((2, 7, 7), np.float32)
    evidence[1, 2, 5] = 4.0
    evidence[0, 6, 0] = 9.0
    found = join([View(np.array([0.0, 3.0], np.float32), evidence)], ("normal", "pneumonia"), 0, CALIBRATION)
    assert np.unravel_index(found.map.argmax(), (7, 7)) == (2, 5)
    assert found.map[6, 0] == 0


def test_urgency_is_a_number_that_others_can_sort_by() -> None:
    assert [(each.name, int(each)) for each in Triage] == [
        ("NOW", 1),
        ("SOON", 2),
        ("UNCLEAR", 3),
        ("ROUTINE", 4),
    ]


def test_a_study_without_a_probability_waits_behind_those_of_its_urgency_and_one_without_urgency_is_last() -> (
    None
):
    studies = [
        {"study": "new"},
        {"triage": 3, "probability": None, "study": "refused"},
        {"triage": 3, "probability": 0.5, "study": "unclear"},
        {"triage": 4, "probability": 0.01, "study": "routine"},
    ]
    order = [each["study"] for each in sorted(studies, key=worklist_key)]
    assert order == ["unclear", "refused", "routine", "new"]


def test_the_evidence_holds_the_probabilities_to_a_hundredth_of_a_per_cent() -> None:
    (condition,) = decide(JUDGED, belief(0.123456 + 0.8), CALIBRATION).conditions or ()
    assert condition.evidence["probabilities"] == {"normal": 0.0765, "pneumonia": 0.9235}


def test_what_was_said_of_a_study_cannot_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        decide(JUDGED, belief(0.95), CALIBRATION).output.status = Status.NO_FINDING  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        JUDGED.study = "another"  # type: ignore[misc]
