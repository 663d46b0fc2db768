"""Causal filters: the promises of edgeai_core.signals.filters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import sosfilt, sosfilt_zi, sosfreqz

from edgeai_core.errors import InputError
from edgeai_core.signals.filters import Bridge, CausalFilter, Hold, band_pass, high_pass, low_pass, notch

RATE_HZ = 250.0
DESIGNS = {
    "high-pass": high_pass(0.5, RATE_HZ),
    "low-pass": low_pass(40.0, RATE_HZ),
    "band-pass": band_pass(5.0, 20.0, RATE_HZ),
    "notch": notch(50.0, RATE_HZ),
    "stacked": np.concatenate([high_pass(0.5, RATE_HZ), notch(50.0, RATE_HZ), notch(60.0, RATE_HZ)]),
}


def signal(samples: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (samples, channels)) + 3.0


def in_chunks(stream, samples, sizes):
    parts, at = [], 0
    for size in [*sizes, len(samples)]:
        parts.append(stream.push(samples[at : at + size]))
        at += size
    return np.concatenate(parts)


@pytest.mark.parametrize("sections", DESIGNS.values(), ids=DESIGNS)
@given(sizes=st.lists(st.integers(0, 40), max_size=12), channels=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_cut_of_a_signal_gives_the_same_output_bit_by_bit(sections, sizes, channels, seed):
    samples = signal(200, channels, seed)
    whole = CausalFilter(sections, channels).push(samples)
    assert np.array_equal(in_chunks(CausalFilter(sections, channels), samples, sizes), whole)


@pytest.mark.parametrize("sections", DESIGNS.values(), ids=DESIGNS)
def test_a_stream_gives_what_scipy_gives_at_once(sections):
    samples = signal(500, 1, 1)
    expected, _ = sosfilt(sections, samples[:, 0], zi=sosfilt_zi(sections) * samples[0, 0])
    assert np.allclose(CausalFilter(sections).push(samples)[:, 0], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "gain"), [("high-pass", 0), ("low-pass", 1), ("band-pass", 0), ("notch", 1)]
)
@given(level=st.floats(-500, 500))
@settings(max_examples=10, deadline=None)
def test_a_constant_makes_no_transient(kind, gain, level):
    out = CausalFilter(DESIGNS[kind]).push(np.full((300, 1), level))
    assert np.allclose(out, gain * level, atol=1e-7)


def test_a_step_dies_out_behind_a_high_pass():
    samples = np.r_[np.zeros(100), np.full(2000, 10.0)][:, None]
    out = CausalFilter(DESIGNS["high-pass"]).push(samples)
    assert out[100, 0] > 9
    assert np.abs(out[-500:]).max() < 1e-3


@pytest.mark.parametrize(
    ("sections", "frequency_hz", "gain"),
    [
        (high_pass(0.5, RATE_HZ), 0.5, np.sqrt(0.5)),
        (low_pass(40.0, RATE_HZ), 40.0, np.sqrt(0.5)),
        (band_pass(5.0, 20.0, RATE_HZ), 5.0, np.sqrt(0.5)),
        (notch(50.0, RATE_HZ), 50.0, 0.0),
        (notch(50.0, RATE_HZ, width_hz=2.0), 51.0, np.sqrt(0.5)),
        (notch(50.0, RATE_HZ), 20.0, 1.0),
    ],
)
def test_the_gain_is_what_the_name_says(sections, frequency_hz, gain):
    _, response = sosfreqz(sections, worN=[frequency_hz], fs=RATE_HZ)
    assert abs(response[0]) == pytest.approx(gain, abs=0.02)


@given(bad=st.lists(st.integers(0, 199), max_size=60), value=st.sampled_from([np.nan, np.inf, -np.inf]))
@settings(max_examples=30, deadline=None)
def test_what_is_not_a_number_never_reaches_the_output_or_the_state(bad, value):
    samples = signal(200, 2, 3)
    samples[bad, 0] = value
    stream = CausalFilter(DESIGNS["stacked"], 2)
    assert np.isfinite(stream.push(samples)).all()
    assert np.isfinite(stream.push(signal(50, 2, 4))).all()


def test_a_gap_in_one_channel_leaves_the_others_untouched():
    samples = signal(300, 2, 5)
    broken = samples.copy()
    broken[100:150, 0] = np.nan
    whole = CausalFilter(DESIGNS["band-pass"], 2).push(samples)
    assert np.array_equal(CausalFilter(DESIGNS["band-pass"], 2).push(broken)[:, 1], whole[:, 1])


def test_hold_keeps_the_last_number_across_chunks_and_starts_at_zero():
    hold = Hold(1)
    assert hold.push(np.array([[np.nan], [2.0], [np.nan]])).ravel().tolist() == [0, 2, 2]
    assert hold.push(np.array([[np.nan], [np.inf], [5.0]])).ravel().tolist() == [2, 2, 5]


def test_after_reset_the_next_sample_is_the_first():
    stream = CausalFilter(DESIGNS["high-pass"])
    stream.push(signal(100, 1, 0))
    stream.reset()
    assert np.allclose(stream.push(np.full((50, 1), 7.0)), 0, atol=1e-9)


@pytest.mark.parametrize("edges", [(0.0, 20.0), (20.0, 5.0), (5.0, 125.0), (5.0, float("nan"))])
def test_edges_that_make_no_filter_are_refused(edges):
    with pytest.raises(InputError, match="filter edge"):
        band_pass(*edges, RATE_HZ)


def test_the_wrong_number_of_channels_is_refused():
    with pytest.raises(InputError, match=r"\(n, 2\)"):
        CausalFilter(DESIGNS["notch"], 2).push(np.zeros((5, 3)))


@given(
    gaps=st.lists(st.tuples(st.integers(0, 199), st.integers(1, 40)), max_size=5),
    sizes=st.lists(st.integers(0, 40), max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_a_bridged_gap_makes_no_edge_whatever_the_chunks(gaps, sizes):
    steps = np.random.default_rng(1).normal(0, 1, (200, 2))
    samples = np.cumsum(steps, axis=0) + 100
    for start, length in gaps:
        samples[start : start + length, 0] = np.nan
    out = in_chunks(Bridge(2), samples, sizes)
    assert np.isfinite(out).all()
    first = np.flatnonzero(np.isfinite(samples[:, 0]))[:1]
    moved = np.abs(np.diff(out[:, 0]))
    assert (moved <= np.abs(steps[1:, 0]) + 1e-9)[first[0] if first.size else 0 :].all()
    assert np.array_equal(out[:, 1], samples[:, 1])


def test_a_channel_without_gaps_is_bridged_to_itself():
    samples = signal(50, 1, 0)
    assert np.array_equal(Bridge(1).push(samples), samples)
