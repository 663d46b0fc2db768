"""The trace that the network sees, and how its answers are read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.ecg.annotations import ASYSTOLE, NOISE, OTHER, VF, VT
from apps.healthcare.ecg.loop import MODEL
from apps.healthcare.ecg.rhythm import (
    CLASSES,
    LONG,
    RATE_HZ,
    SHORT,
    Reading,
    RhythmClassifier,
    RhythmTrace,
    is_flat,
    softmax,
    vfvt_of,
)
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import ModelCard, TensorSpec
from edgeai_core.runners.onnx import OnnxRunner

PARAMETERS = {**Reading(1.0, 0.0, 0.4).parameters("4s"), **Reading(1.0, 0.0, 0.6).parameters("2s")}


class Said:
    """A runner that says the same of every window: logits by class, joint, and by lead."""

    def __init__(self, logits: Mapping[str, float], classes: tuple[str, ...] = CLASSES) -> None:
        self.card = ModelCard(
            name="said",
            version="1",
            task="healthcare.ecg",
            file="said.onnx",
            digest="0" * 64,
            licence="Apache-2.0",
            intended_use="tests",
            limits=(),
            inputs=(TensorSpec("ecg", ("windows", "leads", LONG), "float32"),),
            outputs=(TensorSpec("logits_4s", ("windows", 5), "float32"),),
            classes=classes,
            parameters=PARAMETERS,
        )
        self.logits = np.array([logits.get(name, 0.0) for name in CLASSES], dtype=np.float32)
        self.seen: list[np.ndarray] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen.append(inputs["ecg"])
        leads = inputs["ecg"].shape[1]
        joint, alone = self.logits[None], np.tile(self.logits, (1, leads, 1))
        return {"logits_4s": joint, "logits_2s": joint, "lead_logits_4s": alone, "lead_logits_2s": alone}


def window(leads: int = 2, size_mv: float = 1.0) -> np.ndarray:
    wave = np.sin(2 * np.pi * 5 * np.arange(LONG) / RATE_HZ)
    return np.tile((size_mv / 2 * wave).astype(np.float32), (leads, 1))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0]),
    st.lists(st.integers(1, 300), min_size=1, max_size=20),
    st.integers(0, 2**16),
)
def test_the_trace_does_not_depend_on_how_the_signal_comes(
    rate_hz: float, cuts: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    samples = random.normal(size=(sum(cuts), 2)).cumsum(0)
    samples[random.random(samples.shape) < 0.05] = np.nan
    whole = RhythmTrace(rate_hz, 2)
    at_once = whole.push(samples)
    pieces = RhythmTrace(rate_hz, 2)
    parts = [pieces.push(part) for part in np.split(samples, np.cumsum(cuts)[:-1])]
    assert np.array_equal(np.concatenate(parts), at_once)
    assert np.array_equal(pieces.window, whole.window)


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 250.0, 360.0, 1000.0])
def test_a_wave_in_the_band_comes_through_at_its_size_and_frequency_at_any_rate(rate_hz: float) -> None:
    time_s = np.arange(round(8 * rate_hz)) / rate_hz
    trace = RhythmTrace(rate_hz, 1)
    trace.push(np.sin(2 * np.pi * 5 * time_s)[:, None] + 3.0)
    spectrum = np.abs(np.fft.rfft(trace.window[0])) / LONG * 2
    assert np.argmax(spectrum) == 5 * LONG / RATE_HZ
    assert spectrum.max() == pytest.approx(1.0, abs=0.05)
    assert abs(trace.window.mean()) < 0.01


def test_four_seconds_fill_the_window() -> None:
    trace = RhythmTrace(250.0, 1)
    trace.push(np.zeros((990, 1)))
    assert not trace.full
    trace.push(np.zeros((10, 1)))
    assert trace.full


def test_missing_samples_hold_what_was_before_them() -> None:
    held, missing = RhythmTrace(250.0, 1), RhythmTrace(250.0, 1)
    samples = np.random.default_rng(0).normal(size=(500, 1))
    filled = samples.copy()
    samples[100:150] = np.nan
    filled[100:150] = filled[99]
    assert np.array_equal(missing.push(samples), held.push(filled))


def test_a_steady_lead_gives_no_step_at_the_start() -> None:
    assert np.abs(RhythmTrace(360.0, 2).push(np.full((720, 2), 4.2))).max() < 1e-4


@pytest.mark.parametrize(("rate_hz", "leads"), [(0.0, 1), (float("nan"), 1), (250.0, 0), (30.0, 1)])
def test_a_trace_that_cannot_be_is_refused(rate_hz: float, leads: int) -> None:
    with pytest.raises(InputError):
        RhythmTrace(rate_hz, leads)


def test_a_window_is_called_by_the_threshold_of_its_length() -> None:
    half = RhythmClassifier(Said({VF: np.log(4.0)})).classify(window())
    assert half.long.vfvt == pytest.approx(5 / 8)
    assert (half.long_positive, half.short_positive) == (True, True)
    less = RhythmClassifier(Said({VF: np.log(2.0)})).classify(window())
    assert less.long.vfvt == pytest.approx(0.5)
    assert (less.long_positive, less.short_positive) == (True, False)


def test_noise_that_is_likeliest_cannot_be_told_and_probabilities_say_so() -> None:
    belief = RhythmClassifier(Said({NOISE: 6.0})).classify(window())
    assert belief.long.cannot_tell
    assert not belief.long_positive
    assert belief.long.probabilities[NOISE] > 0.9


def test_less_than_a_tenth_of_a_millivolt_is_asystole_whatever_its_shape() -> None:
    belief = RhythmClassifier(Said({VF: 9.0})).classify(window(size_mv=0.08))
    assert belief.long.probabilities[ASYSTOLE] == 1.0
    assert not belief.long_positive
    assert RhythmClassifier(Said({VF: 9.0})).classify(window(size_mv=0.2)).long_positive


def test_one_lead_with_activity_is_enough() -> None:
    both = np.concatenate([window(1, 0.01), window(1, 1.0)])
    assert is_flat(both[None, :1]).tolist() == [True]
    assert is_flat(both[None]).tolist() == [False]


def test_leads_that_are_not_usable_are_not_looked_at() -> None:
    said = Said({OTHER: 3.0})
    window_mv = window(3)
    window_mv[1] = np.nan
    belief = RhythmClassifier(said).classify(window_mv, np.array([True, False, True]))
    assert said.seen[0].shape == (1, 2, LONG)
    assert np.isfinite(said.seen[0]).all()
    assert np.isnan(belief.leads_vfvt[1]).all()
    assert np.isfinite(belief.leads_vfvt[[0, 2]]).all()


def test_without_a_usable_lead_it_cannot_tell() -> None:
    said = Said({VF: 9.0})
    belief = RhythmClassifier(said).classify(window(), np.array([False, False]))
    assert belief.long.cannot_tell
    assert belief.short.cannot_tell
    assert said.seen == []


def test_a_model_of_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="classes"):
        RhythmClassifier(Said({}, classes=("a", "b")))


def test_a_window_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(leads, 500\)"):
        RhythmClassifier(Said({})).classify(np.zeros((2, 499), dtype=np.float32))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(-50, 50), min_size=5, max_size=5), min_size=1, max_size=8),
    st.floats(0.3, 3),
    st.floats(-3, 3),
)
def test_calibrated_probabilities_make_one_and_keep_the_order_of_windows(
    logits: list[list[float]], slope: float, intercept: float
) -> None:
    values = np.array(logits)
    read = Reading(slope, intercept, 0.5).probabilities(values, np.zeros(len(values), dtype=bool))
    assert np.allclose(read.sum(1), 1)
    assert (read >= 0).all()
    before, after = vfvt_of(softmax(values)), vfvt_of(read)
    assert all(np.diff(after[np.argsort(before)]) >= -1e-9)


def test_the_shipped_model_knows_simulated_rhythms_by_one_lead_and_by_two() -> None:
    from apps.healthcare.simulation.ecg import simulate
    from apps.healthcare.simulation.scenarios import Scenario, Segment

    classifier = RhythmClassifier(OnnxRunner(MODEL))
    for rhythm, rate_bpm, wanted in (("N", 75.0, OTHER), ("VF", 0.0, VF), ("VT", 180.0, VT)):
        segment = Segment(rhythm, 8.0, rate_bpm) if rate_bpm else Segment(rhythm, 8.0)  # type: ignore[arg-type]
        signal = simulate(Scenario((segment,)), seed=1)
        trace = RhythmTrace(signal.rate_hz, 2)
        trace.push(signal.samples_mv)
        for usable in (np.array([True, True]), np.array([True, False])):
            belief = classifier.classify(trace.window, usable)
            assert belief.long_positive == (wanted != OTHER), rhythm
            assert belief.short_positive == (wanted != OTHER), rhythm


def test_the_short_window_is_the_end_of_the_long_one() -> None:
    classifier = RhythmClassifier(OnnxRunner(MODEL))
    first = np.random.default_rng(0).normal(0, 0.3, (2, LONG)).astype(np.float32)
    second = first.copy()
    second[:, : LONG - SHORT] = 0
    one, other = classifier.classify(first), classifier.classify(second)
    assert one.short.probabilities == pytest.approx(other.short.probabilities)
    assert one.long.probabilities != pytest.approx(other.long.probabilities)
