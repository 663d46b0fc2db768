"""Beats: the promises of apps.healthcare.ecg.beats, on electrocardiograms drawn here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from apps.healthcare.ecg.beats import (
    MAX_LATENCY_S,
    SHAPE_SAMPLES,
    Beats,
    BeatTracker,
    MultiLeadDetector,
    QrsDetector,
)
from edgeai_core.errors import InputError

RATES_HZ = [100.0, 125.0, 128.0, 180.0, 200.0, 250.0, 257.0, 360.0, 500.0, 1000.0]


def drawn(beat_s, rate_hz, seconds, *, qrs_ms=22.0, t_mv=0.3, p_mv=0.12, noise_mv=0.01, seed=0):
    """An ECG of bell curves: P, Q, R, S and T around every beat."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    out = np.random.default_rng(seed).normal(0, noise_mv, len(times_s))
    sigma = qrs_ms / 2000
    waves = [
        (-0.16, 0.025, p_mv),
        (-2 * sigma, sigma, -0.12),
        (0, sigma, 1.0),
        (2 * sigma, sigma, -0.2),
        (0.26, 0.045, t_mv),
    ]
    for beat in beat_s:
        near = np.abs(times_s - beat) < 0.6
        for at, width, size in waves:
            out[near] += size * np.exp(-((times_s[near] - beat - at) ** 2) / (2 * width**2))
    return out


def steady(seconds, rr_s=0.8, first_s=0.5):
    return np.arange(first_s, seconds - 0.4, rr_s)


def whole(detector, samples):
    return Beats.joined([detector.push(samples), detector.flush()])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_beat_is_found_at_its_r_peak_at_every_rate(rate_hz):
    beat_s = steady(20)
    found = whole(QrsDetector(rate_hz), drawn(beat_s, rate_hz, 20))
    assert len(found) == len(beat_s)
    assert np.abs(found.times_s - beat_s).max() < 0.015


@pytest.mark.parametrize("rr_s", [0.3, 0.5, 1.2, 2.5])
def test_fast_and_slow_hearts_are_counted_beat_by_beat(rr_s):
    beat_s = steady(30, rr_s)
    found = whole(QrsDetector(250), drawn(beat_s, 250, 30, t_mv=0.1, p_mv=0.0))
    assert len(found) == len(beat_s)


def test_tall_t_waves_and_p_waves_are_not_beats():
    beat_s = steady(30)
    found = whole(QrsDetector(250), drawn(beat_s, 250, 30, t_mv=0.9, p_mv=0.3))
    assert len(found) == len(beat_s)


def test_an_upside_down_lead_has_the_same_beats():
    samples = drawn(steady(20), 250, 20)
    up, down = whole(QrsDetector(250), samples), whole(QrsDetector(250), -samples)
    assert np.allclose(up.times_s, down.times_s)


@given(
    rate_hz=st.sampled_from(RATES_HZ), seed=st.integers(0, 99), sizes_s=st.lists(st.floats(0, 3), max_size=12)
)
@settings(max_examples=15, deadline=None)
def test_the_beats_do_not_depend_on_the_size_of_the_chunks(rate_hz, seed, sizes_s):
    random = np.random.default_rng(seed)
    seconds = 12
    beat_s = np.cumsum(random.uniform(0.35, 1.2, 12))
    samples = drawn(beat_s, rate_hz, seconds, noise_mv=random.choice([0.01, 0.1]))
    samples[random.integers(len(samples)) :][: round(0.7 * rate_hz)] = np.nan
    at_once = whole(QrsDetector(rate_hz), samples)
    detector, parts, at = QrsDetector(rate_hz), [], 0
    for size in [*(round(size_s * rate_hz) for size_s in sizes_s), len(samples)]:
        parts.append(detector.push(samples[at : at + size]))
        at += size
    found = Beats.joined([*parts, detector.flush()])
    assert np.array_equal(found.times_s, at_once.times_s)
    assert np.array_equal(found.widths_ms, at_once.widths_ms)
    assert np.allclose(found.scores, at_once.scores, atol=1e-5)


def test_chunks_of_one_sample_give_the_same_beats():
    samples = drawn(steady(8), 125, 8)
    detector = QrsDetector(125)
    parts = [detector.push(samples[at : at + 1]) for at in range(len(samples))]
    assert np.array_equal(
        Beats.joined([*parts, detector.flush()]).times_s, whole(QrsDetector(125), samples).times_s
    )


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 180.0, 360.0, 1000.0])
@pytest.mark.parametrize("qrs_ms", [18.0, 60.0])
def test_a_beat_is_reported_at_most_max_latency_after_its_r_peak(rate_hz, qrs_ms):
    samples = drawn(steady(10), rate_hz, 10, qrs_ms=qrs_ms, noise_mv=0.03)
    detector, size, reported = QrsDetector(rate_hz), max(1, round(0.004 * rate_hz)), 0
    for at in range(0, len(samples), size):
        now_s = (at + size) / rate_hz
        for time_s in detector.push(samples[at : at + size]).times_s:
            assert now_s - time_s <= MAX_LATENCY_S + size / rate_hz
            reported += 1
    assert reported >= 10
    assert MAX_LATENCY_S <= 0.4


@pytest.mark.parametrize("gain", [10.0, 0.1])
def test_a_tenfold_change_of_amplitude_costs_at_most_a_few_seconds(gain):
    beat_s = steady(40)
    samples = drawn(beat_s, 250, 40, noise_mv=0.005)
    samples[20 * 250 :] *= gain
    found = whole(QrsDetector(250), samples).times_s
    late = beat_s[beat_s > 24]
    assert sum(found > 24) == len(late)
    assert np.abs(found[found > 24] - late).max() < 0.02


def test_a_gap_neither_makes_nor_hides_beats_around_it():
    beat_s = steady(30)
    samples = drawn(beat_s, 250, 30)
    samples[10 * 250 : 15 * 250] = np.nan
    found = whole(QrsDetector(250), samples + np.where(np.arange(30 * 250) < 12 * 250, 0, 7)).times_s
    assert np.allclose(found, beat_s[(beat_s < 10) | (beat_s > 15)], atol=0.02)


@pytest.mark.parametrize("noise_mv", [0.0, 0.005, 0.015])
def test_a_heart_that_stands_still_has_no_beats(noise_mv):
    beat_s = steady(20)
    samples = drawn(beat_s, 250, 60, noise_mv=noise_mv)
    found = whole(QrsDetector(250), samples).times_s
    pauses = np.diff(np.r_[found[found < 20.5], found[found > 20.5], 60.0])
    assert pauses.max() > 20


@pytest.mark.parametrize("level_mv", [0.0, 5.0, -300.0])
def test_a_flat_lead_has_no_beats(level_mv):
    assert len(whole(QrsDetector(360), np.full(3600, level_mv))) == 0


@given(
    samples=arrays(
        np.float64,
        st.integers(0, 600),
        elements=st.one_of(st.floats(-5, 5), st.floats(allow_nan=True, allow_infinity=True)),
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_in_only_finite_beats_in_order_come_out(samples):
    detector = QrsDetector(100)
    found = Beats.joined([detector.push(samples[:200]), detector.push(samples[200:]), detector.flush()])
    for column in (found.times_s, found.amplitudes_mv, found.widths_ms, found.scores, found.shapes):
        assert np.isfinite(column).all()
    assert (np.diff(found.times_s) > 0).all()
    assert ((found.scores > 0.5) & (found.scores <= 1)).all()


def test_wide_complexes_measure_wider_and_amplitudes_are_those_of_the_lead():
    lead = drawn(steady(20), 250, 20, qrs_ms=20, noise_mv=0.002)
    narrow = whole(QrsDetector(250), lead)
    wide = whole(QrsDetector(250), drawn(steady(20), 250, 20, qrs_ms=60, noise_mv=0.002))
    assert 40 < np.median(narrow.widths_ms) < 110
    assert np.median(wide.widths_ms) > np.median(narrow.widths_ms) + 40
    assert np.median(narrow.amplitudes_mv) == pytest.approx(np.ptp(lead), rel=0.15)


def test_a_beat_of_another_shape_is_unlike_the_common_ones():
    rate_hz, beat_s = 250, steady(40)
    samples = drawn(np.delete(beat_s, 30), rate_hz, 40)
    samples += -drawn(beat_s[30:31], rate_hz, 40, qrs_ms=70, noise_mv=0)
    found = whole(QrsDetector(rate_hz), samples)
    odd = int(np.abs(found.times_s - beat_s[30]).argmin())
    likeness = np.median(found.shapes @ found.shapes.T, axis=1)
    assert likeness[odd] < 0.5 < 0.9 < np.median(np.delete(likeness, odd))
    assert found.shapes.shape == (len(found), SHAPE_SAMPLES)
    assert np.allclose(np.linalg.norm(found.shapes, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [0.0, 50.0, float("nan"), 1e6])
def test_a_rate_at_which_no_beat_can_be_seen_is_refused(rate_hz):
    with pytest.raises(InputError, match="sampling rate"):
        QrsDetector(rate_hz)


def test_the_lead_of_better_quality_takes_over_and_no_beat_is_told_twice():
    rate_hz, beat_s = 250, steady(40)
    clean = drawn(beat_s, rate_hz, 40)
    bad = clean.copy()
    bad[15 * rate_hz :] = np.random.default_rng(0).normal(0, 0.6, 25 * rate_hz)
    detector, found = MultiLeadDetector(rate_hz, 2), []
    for at in range(0, len(clean), 25):
        quality = np.array([1.0 if at < 15 * rate_hz else 0.1, 0.9])
        found.append(detector.push(np.c_[bad, clean][at : at + 25], quality))
        if at < 15 * rate_hz:
            assert detector.lead == 0
        if at > 16.2 * rate_hz:
            assert detector.lead == 1
    times_s = Beats.joined([*found, detector.flush()]).times_s
    assert np.diff(times_s).min() > 0.19
    assert sum(times_s > 17.5) == sum(beat_s > 17.5)


def test_a_lead_that_is_a_little_better_for_a_moment_does_not_take_over():
    detector = MultiLeadDetector(250, 2)
    for quality in ([0.8, 0.9], [0.2, 0.9], [0.8, 0.9]) * 3:
        detector.push(np.zeros((150, 2)), np.array(quality))
    assert detector.lead == 0


def test_an_earlier_lead_that_has_become_as_good_is_taken_again():
    detector = MultiLeadDetector(250, 2)
    for quality, seconds, lead in (([0.2, 0.9], 2, 1), ([0.9, 0.9], 4, 1), ([0.9, 0.9], 2, 0)):
        for _ in range(2 * seconds):
            detector.push(np.zeros((125, 2)), np.array(quality))
        assert detector.lead == lead


def tracked(times_s, now_s=0.0):
    tracker, n = BeatTracker(), len(times_s)
    tracker.push(
        Beats(
            np.array(times_s, float),
            np.ones(n),
            np.ones(n),
            np.ones(n),
            np.zeros((n, SHAPE_SAMPLES), np.float32),
        ),
        now_s,
    )
    return tracker


@given(rr_s=st.floats(0.25, 3), beats=st.integers(2, 30))
def test_the_rate_of_an_even_rhythm_is_sixty_by_the_interval(rr_s, beats):
    tracker = tracked(np.arange(30) * rr_s)
    assert tracker.rate_bpm(beats) == pytest.approx(60 / rr_s)
    assert tracker.heart_rate_bpm() == pytest.approx(60 / rr_s)


def test_one_early_beat_hardly_changes_the_heart_rate_shown():
    times_s = [*np.arange(10) * 0.8, 7.5, 8.8]
    assert tracked(times_s).heart_rate_bpm() == pytest.approx(75)


def test_rates_wait_for_their_beats():
    tracker = tracked([1.0, 2.0, 3.0])
    assert tracker.rate_bpm(4) is None
    assert tracker.rate_bpm(3) == pytest.approx(60)
    assert tracked([1.0]).heart_rate_bpm() is None
    assert tracked([]).heart_rate_bpm() is None


def test_the_time_without_a_beat_counts_from_the_last_beat_or_from_the_beginning():
    assert tracked([1.0, 2.0]).since_last_s(7.5) == pytest.approx(5.5)
    assert tracked([], now_s=1.0).since_last_s(4.0) == pytest.approx(3.0)
    assert BeatTracker().since_last_s(9.0) == 0


def test_no_interval_and_no_pause_is_counted_across_a_loss_of_signal():
    tracker = tracked([1.0, 2.0])
    tracker.lost(20.0)
    assert tracker.rr_s(2) is None
    assert tracker.since_last_s(21.5) == pytest.approx(1.5)
