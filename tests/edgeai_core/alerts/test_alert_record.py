"""The record: its states, its JSON, and what is taken from outside."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_core.alerts.alert import (
    MAX_EVIDENCE_BYTES,
    Alert,
    AlertState,
    alert_from_json,
    encode,
    plain,
    plain_condition,
    plain_evidence,
)
from edgeai_core.decision import Condition, Priority
from edgeai_core.errors import InputError

MINIMAL = {
    "id": "3f2a",
    "device": "bed-7",
    "app": "healthcare",
    "loop": "ecg",
    "code": "VF",
    "subject": "patient-1",
    "priority": "high",
    "raised_at": "2026-11-24T03:15:00Z",
}


@pytest.mark.parametrize(
    ("active", "latched", "acknowledged", "state"),
    [
        (True, False, False, "raised"),
        (True, True, False, "raised"),
        (True, False, True, "acknowledged"),
        (True, True, True, "acknowledged"),
        (False, True, False, "latched"),
        (False, True, True, "cleared"),
        (False, False, False, "cleared"),
        (False, False, True, "cleared"),
    ],
)
def test_the_state_follows_from_three_facts(
    active: bool, latched: bool, acknowledged: bool, state: str
) -> None:
    alert = alert_from_json(
        MINIMAL
        | {
            "active": active,
            "latched": latched,
            "acknowledged_at": "2026-11-24T03:16:00Z" if acknowledged else None,
        }
    )
    assert alert.state is AlertState(state)


def test_an_alert_survives_its_own_json() -> None:
    alert = alert_from_json(MINIMAL | {"title": "Ventricular fibrillation", "evidence": {"rate_bpm": 310.5}})
    assert alert_from_json(json.loads(json.dumps(alert.to_json()))) == alert


def test_what_a_newer_device_says_beyond_what_is_known_is_ignored() -> None:
    assert alert_from_json(MINIMAL | {"silenced_until": "later"}).code == "VF"


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: it"):
        alert_from_json({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "../../etc/passwd"),
        ("id", "x" * 65),
        ("id", 7),
        ("device", ""),
        ("code", "C" * 101),
        ("subject", "s" * 301),
        ("subject", "lone \ud800 surrogate"),
        ("subject", "nul \0 byte"),
        ("title", "t" * 501),
        ("priority", "urgent"),
        ("raised_at", "yesterday"),
        ("raised_at", 1764000000),
        ("active", "yes"),
        ("latched", 1),
        ("monotonic_ns", -1),
        ("monotonic_ns", 2**63),
        ("monotonic_ns", 1.5),
        ("state", "cleared"),
        ("evidence", [1, 2]),
        ("evidence", {"ecg": "x" * MAX_EVIDENCE_BYTES}),
        ("evidence", {"value": object()}),
    ],
)
def test_a_field_from_outside_that_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        alert_from_json(MINIMAL | {name: value})


def test_evidence_that_is_nested_without_end_is_refused() -> None:
    nested: dict[str, Any] = {}
    nested["again"] = nested
    with pytest.raises(InputError, match="evidence"):
        alert_from_json(MINIMAL | {"evidence": nested})


def test_evidence_may_hold_what_numpy_makes() -> None:
    class Rhythm(Enum):
        VF = 1

    evidence = {
        "confidence": np.float32(0.5),
        "lead": np.int64(2),
        "ecg_mv": np.array([[0.1, np.nan], [np.inf, 2.0]]),
        "lead_off": np.bool_(True),
        "rhythm": Rhythm.VF,
        "leads": {"II", "V1"},
        "gap": float("nan"),
    }
    assert plain_evidence(evidence) == {
        "confidence": 0.5,
        "lead": 2,
        "ecg_mv": [[0.1, None], [None, 2.0]],
        "lead_off": True,
        "rhythm": "Rhythm.VF",
        "leads": ["II", "V1"],
        "gap": None,
    }


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), _anything))
def test_whatever_a_step_calls_evidence_becomes_json(evidence: dict[str, object]) -> None:
    values = plain_evidence(evidence)
    assert json.loads(encode(values)) == values
    assert plain(values) == values


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), st.integers(0, 40_000).map("x".__mul__), max_size=8))
def test_evidence_that_is_too_long_loses_its_longest_values_and_says_so(evidence: dict[str, object]) -> None:
    values = plain_evidence(evidence)
    assert len(encode(values)) <= MAX_EVIDENCE_BYTES
    if len(encode(evidence)) <= MAX_EVIDENCE_BYTES:
        assert values == evidence
    else:
        assert "left_out" in values


@pytest.mark.parametrize("long", [np.zeros(10_000_000), list(range(1_000_000))])
def test_a_recording_given_as_evidence_is_left_out_without_being_written_first(long: object) -> None:
    values = plain_evidence({"ecg_mv": long, "confidence": 0.9})
    assert values["confidence"] == 0.9
    assert str(values["ecg_mv"]).startswith("(left out")


def test_text_that_is_not_valid_or_too_long_is_made_fit_rather_than_losing_the_alert() -> None:
    said = plain_condition(
        Condition("VF", "file-\udcff" + "x" * 1000, Priority.HIGH, "t" * 1000, {"\ud800": "\ud800"})
    )
    assert len(said.subject) == 300
    assert len(said.title) == 500
    json.dumps(said.evidence).encode()
    said.subject.encode()


def test_equal_alerts_have_equal_json() -> None:
    one, other = alert_from_json(MINIMAL), alert_from_json(dict(reversed(list(MINIMAL.items()))))
    assert isinstance(one, Alert)
    assert encode(one.to_json()) == encode(other.to_json())
