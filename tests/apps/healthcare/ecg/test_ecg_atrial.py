"""Atrial fibrillation: irregular at random, not merely irregular; episodes and alerts counted by overlap."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from apps.healthcare.ecg.annotations import Interval, Labels
from apps.healthcare.ecg.atrial import (
    FEATURES,
    LEAST_INTERVALS,
    LONGEST_RR_S,
    AtrialReading,
    AtrialTracker,
    irregularity,
)
from apps.healthcare.ecg.atrial_figures import (
    AtrialTrace,
    atrial_figures,
    atrial_rows,
    called,
    cross_fitted,
    fit_atrial,
)
from apps.healthcare.ecg.beat_class import CLASSES, Labelled
from apps.healthcare.ecg.decide import ATRIAL_AFTER_S, ATRIAL_CLEAR_AFTER_S, Limits
from apps.healthcare.ecg.loop import BEAT_MODEL
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.onnx import OnnxRunner

RANDOM = np.random.default_rng(4)
BY_STEP = AtrialReading(
    [0.0] * len(FEATURES), [1.0] * len(FEATURES), [40.0] + [0.0] * (len(FEATURES) - 1), -4.0
)
"""Looks at the size of steps alone: even odds at a tenth."""


def beats(rr_s: np.ndarray, kinds: str = "", p_alike: float = 0.9, first_s: float = 1.0) -> Labelled:
    times_s = first_s + np.concatenate([[0.0], np.cumsum(rr_s)])
    kinds = kinds or "N" * len(times_s)
    return Labelled(
        times_s, tuple(kinds), np.full((len(kinds), len(CLASSES)), 0.25), np.full(len(kinds), p_alike)
    )


def regular(count: int) -> np.ndarray:
    return 0.8 + 0.01 * RANDOM.standard_normal(count)


def irregular(count: int) -> np.ndarray:
    return np.clip(0.7 + 0.16 * RANDOM.standard_normal(count), 0.35, 1.4)


def breathing(count: int) -> np.ndarray:
    return 0.8 + 0.12 * np.sin(2 * np.pi * np.arange(count) / 6)


def probability(labelled: Labelled, reading: AtrialReading) -> float | None:
    tracker = AtrialTracker(reading)
    tracker.push(labelled)
    return tracker.probability


def shipped() -> AtrialReading:
    return AtrialReading.of(OnnxRunner(BEAT_MODEL).card)


def test_what_ships_calls_random_intervals_without_p_waves_fibrillation_and_others_not() -> None:
    reading = shipped()
    assert (probability(beats(irregular(70), p_alike=0.2), reading) or 0) > 0.9
    assert (probability(beats(regular(70)), reading) or 1) < 0.1
    assert (probability(beats(breathing(70)), reading) or 1) < 0.3


def test_nothing_is_said_before_there_are_enough_intervals_or_after_the_signal_was_lost() -> None:
    tracker = AtrialTracker(BY_STEP)
    tracker.push(beats(regular(LEAST_INTERVALS - 1)))
    assert tracker.probability is None
    tracker.push(beats(regular(1), first_s=100.0))
    assert tracker.probability is not None
    tracker.lost()
    assert tracker.probability is None
    assert tracker.features() is None


def test_intervals_beside_ventricular_beats_and_pauses_are_left_out() -> None:
    rr_s = regular(100)
    kinds = ["N"] * 101
    for at in range(10, 100, 10):
        kinds[at] = "V"
        rr_s[at - 1] -= 0.3
        rr_s[at] += 0.3
    rr_s[55] = LONGEST_RR_S + 0.1
    with_ectopy = AtrialTracker(BY_STEP)
    with_ectopy.push(beats(rr_s, "".join(kinds)))
    found = with_ectopy.features()
    assert found is not None
    assert found[FEATURES.index("rmssd")] < 0.03


def test_what_is_known_does_not_depend_on_how_beats_came() -> None:
    labelled = beats(irregular(120))
    whole, parts = AtrialTracker(BY_STEP), AtrialTracker(BY_STEP)
    whole.push(labelled)
    for at in range(len(labelled)):
        parts.push(labelled[at : at + 1])
    assert whole.probability == parts.probability
    np.testing.assert_array_equal(whole.features(), parts.features())


def test_measures_are_what_they_are_named_after() -> None:
    rr_s = np.array([0.8, 1.0] * 30)
    found = dict(zip(FEATURES, irregularity(rr_s, np.zeros(60), np.zeros(60)), strict=True))
    median = float(np.median(rr_s))
    assert found["median_step"] == pytest.approx(0.2 / median)
    assert found["rmssd"] == pytest.approx(0.2 / median)
    assert found["turning_points"] == 1.0
    assert found["entropy"] == pytest.approx(math.log(2) / math.log(16))
    assert found["autocorrelation"] < -0.9
    assert all(math.isfinite(value) for value in found.values())
    steady = dict(zip(FEATURES, irregularity(np.full(60, 0.8), np.ones(60), np.ones(60)), strict=True))
    assert (steady["rmssd"], steady["entropy"], steady["p_alike"], steady["supraventricular"]) == (0, 0, 1, 1)


def test_a_card_without_the_numbers_is_refused_by_name() -> None:
    card = OnnxRunner(BEAT_MODEL).card
    without = replace(card, parameters={k: v for k, v in card.parameters.items() if k != "atrial_scale"})
    with pytest.raises(ModelError, match="has no atrial_scale of 12 numbers"):
        AtrialReading.of(without)
    assert AtrialReading.of(replace(card, parameters=shipped().parameters())) == shipped()


# Figures


def trace(patient: str, *stretches: tuple[str, int]) -> AtrialTrace:
    """A record of rhythms one after the other, each of so many beats."""
    rr_s = np.concatenate([irregular(n) if rhythm == "AFIB" else regular(n) for rhythm, n in stretches])
    labelled = beats(rr_s)
    edges_s, at = [], 0
    for rhythm, n in stretches:
        edges_s.append(Interval(float(labelled.times_s[at]), float(labelled.times_s[at + n]), rhythm))
        at += n
    labels = Labels("atr", tuple(edges_s), "rhythm labels", labelled.times_s, labelled.classes, ())
    return AtrialTrace.of(patient, patient, labelled, labels)


RECORDS = [
    trace("a", ("N", 200), ("AFIB", 300), ("N", 200)),
    trace("b", ("AFIB", 400)),
    trace("c", ("N", 500)),
    trace("d", ("N", 300), ("AFIB", 200)),
]


def test_a_reading_fitted_on_others_finds_the_episodes_of_a_patient_and_no_others() -> None:
    readings = cross_fitted(RECORDS, 2)
    figures = atrial_figures(RECORDS, readings, "by patient")
    assert (figures["af_sensitivity"].value, figures["af_sensitivity"].n) == (1.0, 3)
    assert (figures["af_ppv"].value, figures["af_ppv"].note) == (1.0, "by patient")
    assert 0.6 < (figures["af_time_sensitivity"].value or 0) <= 1.0
    assert 0.8 < (figures["af_time_ppv"].value or 0) <= 1.0
    assert {row["record"] for row in atrial_rows(RECORDS, readings)} == {"a", "b", "d"}


def test_flutter_counts_neither_way() -> None:
    record = trace("e", ("AFIB", 300))
    flutter = replace(
        record, labels=replace(record.labels, rhythms=(replace(record.labels.rhythms[0], rhythm="AFL"),))
    )
    reading = fit_atrial(RECORDS)
    assert called(flutter, reading, Limits())
    figures = atrial_figures([*RECORDS, flutter], [reading] * 5, "")
    assert figures["af_ppv"].n == 3
    assert np.isnan(flutter.truth()).all()


def test_an_alert_waits_for_its_delay_and_outlasts_short_breaks() -> None:
    times_s = np.arange(0.0, 400.0, 2.0)
    rmssd = np.where((times_s >= 50) & (times_s < 120), 0.3, 0.0)
    rmssd[(times_s >= 120 + 0.8 * ATRIAL_CLEAR_AFTER_S) & (times_s < 200)] = 0.3
    rmssd[(times_s >= 300) & (times_s < 300 + 0.8 * ATRIAL_AFTER_S)] = 0.3
    features = np.zeros((len(times_s), len(FEATURES)))
    features[:, 0] = rmssd
    made = replace(RECORDS[2], times_s=times_s, features=features)
    assert called(made, BY_STEP, Limits()) == [(50.0 + ATRIAL_AFTER_S, 198.0)]


def test_without_both_rhythms_nothing_can_be_fitted() -> None:
    with pytest.raises(InputError, match="records with it and without it"):
        fit_atrial([RECORDS[2]])
