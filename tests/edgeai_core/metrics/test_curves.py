"""Curves: areas against their definitions by counting pairs, thresholds against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from edgeai_core.errors import InputError
from edgeai_core.metrics.curves import area_interval, curve, pr_auc, roc_auc, threshold_at

Samples = tuple[list[int], list[float]]


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Scores on a coarse grid, so that ties are common; both classes are there."""
    n = draw(st.integers(2, 40))
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))]
    scores = draw(st.lists(st.integers(-5, 5).map(lambda value: value / 4), min_size=n, max_size=n))
    return labels, scores


@settings(max_examples=50)
@given(samples())
def test_the_roc_area_is_the_mann_whitney_statistic(data: Samples) -> None:
    truth, score = np.array(data[0]), np.array(data[1])
    positive, negative = score[truth == 1], score[truth == 0]
    u = mannwhitneyu(positive, negative).statistic
    assert roc_auc(truth, score) == pytest.approx(u / (len(positive) * len(negative)), abs=1e-12)


@settings(max_examples=50)
@given(samples())
def test_the_roc_area_mirrors_when_scores_change_sign_and_stays_when_they_are_stretched(
    data: Samples,
) -> None:
    labels, scores = np.array(data[0]), np.array(data[1])
    assert roc_auc(labels, -scores) == pytest.approx(1 - roc_auc(labels, scores), abs=1e-12)
    assert roc_auc(labels, np.exp(scores)) == pytest.approx(roc_auc(labels, scores), abs=1e-12)


@settings(max_examples=50)
@given(samples())
def test_the_precision_recall_area_is_the_sum_of_precision_over_each_gain_in_sensitivity(
    data: Samples,
) -> None:
    points = curve(*data)
    steps = np.diff(points.sensitivity) * points.precision[1:]
    assert pr_auc(*data) == pytest.approx(float(steps.sum()), abs=1e-12)


@settings(max_examples=50)
@given(samples())
def test_each_point_of_a_curve_is_what_calling_at_its_threshold_gives(data: Samples) -> None:
    labels, scores = np.array(data[0]), np.array(data[1])
    points = curve(labels, scores)
    for row, threshold in enumerate(points.thresholds):
        called = scores >= threshold
        assert points.sensitivity[row] == pytest.approx(called[labels == 1].mean())
        assert points.specificity[row] == pytest.approx((~called)[labels == 0].mean())
        wanted = labels[called].mean() if called.any() else 1.0
        assert points.precision[row] == pytest.approx(wanted)


@settings(max_examples=50)
@given(samples(), st.floats(0, 1))
def test_a_threshold_reaches_what_was_wanted_and_the_next_stricter_does_not(
    data: Samples, wanted: float
) -> None:
    labels, scores = np.array(data[0]), np.array(data[1])

    def sensitivity(threshold: float) -> float:
        return float((scores[labels == 1] >= threshold).mean())

    def specificity(threshold: float) -> float:
        return float((scores[labels == 0] < threshold).mean())

    point = threshold_at(labels, scores, sensitivity=wanted)
    assert sensitivity(point.threshold) == pytest.approx(point.sensitivity)
    assert specificity(point.threshold) == pytest.approx(point.specificity)
    assert point.sensitivity >= wanted - 1e-9
    stricter = scores[scores > point.threshold]
    assert not len(stricter) or sensitivity(stricter.min()) < wanted

    point = threshold_at(labels, scores, specificity=wanted)
    assert specificity(point.threshold) == pytest.approx(point.specificity)
    assert sensitivity(point.threshold) == pytest.approx(point.sensitivity)
    assert point.specificity >= wanted - 1e-9
    looser = scores[scores < point.threshold]
    assert not len(looser) or specificity(looser.max()) < wanted


def test_a_threshold_that_calls_nothing_is_still_a_number() -> None:
    point = threshold_at([1, 0], [0.2, 0.9], specificity=1.0)
    assert math.isfinite(point.threshold)
    assert (point.sensitivity, point.specificity) == (0.0, 1.0)


def test_an_area_by_patient_lies_in_its_interval() -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(12), 30)
    labels = rng.integers(0, 2, size=360)
    scores = labels + rng.normal(size=360) + rng.normal(size=12)[patients]
    low, high = area_interval(labels, scores, patients.tolist(), n_resamples=200)
    assert low < roc_auc(labels, scores) < high
    low, high = area_interval(labels, scores, patients.tolist(), pr_auc, n_resamples=200)
    assert low < pr_auc(labels, scores) < high


def test_an_area_of_one_class_is_not_a_number() -> None:
    assert math.isnan(roc_auc([1, 1], [0.1, 0.2]))
    assert math.isnan(roc_auc([0, 0], [0.1, 0.2]))
    assert math.isnan(pr_auc([0, 0], [0.1, 0.2]))
    assert pr_auc([1, 1], [0.1, 0.2]) == 1.0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([0, 2], [0.1, 0.2]), ([0, 1], [0.1, math.nan]), ([0, 1], [0.1]), ([[0], [1]], [[0.1], [0.2]])],
)
def test_labels_and_scores_that_make_no_sense_are_refused(labels: list[int], scores: list[float]) -> None:
    with pytest.raises(InputError):
        roc_auc(labels, scores)


def test_a_curve_without_both_classes_is_refused() -> None:
    with pytest.raises(InputError, match="both classes"):
        curve([1, 1], [0.1, 0.2])


@pytest.mark.parametrize(
    "wanted", [{}, {"sensitivity": 0.9, "specificity": 0.9}, {"sensitivity": 1.1}, {"specificity": -0.1}]
)
def test_a_threshold_wants_exactly_one_share(wanted: dict[str, float]) -> None:
    with pytest.raises(InputError, match="either"):
        threshold_at([0, 1], [0.1, 0.2], **wanted)


def test_every_sample_needs_a_group() -> None:
    with pytest.raises(InputError, match="groups"):
        area_interval([0, 1], [0.1, 0.2], ["a"])
