"""Calibration: fits find the truth that made the data and change no decision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import (
    Platt,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    reliability,
    softmax,
)


@given(st.data(), st.integers(2, 5), st.integers(1, 30))
def test_a_fitted_temperature_changes_no_decision_and_never_lowers_the_likelihood(
    data: st.DataObject, classes: int, n: int
) -> None:
    logits = data.draw(arrays(float, (n, classes), elements=st.integers(-20, 20).map(float)))
    labels = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    best = logits.max(axis=1, keepdims=True)
    top = probabilities.max(axis=1, keepdims=True)
    assert ((probabilities >= top * (1 - 1e-12)) >= (logits == best)).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(n))

    def loss(at: float) -> float:
        with np.errstate(divide="ignore"):
            return -float(np.log(softmax(logits, at)[np.arange(n), labels]).mean())

    assert loss(temperature) <= loss(1.0) + 1e-6


def test_the_temperature_that_made_the_labels_is_found() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=3, size=(20_000, 3))
    labels = (logits / 2.5 + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_the_logistic_curve_that_made_the_labels_is_found_at_any_scale_of_scores(scale: float) -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(loc=3, size=20_000)
    labels = rng.random(20_000) < Platt(1.5, -4.0).probability(scores)
    found = fit_platt(scores * scale, labels)
    assert found.slope * scale == pytest.approx(1.5, rel=0.05)
    assert found.intercept == pytest.approx(-4.0, rel=0.05)


@given(st.integers(1, 50), st.integers(1, 50))
def test_separable_scores_still_give_a_finite_curve_that_rises(negatives: int, positives: int) -> None:
    scores = np.concatenate([np.linspace(-2, -1, negatives), np.linspace(1, 2, positives)])
    labels = np.repeat([0, 1], [negatives, positives])
    found = fit_platt(scores, labels)
    assert math.isfinite(found.intercept)
    assert 0 < found.slope < 100


def test_scores_without_any_spread_give_the_share_of_positives() -> None:
    found = fit_platt(np.full(400, 7.0), np.repeat([0, 1], [300, 100]))
    assert found.probability(7.0) == pytest.approx(0.25, abs=0.01)


def test_few_samples_are_drawn_in_as_platt_says() -> None:
    found = fit_platt([7.0, 7.0, 7.0, 7.0], [0, 1, 1, 1])
    assert found.probability(7.0) == pytest.approx((1 / 3 + 3 * 4 / 5) / 4, abs=1e-6)


def test_a_probability_does_not_overflow() -> None:
    assert softmax([[1000.0, 0.0, -1e6]]).tolist() == [[1.0, 0.0, 0.0]]
    assert Platt(1.0, 0.0).probability([-1e6, 0.0, 1e6]).tolist() == [0.0, 0.5, 1.0]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60), st.integers(1, 20))
def test_a_reliability_table_counts_every_prediction_once(rows: list[tuple[float, int]], bins: int) -> None:
    probabilities, outcomes = map(np.array, zip(*rows, strict=True))
    table = reliability(probabilities, outcomes, bins)
    assert sum(row.n for row in table) == len(rows)
    assert sum(row.n * row.share for row in table) == pytest.approx(outcomes.sum())
    assert sum(row.n * row.probability for row in table) == pytest.approx(probabilities.sum())
    for row in table:
        assert row.low - 1e-12 <= row.probability <= row.high + 1e-12
        assert row.share_low - 1e-12 <= row.share <= row.share_high + 1e-12
    error = expected_calibration_error(probabilities, outcomes, bins)
    assert abs(probabilities.mean() - outcomes.mean()) - 1e-12 <= error <= 1


def test_the_calibration_error_is_the_one_worked_out_by_hand() -> None:
    probabilities, outcomes = [0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1]
    assert expected_calibration_error(probabilities, outcomes) == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)


def test_calibration_of_nothing_cannot_be_told() -> None:
    assert math.isnan(expected_calibration_error([], []))


def test_calibration_lowers_the_error_of_an_overconfident_model_on_other_samples() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(scale=2, size=(8000, 2))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    overconfident = 4 * logits

    def error(temperature: float) -> float:
        probabilities = softmax(overconfident[4000:], temperature)
        right = probabilities.argmax(axis=1) == labels[4000:]
        return expected_calibration_error(probabilities.max(axis=1), right)

    assert error(fit_temperature(overconfident[:4000], labels[:4000])) < 0.25 * error(1.0)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([[1.0, 2.0]], [2]), ([[1.0, math.inf]], [0]), ([1.0, 2.0], [0, 1]), (np.zeros((0, 2)), [])],
)
def test_a_temperature_refuses_what_it_cannot_use(logits: list[list[float]], labels: list[int]) -> None:
    with pytest.raises(InputError):
        fit_temperature(logits, labels)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([1.0, 2.0], [1, 1]), ([1.0, math.nan], [0, 1]), ([1.0], [0, 1]), ([1.0, 2.0], [0, 3])],
)
def test_a_logistic_curve_refuses_what_it_cannot_use(scores: list[float], labels: list[int]) -> None:
    with pytest.raises(InputError):
        fit_platt(scores, labels)


def test_a_reliability_table_refuses_what_is_no_probability() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        reliability([1.5], [1])
    with pytest.raises(InputError, match="bin"):
        reliability([0.5], [1], bins=0)
    with pytest.raises(InputError, match="above 0"):
        softmax([[1.0]], temperature=0)
