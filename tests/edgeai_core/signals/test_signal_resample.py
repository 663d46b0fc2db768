"""Resampling of streams: the promises of edgeai_core.signals.resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import upfirdn

from edgeai_core.errors import InputError
from edgeai_core.signals.resample import StreamResampler

RATES_HZ = [100.0, 128.0, 180.0, 250.0, 257.0, 333.3, 333.333, 360.0, 500.0, 1000.0]


@given(
    rate=st.sampled_from(RATES_HZ),
    out=st.sampled_from([125.0, 250.0, 360.0]),
    sizes=st.lists(st.integers(0, 200), max_size=10),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_any_cut_of_a_signal_gives_the_same_output_bit_by_bit(rate, out, sizes, seed):
    samples = np.random.default_rng(seed).normal(0, 1, (700, 2))
    whole = StreamResampler(rate, out, 2).push(samples)
    stream, parts, at = StreamResampler(rate, out, 2), [], 0
    for size in [*sizes, len(samples)]:
        parts.append(stream.push(samples[at : at + size]))
        at += size
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_time_at_one_rate_is_the_same_time_at_the_other(rate):
    times_s = np.arange(int(5 * rate)) / rate
    out = StreamResampler(rate, 250.0).push(np.sin(2 * np.pi * 7 * times_s)[:, None])
    expected = np.sin(2 * np.pi * 7 * np.arange(len(out)) / 250.0)
    assert np.abs(out[250:, 0] - expected[250:]).max() < 5e-3


@pytest.mark.parametrize("rate", RATES_HZ)
def test_samples_come_as_late_as_delay_s_says_and_no_later(rate):
    stream = StreamResampler(rate, 250.0)
    seconds = 4.0
    out = stream.push(np.zeros((round(seconds * rate), 1)))
    assert len(out) / 250.0 == pytest.approx(seconds - stream.delay_s, abs=1 / 250.0 + 1 / rate)


@given(rate=st.sampled_from(RATES_HZ), level=st.floats(-300, 300))
@settings(max_examples=30, deadline=None)
def test_a_constant_stays_the_same_constant(rate, level):
    out = StreamResampler(rate, 250.0).push(np.full((500, 1), level))
    assert np.allclose(out, level, atol=1e-9)


def test_what_the_new_rate_cannot_hold_is_taken_out():
    times_s = np.arange(5000) / 1000.0
    out = StreamResampler(1000.0, 250.0).push(np.sin(2 * np.pi * 240 * times_s)[:, None])
    assert np.abs(out[250:]).max() < 0.01


def test_a_stream_gives_what_scipy_gives_at_once():
    samples = np.r_[np.zeros(400), np.random.default_rng(0).normal(0, 1, 1000)]
    stream = StreamResampler(360.0, 250.0)
    out = stream.push(samples[:, None])[:, 0]
    half = round(stream.delay_s * 360 * 25)
    at_once = upfirdn(stream._taps, samples, 25, 36)[half // 36 :][: len(out)]
    assert np.allclose(out, at_once, atol=1e-12)


def test_equal_rates_pass_through_at_once():
    samples = np.random.default_rng(0).normal(0, 1, (50, 3))
    stream = StreamResampler(250.0, 250.0, 3)
    assert np.array_equal(stream.push(samples), samples)
    assert stream.delay_s == 0


def test_what_is_not_a_number_never_reaches_the_output():
    samples = np.random.default_rng(0).normal(0, 1, (600, 2))
    samples[100:200, 0] = np.nan
    samples[0, 1] = np.inf
    assert np.isfinite(StreamResampler(360.0, 250.0, 2).push(samples)).all()


def test_memory_does_not_grow_with_the_stream():
    stream = StreamResampler(360.0, 250.0)
    held = set()
    for _ in range(200):
        stream.push(np.zeros((36, 1)))
        held.add(len(stream._buffer))
    assert max(held) < 200


@pytest.mark.parametrize("rates", [(0.0, 250.0), (float("nan"), 250.0), (360.0, -1.0), (250.01, 250.0)])
def test_rates_without_a_ratio_of_whole_numbers_are_refused(rates):
    with pytest.raises(InputError, match="Hz"):
        StreamResampler(*rates)
