"""Pulses, breaths and trends: found in waveforms of known rate, gone when they are gone, the same however cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.simulation.pulses import beat_times_s, pulse_wave
from apps.healthcare.vitals.analysis import Settings, VitalsAnalyzer, Wave
from apps.healthcare.vitals.breath import BreathCounter, EcgBreath
from apps.healthcare.vitals.pulse import GONE_S, PulseDetector, PulseWatch
from apps.healthcare.vitals.signs import Sign
from apps.healthcare.vitals.trends import LONG_S, SHORT_S, Trends, theil_sen

RATE_HZ = 100.0


def ppg(bpm: float, duration_s: float, seed: int = 0, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    beats_s = beat_times_s(np.full(int(duration_s), bpm), rng)
    count = round(duration_s * RATE_HZ)
    wave = pulse_wave("ppg", beats_s.tolist(), [1.0] * len(beats_s), 0.0, count, RATE_HZ)
    return wave + rng.normal(0.0, noise, count), beats_s


@pytest.mark.parametrize("bpm", [35, 60, 95, 140, 180])
def test_the_rate_of_a_clean_pulse_is_found_with_good_quality(bpm: int) -> None:
    wave, _ = ppg(bpm, 40)
    watch = PulseWatch(RATE_HZ)
    watch.push(wave)
    pulse = watch.pulse()
    assert pulse.rate_bpm == pytest.approx(bpm, rel=0.05)
    assert pulse.quality > 0.8
    assert pulse.strength == pytest.approx(1.0, abs=0.15)
    assert pulse.before_bpm == pytest.approx(bpm, rel=0.05)


def test_every_beat_gives_one_pulse_within_half_a_second() -> None:
    wave, beats_s = ppg(75, 60)
    found_s = [beat.time_s for beat in PulseDetector(RATE_HZ).push(wave)]
    for beat_s in beats_s[(beats_s > 3) & (beats_s < 58)]:
        near = [at_s for at_s in found_s if beat_s < at_s < beat_s + 0.5]
        assert len(near) == 1


@settings(max_examples=15)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_where_a_waveform_is_cut_changes_nothing(sizes: list[int]) -> None:
    wave, _ = ppg(80, 12)
    whole = PulseDetector(RATE_HZ).push(wave)
    detector = PulseDetector(RATE_HZ)
    parts = []
    at = 0
    while at < len(wave):
        for size in sizes:
            parts += detector.push(wave[at : at + size])
            at += size
    assert [beat.time_s for beat in parts] == [beat.time_s for beat in whole]


def test_when_the_heart_stops_the_pulse_is_gone_after_three_seconds() -> None:
    _, beats_s = ppg(75, 40)
    last_s = beats_s[beats_s < 20].max()
    stopped = pulse_wave(
        "ppg", beats_s[beats_s <= last_s].tolist(), [1.0] * int((beats_s <= last_s).sum()), 0.0, 4000, 100
    )
    watch = PulseWatch(RATE_HZ)
    rng = np.random.default_rng(1)
    watch.push((stopped + rng.normal(0, 0.01, len(stopped)))[: round((last_s + GONE_S + 1.2) * RATE_HZ)])
    assert watch.pulse().rate_bpm is None


def test_noise_is_no_pulse_of_quality_and_missing_samples_take_it_away() -> None:
    watch = PulseWatch(RATE_HZ)
    watch.push(np.cumsum(np.random.default_rng(3).normal(0, 0.2, 3000)))
    assert watch.pulse().quality < 0.4
    wave, _ = ppg(75, 20)
    wave[-50:] = np.nan
    watch = PulseWatch(RATE_HZ)
    for part in np.split(wave, 40):
        watch.push(part)
    assert watch.pulse().quality == 0.0


def test_an_arterial_line_gives_its_pressures() -> None:
    rng = np.random.default_rng(0)
    beats_s = beat_times_s(np.full(40, 70.0), rng)
    wave = 70 + 50 * pulse_wave("abp", beats_s.tolist(), [1.0] * len(beats_s), 0.0, 4000, RATE_HZ)
    watch = PulseWatch(RATE_HZ)
    watch.push(wave)
    pulse = watch.pulse()
    assert pulse.high == pytest.approx(wave[500:].max(), abs=4)
    assert pulse.low == pytest.approx(70, abs=3)
    assert pulse.mean == pytest.approx(wave[-800:].mean(), abs=2)


@pytest.mark.parametrize("per_min", [8, 14, 22, 34])
def test_breaths_are_counted_in_impedance_with_the_heart_on_it(per_min: int) -> None:
    times_s = np.arange(0, 80, 1 / 25)
    wave = np.sin(2 * np.pi * per_min / 60 * times_s) + 0.15 * np.sin(2 * np.pi * 1.2 * times_s)
    counter = BreathCounter(25.0)
    counter.push(wave)
    found = counter.breathing()
    assert found.rate_per_min == pytest.approx(per_min, rel=0.06)
    assert found.quality > 0.7


def test_breathing_that_stops_cannot_be_told() -> None:
    times_s = np.arange(0, 80, 1 / 25)
    wave = np.where(times_s < 55, np.sin(2 * np.pi * 0.25 * times_s), 0.0)
    counter = BreathCounter(25.0)
    counter.push(wave)
    assert counter.breathing().rate_per_min is None


def test_breaths_are_found_in_the_heights_of_an_ecg() -> None:
    rate_hz, per_min = 250.0, 15.0
    times_s = np.arange(0, 90, 1 / rate_hz)
    wave = np.zeros(len(times_s))
    for beat_s in np.arange(0.5, 89.5, 0.8):
        height = 1.0 + 0.2 * np.sin(2 * np.pi * per_min / 60 * beat_s)
        wave += height * np.exp(-0.5 * ((times_s - beat_s) / 0.012) ** 2)
    breath = EcgBreath(rate_hz)
    breath.push(wave)
    assert breath.breathing().rate_per_min == pytest.approx(per_min, rel=0.1)


@given(st.floats(-5, 5), st.floats(-50, 50), st.integers(3, 40))
def test_a_line_has_its_own_slope_and_outliers_do_not_move_it(slope: float, start: float, count: int) -> None:
    times_s = np.arange(count, dtype=float)
    values = start + slope * times_s
    assert theil_sen(times_s, values) == pytest.approx(slope, abs=1e-9)
    values[: count // 8] += 100.0
    assert theil_sen(times_s, values) == pytest.approx(slope, abs=1e-9)


def test_trends_are_told_once_enough_of_their_time_is_known() -> None:
    trends = Trends()
    for second in range(int(LONG_S)):
        trends.take(float(second), Sign.SPO2, 97.0 - second / 600)
        short, long = trends.per_h(Sign.SPO2)
        if second < SHORT_S / 2:
            assert short is None
        if second < LONG_S / 2:
            assert long is None
    assert short == pytest.approx(-6.0, abs=0.05)
    assert long == pytest.approx(-6.0, abs=0.05)
    assert trends.per_h(Sign.SYSTOLIC) == (None, None)


def pulse_origins(waves: dict[str, np.ndarray], seconds: int) -> list[str]:
    """Which waveform the pulse came from, second by second once both are known."""
    analyzer = VitalsAnalyzer(Settings())
    origins = []
    for second in range(seconds):
        part = slice(int(second * RATE_HZ), int((second + 1) * RATE_HZ))
        analyzer.push([Wave(name, wave[part].copy(), RATE_HZ) for name, wave in waves.items()], second + 1.0)
        origins.append(analyzer.decide(second + 1.0).output.pulse_origin)
    return origins[8:]


def test_of_two_waves_as_good_the_pulse_stays_with_one() -> None:
    breath = np.sin(2 * np.pi * np.arange(60 * RATE_HZ) / (13 * RATE_HZ))  # one is better now, then the other
    waves = {
        "ppg": ppg(72, 60, seed=1)[0] * (1 + 0.35 * breath),
        "abp": 80 + 40 * ppg(72, 60, seed=2)[0] * (1 - 0.35 * breath[::-1]),
    }
    assert len(set(pulse_origins(waves, 60))) == 1


def test_the_pulse_leaves_a_wave_that_goes_bad_or_away() -> None:
    good, other = ppg(72, 40, seed=1)[0], ppg(72, 40, seed=2)[0]
    first = pulse_origins({"ppg": good, "abp": 80 + 40 * other}, 40)[0]
    bad = {"ppg": good.copy(), "abp": 80 + 40 * other}
    half = len(good) // 2
    bad[first][half:] = np.random.default_rng(0).normal(bad[first].mean(), 5.0, half)
    assert pulse_origins(bad, 40)[-1] not in (first, "")
    gone = {"ppg": good.copy(), "abp": 80 + 40 * other}
    gone[first][half:] = np.nan
    assert pulse_origins(gone, 40)[-1] not in (first, "")
