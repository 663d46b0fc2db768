"""The simulated heart: what its truth promises is in its samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.healthcare.simulation.ecg import simulate
from apps.healthcare.simulation.noise import LEAD_OFF_MV
from apps.healthcare.simulation.scenarios import SCENARIOS, Artefact, Noise, Scenario, Segment

CLEAN = Noise(0.0, 0.0, 50.0, 0.0)


def clean(*segments: Segment) -> Scenario:
    return Scenario(segments, CLEAN)


def share_of_power(samples: np.ndarray, rate_hz: float, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples - samples.mean())) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    return float(power[(hz >= low_hz) & (hz <= high_hz)].sum() / power.sum())


def test_the_same_seed_gives_the_same_samples_and_another_seed_others() -> None:
    first, again, other = (simulate(SCENARIOS["rounds"], seed=seed).samples_mv for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 360.0, 1000.0])
def test_every_beat_of_the_truth_is_a_peak_of_lead_ii(rate_hz: float) -> None:
    made = simulate(clean(Segment("N", 20, 75)), rate_hz=rate_hz, lead_names=["II"], seed=1)
    assert len(made.truth.beats) == pytest.approx(25, abs=2)
    for beat in made.truth.beats[1:-1]:
        around = round(beat.time_s * rate_hz)
        reach = round(0.1 * rate_hz)
        peak = int(np.argmax(made.samples_mv[around - reach : around + reach, 0])) - reach
        assert abs(peak) <= max(1, 0.012 * rate_hz)


@given(rate_bpm=st.floats(30, 180), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_sinus_rhythm_runs_at_its_rate_and_varies_a_little(rate_bpm: float, seed: int) -> None:
    made = simulate(clean(Segment("N", 40, rate_bpm)), rate_hz=100.0, lead_names=["II"], seed=seed)
    rr_s = np.diff([beat.time_s for beat in made.truth.beats])
    assert 60 / rr_s.mean() == pytest.approx(rate_bpm, rel=0.05)
    assert 0.003 < rr_s.std() / rr_s.mean() < 0.1


def test_vt_is_fast_regular_and_ventricular() -> None:
    made = simulate(clean(Segment("VT", 10, 180)), seed=2)
    rr_s = np.diff([beat.time_s for beat in made.truth.beats])
    assert 60 / rr_s.mean() == pytest.approx(180, rel=0.03)
    assert {beat.kind for beat in made.truth.beats} == {"V"}


def test_a_ventricular_beat_is_wider_than_a_normal_one() -> None:
    def width_s(segment: Segment) -> float:
        made = simulate(clean(segment), rate_hz=1000.0, lead_names=["II"], seed=1)
        at = round(made.truth.beats[2].time_s * 1000)
        steep = np.abs(np.gradient(made.samples_mv[at - 150 : at + 150, 0]))
        return float((steep > 0.15 * steep.max()).sum()) / 1000

    assert width_s(Segment("VT", 5, 120)) > 1.5 * width_s(Segment("N", 5, 70))


def test_fibrillation_has_its_power_between_3_and_7_hz_and_no_beats() -> None:
    made = simulate(clean(Segment("VF", 20)), lead_names=["II", "V1"], seed=5)
    assert made.truth.beats == ()
    for lead in range(2):
        assert share_of_power(made.samples_mv[:, lead], 250.0, 2.5, 7.5) > 0.9
    assert 0.2 < float(np.ptp(made.samples_mv[:, 0])) < 4.0


def test_flutter_is_one_wave_at_its_rate() -> None:
    made = simulate(clean(Segment("VFL", 20, 240)), lead_names=["II"], seed=5)
    assert share_of_power(made.samples_mv[:, 0], 250.0, 3.6, 4.4) > 0.85


def test_atrial_fibrillation_is_irregular() -> None:
    made = simulate(clean(Segment("AFIB", 60, 90)), seed=1)
    rr_s = np.diff([beat.time_s for beat in made.truth.beats])
    assert 0.12 < rr_s.std() / rr_s.mean() < 0.3


def test_pvcs_come_early_with_a_pause_after_them() -> None:
    made = simulate(clean(Segment("PVC", 60, 70)), seed=1)
    beats = made.truth.beats
    ectopic = [at for at, beat in enumerate(beats) if beat.kind == "V" and 0 < at < len(beats) - 1]
    assert len(ectopic) >= 5
    for at in ectopic:
        before_s = beats[at].time_s - beats[at - 1].time_s
        after_s = beats[at + 1].time_s - beats[at].time_s
        assert before_s < 0.75 * 60 / 70 < 60 / 70 < after_s


def test_asystole_is_silent() -> None:
    made = simulate(clean(Segment("ASYS", 5)), seed=1)
    assert float(np.abs(made.samples_mv).max()) == 0.0


def test_rhythms_of_the_truth_follow_the_script() -> None:
    made = simulate(SCENARIOS["vt_into_vf"], seed=1)
    assert [each.rhythm for each in made.truth.rhythms] == ["N", "VT", "VF", "N"]
    assert made.truth.rhythms[0].start_s == 0.0
    for before, after in pairwise(made.truth.rhythms):
        assert before.end_s == after.start_s
    assert len(made.samples_mv) == round(made.truth.rhythms[-1].end_s * 250)


def test_artefacts_spoil_their_lead_and_time_only() -> None:
    def made(*artefacts: Artefact) -> np.ndarray:
        return simulate(Scenario((Segment("N", 10),), CLEAN, artefacts), lead_names=["II", "V1"]).samples_mv

    plain = made()
    for kind in ("motion", "muscle", "lead_off", "flat", "missing"):
        spoilt = made(Artefact(kind, 4.0, 6.0, "II"))
        np.testing.assert_array_equal(spoilt[:, 1], plain[:, 1])
        np.testing.assert_array_equal(spoilt[:1000, 0], plain[:1000, 0])
        np.testing.assert_array_equal(spoilt[1500:, 0], plain[1500:, 0])
        assert not np.array_equal(spoilt[1000:1500, 0], plain[1000:1500, 0])
    assert np.all(made(Artefact("lead_off", 4.0, 6.0))[1000:1500] == np.float32(LEAD_OFF_MV))
    assert np.all(np.isnan(made(Artefact("missing", 4.0, 6.0))[1000:1500]))


def test_mains_noise_is_at_its_frequency() -> None:
    noise = Noise(0.0, 0.2, 60.0, 0.0)
    made = simulate(Scenario((Segment("ASYS", 10),), noise), lead_names=["II"])
    assert share_of_power(made.samples_mv[:, 0], 250.0, 59.5, 60.5) > 0.99


@pytest.mark.parametrize(
    ("scenario", "leads"),
    [
        (Scenario(()), ["II"]),
        (clean(Segment("N", 10_000.0)), ["II"]),
        (clean(Segment("N", 10.0, 900.0)), ["II"]),
        (clean(Segment("VT", 10.0, 20.0)), ["II"]),
        (clean(Segment("N", 10.0)), ["aVX"]),
        (clean(Segment("N", 10.0)), []),
    ],
)
def test_a_scenario_that_no_heart_could_play_is_refused(scenario: Scenario, leads: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must last|runs at|knows"):
        simulate(scenario, lead_names=leads)


def test_runs_are_four_ventricular_beats_at_150_a_minute_after_eight_normal_ones() -> None:
    made = simulate(clean(Segment("RUN", 40, 74)), seed=1)
    kinds = "".join(beat.kind for beat in made.truth.beats)
    assert kinds.startswith("NNNNNNNNVVVVNNNNNNNNVVVV")
    first = [beat.time_s for beat in made.truth.beats[7:12]]
    assert np.diff(first) == pytest.approx([0.4] * 4)
    assert made.truth.beats[12].time_s - first[-1] > 0.9
