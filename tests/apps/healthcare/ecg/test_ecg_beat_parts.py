"""What beats are found with: candidates, precedents, the scorer and its file, matching and fitting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.ecg.beat_matching import match_beats
from apps.healthcare.ecg.beat_scorer import SHIPPED, BeatScorer, shipped_scorer
from apps.healthcare.ecg.beat_training import BeatExamples, beat_examples, fit_beat_scorer, save_beat_scorer
from apps.healthcare.ecg.beats import Beats, QrsDetector
from apps.healthcare.ecg.candidates import FEATURE_COUNT, LOOK_AHEAD_S, MARGIN_S, CandidateFinder, Candidates
from apps.healthcare.ecg.precedents import MEMORY_S, Precedents
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import TrainingData, card_path, digest_of, read_card

RATES_HZ = [100.0, 125.0, 187.0, 250.0, 360.0, 500.0, 1000.0]


def spikes(rate_hz, seconds, every_s=0.9, seed=0):
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = (times_s % every_s) - 0.45
    noise = np.random.default_rng(seed).normal(0, 0.02, len(times_s))
    return np.exp(-(phase**2) / 0.0004) + 0.25 * np.exp(-((phase - 0.25) ** 2) / 0.004) + noise


def found_in(samples, rate_hz):
    finder = CandidateFinder(rate_hz)
    return [*finder.push(samples), *finder.flush()]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_spike_is_a_candidate_and_is_described_by_as_many_numbers_at_every_rate(rate_hz):
    (found, _) = found_in(spikes(rate_hz, 30), rate_hz)
    for spike_s in np.arange(0.45, 29, 0.9):
        assert np.abs(found.centres_s - spike_s).min() < 0.02
    assert found.features.shape == (len(found.centres_s), FEATURE_COUNT)
    assert np.isfinite(found.features).all()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_candidates_come_within_the_look_ahead_with_their_margin_of_signal(rate_hz):
    finder, samples = CandidateFinder(rate_hz), spikes(rate_hz, 6)
    count = 0
    for at in range(len(samples)):
        for found in finder.push(samples[at : at + 1]):
            for centre_s, place in zip(found.centres_s, found.positions, strict=True):
                assert (at + 1) / rate_hz - centre_s <= LOOK_AHEAD_S
                assert place >= MARGIN_S * found.grid_hz
                assert len(found.grid_mv) - place > MARGIN_S * found.grid_hz
                count += 1
    assert count > 5


@given(gain=st.floats(0.2, 5), offset=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_only_the_first_number_speaks_of_size_and_none_of_offset_or_sign(gain, offset):
    samples = spikes(250, 10)
    (plain, _), (changed, _) = found_in(samples, 250), found_in(offset - gain * samples, 250)
    clear = plain.features[:, 0] > -1.5  # far above the floor at every gain
    assert clear.sum() > 8
    both = np.flatnonzero(clear)
    there = [int(np.abs(changed.centres_s - plain.centres_s[i]).argmin()) for i in both]
    assert np.allclose(changed.features[there, 0], plain.features[both, 0] + np.log(gain), atol=0.05)
    peaks = slice(1, 2)
    assert np.allclose(changed.features[there, peaks], plain.features[both, peaks], atol=0.05)


def test_a_stream_before_its_first_number_has_no_candidates():
    assert CandidateFinder(250).flush() == []
    assert sum(len(part.positions) for part in found_in(np.full(1000, np.nan), 250)) == 0


def test_long_chunks_are_worked_on_in_parts():
    parts = CandidateFinder(100).push(spikes(100, 300))
    assert len(parts) == 3
    assert (np.diff(np.concatenate([part.centres_s for part in parts])) > 0).all()


def candidates(signs, every_s=0.5, start_s=0.0):
    """Candidates whose looks are bells, up (1) or down (-1), or of no likeness (0)."""
    grid = np.zeros(100 + 60 * len(signs) + 100, np.float32)
    places = 100 + 60 * np.arange(len(signs))
    steps = np.arange(-20, 21)
    random = np.random.default_rng(3)
    for place, sign in zip(places, signs, strict=True):
        bell = np.exp(-(steps**2) / 18) if sign else random.normal(0, 0.5, len(steps))
        grid[place + steps] += (sign or 1) * bell
    centres_s = start_s + every_s * np.arange(len(signs))
    return Candidates(centres_s, np.zeros((len(signs), FEATURE_COUNT), np.float32), places, grid, 125.0, 0.0)


def test_a_doubtful_candidate_follows_what_its_likes_were():
    signs = np.array([1, -1] * 8 + [1, -1, 0])
    logits = np.where(signs > 0, 5.0, -5.0).astype(np.float32)
    logits[-3:] = 0
    weighed = Precedents().weigh(candidates(signs), logits)
    assert weighed[-3] > 2
    assert weighed[-2] < -2
    assert abs(weighed[-1]) < 1
    assert np.array_equal(weighed[:-3], logits[:-3])


def test_precedents_are_the_same_in_two_pushes_as_in_one():
    signs = np.array([1, -1] * 8)
    logits = np.where(signs > 0, 3.0, -3.0).astype(np.float32)
    logits[12:] = 0.5
    once = Precedents().weigh(candidates(signs), logits)
    twice, precedents = [], Precedents()
    for part in (slice(0, 13), slice(13, 16)):
        some = candidates(signs)
        some = dataclasses.replace(some, centres_s=some.centres_s[part], positions=some.positions[part])
        twice.append(precedents.weigh(some, logits[part]))
    assert np.allclose(np.concatenate(twice), once, atol=1e-5)


def test_what_is_older_than_the_memory_is_no_precedent():
    precedents = Precedents()
    precedents.weigh(candidates([1] * 10), np.full(10, 5, np.float32))
    late = candidates([1], start_s=5 + MEMORY_S)
    assert precedents.weigh(late, np.zeros(1, np.float32))[0] == pytest.approx(0)


def test_the_shipped_scorer_is_the_one_its_card_speaks_of():
    assert read_card(card_path(SHIPPED)).digest == digest_of(SHIPPED)
    assert BeatScorer.load(SHIPPED).weights[0].shape[0] == FEATURE_COUNT


DATA = [TrainingData(name="drawn", origin="this test", licence="CC0-1.0")]


def test_a_saved_scorer_scores_as_it_did(tmp_path):
    path = tmp_path / "beats.npz"
    save_beat_scorer(shipped_scorer(), path, "1", "CC0-1.0", DATA)
    features = np.random.default_rng(0).normal(0, 1, (20, FEATURE_COUNT)).astype(np.float32)
    assert np.array_equal(BeatScorer.load(path).logits(features), shipped_scorer().logits(features))


@pytest.mark.parametrize("damage", ["other", "truncated", "empty", "missing"])
def test_a_file_that_is_not_the_one_of_its_card_is_refused(tmp_path, damage):
    path = tmp_path / "beats.npz"
    save_beat_scorer(shipped_scorer(), path, "1", "CC0-1.0", DATA)
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"other": raw[:-1] + b"x", "truncated": raw[: len(raw) // 2], "empty": b""}[damage])
    with pytest.raises(ModelError, match=r"beats\.npz"):
        BeatScorer.load(path)


@pytest.mark.parametrize("raw", [b"", b"PK", b"no archive at all"])
def test_a_file_that_is_no_scorer_is_refused_without_a_card_too(tmp_path, raw):
    path = tmp_path / "beats.npz"
    path.write_bytes(raw)
    with pytest.raises(ModelError, match=r"beats\.npz"):
        BeatScorer.load(path)


def test_arrays_that_do_not_fit_together_are_refused():
    scorer = shipped_scorer()
    with pytest.raises(ModelError, match="do not fit"):
        BeatScorer(scorer.weights[1:], scorer.biases[1:])
    with pytest.raises(ModelError, match="do not fit"):
        BeatScorer(scorer.weights, (scorer.biases[0] * np.nan, *scorer.biases[1:]))


times = st.lists(st.floats(0, 60), max_size=40).map(lambda values: np.array(sorted(values), dtype=float))


@given(detected=times, annotated=times)
def test_every_time_is_matched_missed_or_extra_exactly_once(detected, annotated):
    match = match_beats(detected, annotated)
    assert match.found + len(match.missed_s) == len(annotated)
    assert match.found + len(match.extra_s) == len(detected)


@given(detected=times, annotated=times)
def test_matching_is_as_good_from_both_sides_and_no_smaller_tolerance_finds_more(detected, annotated):
    assert match_beats(detected, annotated).found == match_beats(annotated, detected).found
    assert match_beats(detected, annotated, tolerance_s=0.05).found <= match_beats(detected, annotated).found


@given(beat_s=times, shift=st.floats(-0.14, 0.14))
def test_beats_within_the_tolerance_are_all_found(beat_s, shift):
    beat_s = beat_s[np.diff(beat_s, prepend=-1) > 0.3]
    match = match_beats(beat_s + shift, beat_s)
    assert match.found == len(beat_s)
    assert np.isnan(match.f1) if not len(beat_s) else match.f1 == 1


def test_what_lies_in_an_excluded_stretch_counts_for_nothing():
    match = match_beats(np.array([1.0, 5.0, 6.1, 9.0]), np.array([1.0, 5.5, 9.0]), [(4.0, 6.0)])
    assert (match.found, len(match.missed_s), len(match.extra_s)) == (2, 0, 0)


@pytest.fixture(scope="module")
def examples():
    beat_s = np.arange(0.45, 59, 0.9)
    leads = np.c_[spikes(250, 60), 0.5 * spikes(250, 60, seed=1)]
    return beat_examples(leads, 250, beat_s, [(20.0, 30.0)], seed=1)


def test_examples_are_the_leads_as_they_are_and_spoilt_without_what_is_excluded(examples):
    assert len(examples) == 4
    plain = examples[0]
    expected = sum((0.45 + 0.9 * i) < 19.5 or (0.45 + 0.9 * i) > 30.5 for i in range(66))
    assert plain.is_beat.sum() == pytest.approx(expected, abs=1)
    assert len(plain.is_beat) > plain.is_beat.sum() + 20


def test_a_fitted_scorer_finds_the_beats_and_the_same_seed_fits_the_same_one(examples):
    scorer, again = fit_beat_scorer(examples), fit_beat_scorer(examples)
    for one, other in zip(scorer.weights, again.weights, strict=True):
        assert np.array_equal(one, other)
    detector, samples = QrsDetector(250, scorer), spikes(250, 30, seed=7)
    found = Beats.joined([detector.push(samples), detector.flush()])
    assert match_beats(found.times_s, np.arange(0.45, 30, 0.9)).f1 > 0.98


def test_records_without_beats_cannot_be_fitted(examples):
    none = BeatExamples(examples[0].features, np.zeros(len(examples[0].features), bool), examples[0].weights)
    for nothing in ([], [none]):
        with pytest.raises(InputError, match="beat annotations"):
            fit_beat_scorer(nothing)
