"""Preprocessing: the promises of apps.healthcare.ecg.preprocess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.ecg.beats import MAX_LATENCY_S
from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ, Preprocessor, lead_quality
from edgeai_core.errors import InputError

RATES_HZ = [100.0, 125.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0]


def waves(rate_hz, seconds, leads=1, seed=0):
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    lead = np.exp(-(((times_s % 0.8) - 0.4) ** 2) / 0.0006) + 0.3 * np.sin(2 * np.pi * 1.25 * times_s)
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(times_s), leads))
    return lead[:, None] * np.linspace(1, 0.5, leads) + noise


@given(
    rate_hz=st.sampled_from(RATES_HZ),
    gap=st.integers(0, 400),
    sizes_s=st.lists(st.floats(0, 2), max_size=8),
)
@settings(max_examples=15, deadline=None)
def test_clean_samples_and_quality_do_not_depend_on_the_size_of_the_chunks(rate_hz, gap, sizes_s):
    samples = waves(rate_hz, 5, 2)
    samples[gap : gap + 50, 0] = np.nan
    whole = Preprocessor(rate_hz, 2).push(samples)
    stream, parts, at = Preprocessor(rate_hz, 2), [], 0
    for size in [*(round(size_s * rate_hz) for size_s in sizes_s), len(samples)]:
        parts.append(stream.push(samples[at : at + size]))
        at += size
    assert np.array_equal(np.concatenate([part.samples_mv for part in parts]), whole.samples_mv)
    assert np.array_equal(np.concatenate([part.raw_mv for part in parts]), whole.raw_mv)
    firsts = np.cumsum([0, *(len(part.raw_mv) for part in parts)])[:-1]
    assert [part.first_index for part in parts] == firsts.tolist()
    assert np.array_equal(parts[-1].quality, whole.quality)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_clean_time_is_input_time_at_every_rate(rate_hz):
    times_s = np.arange(round(6 * rate_hz)) / rate_hz
    clean = Preprocessor(rate_hz, 1).push(np.sin(2 * np.pi * 6 * times_s)[:, None])
    expected = np.sin(2 * np.pi * 6 * np.arange(len(clean.raw_mv)) / WORKING_RATE_HZ)
    assert np.abs(clean.raw_mv[250:, 0] - expected[250:]).max() < 0.03


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_preprocessing_and_beats_together_report_within_400_ms(rate_hz):
    assert Preprocessor(rate_hz, 1).delay_s + MAX_LATENCY_S <= 0.4 + 1e-9


@pytest.mark.parametrize(("mains_hz", "setting"), [(50, None), (60, None), (50, 50.0), (60, 60.0)])
def test_mains_and_wander_are_taken_out_and_the_waves_stay(mains_hz, setting):
    rate_hz = 500.0
    times_s = np.arange(round(12 * rate_hz))[:, None] / rate_hz
    plain = waves(rate_hz, 12)
    spoilt = plain + 1.0 * np.sin(2 * np.pi * mains_hz * times_s) + 2.0 * np.sin(2 * np.pi * 0.1 * times_s)
    clean, wanted = (Preprocessor(rate_hz, 1, setting).push(x).samples_mv[1000:] for x in (spoilt, plain))
    assert np.abs(clean - wanted).max() < 0.12


@given(
    bad=st.lists(st.tuples(st.integers(0, 1999), st.integers(1, 300)), max_size=6),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 1e300]),
)
@settings(max_examples=12, deadline=None)
def test_what_is_no_voltage_leaves_no_trace_in_what_comes_out(bad, value):
    samples = waves(250.0, 8, 2)
    for start, length in bad:
        samples[start : start + length, 0] = value
    clean = Preprocessor(250.0, 2).push(samples)
    assert np.isfinite(clean.samples_mv).all()
    assert np.abs(clean.samples_mv).max() < 5
    assert np.isfinite(clean.quality).all()


def test_a_clean_lead_has_full_quality_and_is_on():
    quality, off = lead_quality(waves(360.0, 2.0), 360.0)
    assert quality[0] > 0.9
    assert not off[0]


def test_fibrillation_is_no_noise():
    times_s = np.arange(720) / 360
    wave = 0.4 * np.sin(2 * np.pi * (5 * times_s + 0.3 * np.sin(2 * np.pi * 0.7 * times_s)))
    quality, off = lead_quality(wave[:, None], 360.0)
    assert quality[0] > 0.9
    assert not off[0]


def test_a_heart_that_stands_still_is_not_a_lead_that_is_off():
    noise = np.random.default_rng(0).normal(0, 0.01, (720, 1))
    quality, off = lead_quality(noise, 360.0)
    assert quality[0] > 0.9
    assert not off[0]


@pytest.mark.parametrize("kind", ["missing", "flat", "stuck high", "half missing", "nothing"])
def test_a_lead_without_a_heart_in_it_is_off(kind):
    window = waves(360.0, 2.0)
    if kind == "missing":
        window[:500] = np.nan
    elif kind == "flat":
        window[:] = 0.2
    elif kind == "stuck high":
        window[200:600] = 5.0
    elif kind == "half missing":
        window[1::2] = np.nan
        window[0] = np.nan
    else:
        window[:] = np.nan
    quality, off = lead_quality(window, 360.0)
    assert off[0]
    assert quality[0] == 0


@pytest.mark.parametrize("noise", ["muscle", "wander"])
def test_the_more_noise_the_lower_the_quality(noise):
    plain = waves(360.0, 2.0)
    times_s = np.arange(720)[:, None] / 360
    spoil = np.random.default_rng(1).normal(0, 1, (720, 1)) if noise == "muscle" else 5 * (times_s - 1)
    qualities = [lead_quality(plain + size * spoil, 360.0)[0][0] for size in (0.0, 0.3, 1.0, 3.0)]
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] > 0.9
    assert qualities[-1] < 0.2


def test_each_lead_is_judged_for_itself():
    window = waves(360.0, 2.0, 2)
    window[:, 1] = 0
    quality, off = lead_quality(window, 360.0)
    assert off.tolist() == [False, True]
    assert quality[0] > 0.9


def test_a_lead_that_falls_off_is_noticed_within_the_window_and_comes_back():
    samples = waves(250.0, 12)
    samples[4 * 250 : 7 * 250] = np.nan
    stream = Preprocessor(250.0, 1)
    off = [bool(stream.push(samples[at : at + 25]).lead_off[0]) for at in range(0, len(samples), 25)]
    assert not any(off[:45])
    assert all(off[60:75])
    assert not any(off[100:])


@pytest.mark.parametrize(
    ("rate_hz", "leads"), [(50.0, 1), (float("nan"), 1), (1e5, 1), (250.0, 0), (250.0, 99)]
)
def test_what_cannot_be_an_ecg_is_refused(rate_hz, leads):
    with pytest.raises(InputError):
        Preprocessor(rate_hz, leads)


def test_the_wrong_number_of_leads_is_refused():
    with pytest.raises(InputError, match="2 leads"):
        Preprocessor(250.0, 2).push(np.zeros((10, 3)))
