"""The whole loop: simulated patients, recordings, observations over HTTP, and the ECG beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.healthcare.config import EcgConfig, VitalsConfig
from apps.healthcare.ecg.csvfile import write_csv
from apps.healthcare.ecg.loop import ecg_loop
from apps.healthcare.simulation.ecg import simulate
from apps.healthcare.simulation.patients import COURSES, simulate_patient
from apps.healthcare.simulation.pulses import pulse_wave
from apps.healthcare.simulation.scenarios import Scenario, Segment
from apps.healthcare.vitals.decide import Code
from apps.healthcare.vitals.evaluate import evaluate
from apps.healthcare.vitals.loop import vitals_loop
from apps.healthcare.vitals.options import EvaluateOptions
from edgeai_core.decision import Priority
from edgeai_core.loop.spec import LoopSpec
from edgeai_core.sensors.replay import replay, replay_loops
from edgeai_core.testing import check_source


def simulated(course: str, **fields: Any) -> LoopSpec[Any]:
    """Return the loop on a simulated patient alone: nothing is charted in virtual time."""
    spec = vitals_loop(VitalsConfig(simulation={"course": course, "seed": 3}, **fields))  # type: ignore[arg-type]

    def build() -> Any:
        parts = spec.build()
        return replace(parts, sources=parts.sources[:1])

    return replace(spec, build=build)


def test_a_stable_patient_gets_numbers_and_no_alarm() -> None:
    cycles = list(replay(simulated("stable"), until_s=60))
    assert all(cycle.fault is None for cycle in cycles)
    assert all(not cycle.decision.conditions for cycle in cycles)
    last = cycles[-1].decision.output
    truth = simulate_patient("stable", 3).truth
    assert last.heart_rate_bpm == pytest.approx(truth["heart_rate"][59], abs=4)
    assert last.systolic_mmhg == pytest.approx(truth["systolic"][59], abs=9)
    assert last.respiration_per_min == pytest.approx(truth["respiration"][59], abs=2.5)
    assert last.spo2_percent == pytest.approx(truth["spo2"][59], abs=2)
    assert (last.status, last.consciousness, last.simulated) == ("NORMAL", "alert", True)
    assert last.news2_missing == ()


def test_two_replays_of_one_patient_decide_the_same() -> None:
    one, two = (
        [cycle.decision.output for cycle in replay(simulated("artefacts"), until_s=20)] for _ in range(2)
    )
    assert one == two


def write_ward(path: Path, spo2: Any, seconds: int = 240) -> Path:
    rows = ["time_s,heart_rate_bpm,spo2_percent,respiration_per_min"]
    rows += [f"{s},{80},{'' if np.isnan(spo2(s)) else spo2(s)},{16}" for s in range(seconds)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_desaturation_in_a_recording_is_one_alarm_that_names_it(tmp_path: Path) -> None:
    path = write_ward(tmp_path / "ward.csv", lambda s: 97 if s < 30 else max(86, 97 - (s - 30) // 5))
    spec = vitals_loop(VitalsConfig(recording=path))
    conditions = [cycle.decision.conditions or () for cycle in replay(spec)]
    assert {each.code for some in conditions for each in some} == {Code.DETERIORATION}
    first = next(at for at, some in enumerate(conditions) if some) / 2
    assert 30 + 35 + 60 <= first <= 30 + 55 + 90
    assert "SpO2 86 %" in conditions[-1][0].title


def test_a_probe_that_falls_off_is_an_alarm_of_the_equipment_alone(tmp_path: Path) -> None:
    path = write_ward(tmp_path / "ward.csv", lambda s: 97 if s < 60 else 60 if s < 63 else np.nan)
    conditions = [
        c
        for cycle in replay(vitals_loop(VitalsConfig(recording=path)))
        for c in cycle.decision.conditions or ()
    ]
    assert {each.code for each in conditions} == {Code.SPO2_LOST}
    assert all(each.priority is Priority.LOW for each in conditions)


def test_the_source_keeps_the_contract(tmp_path: Path) -> None:
    path = write_ward(tmp_path / "ward.csv", lambda s: 97, seconds=20)
    spec = vitals_loop(VitalsConfig(recording=path))
    check_source(lambda: spec.build().sources[0])


@pytest.mark.parametrize("course", COURSES)
def test_a_simulated_patient_is_the_same_for_one_seed_and_has_a_truth_that_can_be(course: Any) -> None:
    one, two = (simulate_patient(course, 7, 1800) for _ in range(2))
    for sign, values in one.measured.items():
        np.testing.assert_array_equal(values, two.measured[sign])
    assert (one.onset_s is None) == (course in ("stable", "artefacts"))
    assert np.all(one.truth["systolic"] - one.truth["diastolic"] >= 17)
    assert one.truth["spo2"].max() <= 100


def test_an_evaluation_has_its_figures() -> None:
    found = evaluate(EvaluateOptions(patients=1, hours=0.1, waves=1), lambda *told: None)
    assert found.task == "healthcare.vitals"
    for name in ("alerts_per_deterioration", "false_medical_alerts_per_patient_day", "cycle_p99_ms"):
        assert name in found.figures
    assert {row["course"] for row in found.rows} == set(COURSES)


# Beside the ECG: two recordings of one patient, played together


def bedside(tmp_path: Path, scenario: Scenario, *, goes_on: bool = False) -> dict[str, LoopSpec[Any]]:
    """Record an ECG and a pulse. ``goes_on``: the pulse beats to the end, whatever the ECG shows."""
    ecg = simulate(scenario, seed=5)
    write_csv(tmp_path / "ecg.csv", ecg.samples_mv, ecg.rate_hz, ecg.lead_names)
    beats_s = [beat.time_s for beat in ecg.truth.beats]
    while goes_on and beats_s[-1] < scenario.duration_s:
        beats_s.append(beats_s[-1] + 60 / 72)
    rng = np.random.default_rng(0)
    count = round(scenario.duration_s * 100)
    wave = pulse_wave("ppg", beats_s, [1.0] * len(beats_s), 0.0, count, 100.0)
    wave += rng.normal(0, 0.01, count)
    rows = "\n".join(f"{n / 100:.2f},{value:.4f}" for n, value in enumerate(wave))
    (tmp_path / "ppg.csv").write_text(f"time_s,ppg\n{rows}\n")
    return {
        "healthcare.vitals": vitals_loop(VitalsConfig(recording=tmp_path / "ppg.csv")),
        "healthcare.ecg": ecg_loop(EcgConfig(recording=tmp_path / "ecg.csv")),
    }


def priorities(specs: dict[str, LoopSpec[Any]], code: str) -> list[Priority]:
    return [
        each.priority
        for name, cycle in replay_loops(specs)
        if name == "healthcare.ecg"
        for each in cycle.decision.conditions or ()
        if each.code == code
    ]


STOPPED = Scenario((Segment("N", 20, 72), Segment("ASYS", 7)))


def test_an_asystole_with_a_pulse_beneath_is_medium_from_the_first(tmp_path: Path) -> None:
    found = priorities(bedside(tmp_path, STOPPED, goes_on=True), "ASYSTOLE")
    assert found
    assert set(found) == {Priority.MEDIUM}


def test_a_true_asystole_stays_high(tmp_path: Path) -> None:
    found = priorities(bedside(tmp_path, STOPPED), "ASYSTOLE")
    assert found
    assert set(found) == {Priority.HIGH}


def test_fibrillation_is_high_from_its_first_decision_whatever_the_pulse_says(tmp_path: Path) -> None:
    both = Scenario((Segment("N", 20, 72), Segment("VF", 6)))
    found = priorities(bedside(tmp_path, both, goes_on=True), "VENTRICULAR_FIBRILLATION")
    assert found
    assert set(found) == {Priority.HIGH}


def test_the_heart_rate_of_the_ecg_and_of_the_pulse_become_one(tmp_path: Path) -> None:
    specs = bedside(tmp_path, Scenario((Segment("N", 14, 72),)))
    live = [
        cycle.decision.live["vitals"] for name, cycle in replay_loops(specs) if name == "healthcare.vitals"
    ]
    rate: Any = next(each for each in live[-1]["signs"] if each["sign"] == "heart_rate")
    assert set(rate["origins"]) == {"ecg", "ppg"}
    assert rate["value"] == pytest.approx(72, abs=5)
