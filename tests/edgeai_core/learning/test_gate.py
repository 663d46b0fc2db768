"""The gate: what is worse, unproved or unjudged never replaces a model, and every reason is said."""

from __future__ import annotations

import pytest

from edgeai_core.learning.gate import Held, RefusedError, check_gate

OLD, NEW = Held("known parts", 0.95, 0.94, 100), Held("the new part", 0.5, 0.8, 100)


def test_what_keeps_the_old_and_improves_the_new_passes() -> None:
    passed = check_gate([OLD], NEW, parity_difference=1e-4, parity_tolerance=1e-3)
    assert passed.to_json()["parity_difference"] == 1e-4


@pytest.mark.parametrize(
    ("old", "new", "parity", "reason"),
    [
        (Held("known parts", 0.95, 0.92, 100), NEW, 0.0, "falls from 95.0 to 92.0"),
        (OLD, Held("the new part", 0.8, 0.8, 100), 0.0, "does not rise"),
        (OLD, NEW, 1.0, "scores 1 off what was learnt"),
        (OLD, NEW, float("nan"), "scores nan off"),
        (Held("known parts", 0.95, float("nan"), 100), NEW, 0.0, "not a number"),
        (OLD, Held("the new part", 0.5, 0.8, 5), 0.0, "only 5 samples of the new part"),
    ],
)
def test_what_is_worse_or_unproved_is_refused(old: Held, new: Held, parity: float, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_gate([old], new, parity_difference=parity, parity_tolerance=1e-3)


def test_every_reason_is_said_at_once() -> None:
    worse = Held("known parts", 0.9, 0.5, 100)
    with pytest.raises(
        RefusedError, match=r"model in use stays: .*off what was learnt.*falls.*does not rise"
    ):
        check_gate([worse], Held("new", 0.5, 0.4, 50), parity_difference=1.0, parity_tolerance=0.1)


def test_without_anything_old_to_judge_by_nothing_passes() -> None:
    with pytest.raises(RefusedError, match="nothing of what was known"):
        check_gate([], NEW, parity_difference=0.0, parity_tolerance=0.1)
