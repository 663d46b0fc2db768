"""One simulated heart: the ECG and the pulse of a device are in step, whenever each of their processes began."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from apps.healthcare.app import app
from apps.healthcare.config import EcgConfig, HealthcareConfig, VitalsConfig
from apps.healthcare.ecg.heart_source import HeartSource
from apps.healthcare.ecg.loop import ecg_loop
from apps.healthcare.simulation.bedside import play_bedside
from apps.healthcare.simulation.heart import Beats, Heart, beats_of
from apps.healthcare.simulation.scenarios import SCENARIOS, Scenario, Segment
from apps.healthcare.vitals.loop import vitals_loop
from apps.healthcare.vitals.sources import simulated_bedside
from edgeai_core.clock import VirtualClock
from edgeai_core.decision import Priority
from edgeai_core.sensors.replay import replay_loops
from edgeai_core.testing import check_source

SAMPLES = Path(__file__).parents[4] / "data_samples" / "healthcare"
SECOND_NS = 1_000_000_000


def sample(loop: str, name: str) -> Path:
    (found,) = (SAMPLES / loop).glob(f"*_{name}.csv")
    return found


def heart(scenario: Scenario = SCENARIOS["stable"], seed: int = 0) -> Heart:
    return Heart(scenario, name="stable", rate_hz=250.0, lead_names=("II", "V1"), seed=seed)


def test_the_source_keeps_the_contract_and_goes_on_into_the_next_round() -> None:
    check_source(lambda: HeartSource(heart()), readings=20)
    source = HeartSource(heart(Scenario((Segment("N", 3.05, 72),))))
    source.open(VirtualClock(0))
    chunks = [source.read(1.0) for _ in range(40)]
    assert all(chunk is not None for chunk in chunks)
    ends = [chunk.time_ns for chunk in chunks if chunk is not None]
    assert ends == sorted(set(ends))
    indices = [(each.data.first_index, each.sequence) for each in chunks if each is not None]
    for (first, last), (following, _) in pairwise(indices):
        assert following == (last or 0) + 1 > first


def test_what_it_gives_is_marked_as_simulated_and_a_seed_repeats_it() -> None:
    def first_samples(seed: int) -> np.ndarray:
        source = HeartSource(heart(seed=seed))
        source.open(VirtualClock(0))
        readings = [source.read(1.0) for _ in range(10)]
        assert all(each is not None and each.data.simulated for each in readings)
        return np.concatenate([each.data.samples_mv for each in readings if each is not None])

    np.testing.assert_array_equal(first_samples(1), first_samples(1))
    assert not np.array_equal(first_samples(1), first_samples(2))
    assert not np.array_equal(heart().play(0).samples_mv, heart().play(1).samples_mv)


@pytest.mark.parametrize("late_s", [0.0, 7.3, 29.9, 41.05])
def test_a_loop_that_starts_later_sees_the_same_heart_at_the_same_moment(late_s: float) -> None:
    def samples(start_ns: int, seconds: float) -> dict[int, float]:
        clock = VirtualClock(start_ns)
        source = HeartSource(heart())
        source.open(clock)
        seen: dict[int, float] = {}
        while clock.now_ns() < start_ns + seconds * SECOND_NS:
            reading = source.read(1.0)
            assert reading is not None
            assert reading.time_ns is not None
            for back, value in enumerate(reading.data.samples_mv[::-1, 0].tolist()):
                seen[reading.time_ns - back * SECOND_NS // 250] = value
        return seen

    early, late = samples(0, late_s + 3), samples(round(late_s * SECOND_NS), 3)
    both = early.keys() & late.keys()
    assert len(both) > 500
    assert all(early[each] == late[each] for each in both)


@pytest.mark.parametrize("origin_s", [0.0, 11.2, 29.0])
def test_the_beats_that_the_bedside_is_given_are_those_of_the_ecg(origin_s: float) -> None:
    one = heart()
    duration_s = SCENARIOS["stable"].duration_s
    found = one.between(round(origin_s * SECOND_NS), -1.5, 40.0)
    true = np.concatenate(
        [beats_of(one.play(number).truth).times_s + number * duration_s for number in range(3)]
    )
    true = true[(true >= max(origin_s - 1.5, 0.0)) & (true < origin_s + 40.0)] - origin_s
    mine = found.times_s[found.times_s >= -origin_s]
    assert np.allclose(mine, true, atol=1e-6)


def test_an_early_beat_of_the_ventricle_hardly_reaches_the_wrist_and_one_in_vt_not_at_all() -> None:
    pvc = beats_of(heart(Scenario((Segment("PVC", 30, 75),))).play(0).truth)
    assert pvc.strengths.min() < 0.6 < 0.95 < np.median(pvc.strengths)
    vt = beats_of(heart(Scenario((Segment("VT", 10, 180),))).play(0).truth)
    assert vt.strengths[1:].max() < 0.25
    assert len(beats_of(heart(Scenario((Segment("ASYS", 5),))).play(0).truth).times_s) == 0


def test_without_a_pulse_the_pressure_runs_off_and_the_oximeter_says_nothing() -> None:
    stopped = Beats(np.arange(0.4, 20.0, 0.8), np.ones(25)).between
    moments = list(islice(play_bedside("stable", 1, 60, stopped), 120))
    beating, arrested = moments[30], moments[-2]
    assert beating.waves["abp"][0].max() > 90
    assert arrested.waves["abp"][0].max() < 30
    assert np.isnan(arrested.values["spo2"])
    assert not np.isnan(beating.values["spo2"])


def test_the_pulse_of_a_recording_disputes_an_asystole_that_faint_electrodes_feign_and_none_that_is_true() -> (
    None
):
    def said(name: str) -> set[tuple[str, Priority]]:
        specs = {
            "healthcare.vitals": vitals_loop(VitalsConfig(recording=sample("vitals", name))),
            "healthcare.ecg": ecg_loop(EcgConfig(recording=sample("ecg", name))),
        }
        return {
            (each.code, each.priority)
            for loop, cycle in replay_loops(specs)
            if loop == "healthcare.ecg"
            for each in cycle.decision.conditions or ()
        }

    assert said("faint_leads") == {("ASYSTOLE", Priority.MEDIUM)}
    assert said("asystole") == {("ASYSTOLE", Priority.HIGH)}


def test_a_simulated_pulse_of_another_heart_disputes_nothing() -> None:
    specs = {
        "healthcare.vitals": vitals_loop(VitalsConfig(recording=sample("vitals", "stable"))),
        "healthcare.ecg": ecg_loop(EcgConfig(recording=sample("ecg", "asystole"))),
    }
    found = {
        each.priority
        for loop, cycle in replay_loops(specs)
        if loop == "healthcare.ecg"
        for each in cycle.decision.conditions or ()
    }
    assert found == {Priority.HIGH}


def test_the_app_gives_its_simulated_patient_one_heart_unless_the_patients_are_two() -> None:
    shared = simulated_bedside("stable", 1, heart())
    assert next(shared(0))[1].recording == "stable"
    own = simulated_bedside("sepsis", 1)
    assert next(own(0))[1].recording == "sepsis"
    one, two = HealthcareConfig(), HealthcareConfig(ecg=EcgConfig(patient="bed-9"))
    assert len(app.loops(one)) == len(app.loops(two)) == 3
