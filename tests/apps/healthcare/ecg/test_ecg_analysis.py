"""From samples to decisions: what does not depend on how the signal comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apps.healthcare.ecg.analysis import EcgAnalyzer, Settings, decisions
from apps.healthcare.ecg.annotations import OTHER, VF
from apps.healthcare.ecg.decide import Code, EcgOutput
from apps.healthcare.ecg.rhythm import CLASSES, LONG, SHORT, RhythmBelief, WindowBelief
from apps.healthcare.ecg.sources import EcgChunk
from apps.healthcare.simulation.ecg import simulate
from apps.healthcare.simulation.scenarios import Artefact, Noise, Scenario, Segment
from edgeai_core.decision import Decision


class WaveCounter:
    """Stands for the network, where a test is about everything else: few large upstrokes mean VF."""

    def __init__(self) -> None:
        self.windows: list[NDArray[np.float32]] = []
        self.usable: list[tuple[bool, ...]] = []

    def classify(self, window_mv: NDArray[np.float32], usable: NDArray[np.bool_]) -> RhythmBelief:
        self.windows.append(window_mv.copy())
        self.usable.append(tuple(usable.tolist()))
        beliefs = []
        for samples in (LONG, SHORT):
            lead = window_mv[int(np.argmax(usable)), -samples:]
            busy = float((np.abs(lead) > 0.25 * np.abs(lead).max()).mean())
            name = VF if busy > 0.4 else OTHER
            beliefs.append(WindowBelief({each: 0.96 if each == name else 0.01 for each in CLASSES}, False))
        return RhythmBelief(beliefs[0], beliefs[1], np.zeros((len(window_mv), 2), np.float32), 0.5, 0.5)


def signal(
    *segments: Segment, artefacts: tuple[Artefact, ...] = (), rate_hz: float = 250.0, seed: int = 1
) -> np.ndarray:
    scenario = Scenario(segments, Noise(0.05, 0.005, 50.0, 0.005), artefacts)
    return simulate(scenario, rate_hz=rate_hz, lead_names=("II", "V1"), seed=seed).samples_mv


def decided(samples: np.ndarray, rate_hz: float = 250.0, **settings: object) -> list[Decision[EcgOutput]]:
    return list(decisions(samples, rate_hz, ("II", "V1"), WaveCounter(), Settings(**settings)))  # type: ignore[arg-type]


def first_s(all_decisions: list[Decision[EcgOutput]], code: Code) -> float:
    return next(each.output.time_s for each in all_decisions if code in codes(each))


def codes(decision: Decision[EcgOutput]) -> list[str]:
    return [each.code for each in decision.conditions or ()]


EVENTS = Scenario(
    (Segment("N", 7, 80), Segment("VF", 6), Segment("N", 6, 80), Segment("ASYS", 6), Segment("N", 5, 70))
)
EVENTFUL = simulate(EVENTS, seed=1).samples_mv


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8))
@settings(max_examples=8, deadline=None)
def test_the_decisions_are_the_same_however_the_signal_is_cut(sizes: list[int]) -> None:
    expected = decided(EVENTFUL)
    analyzer = EcgAnalyzer(WaveCounter(), Settings())
    made: list[Decision[EcgOutput]] = []
    first = 0
    while first < len(EVENTFUL):
        size = sizes[len(made) % len(sizes)]
        made += analyzer.push(EcgChunk(EVENTFUL[first : first + size], 250.0, ("II", "V1"), first))
        first += size
    assert made == expected


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 360.0, 1000.0])
def test_there_is_a_decision_for_every_tenth_of_a_second_at_any_rate(rate_hz: float) -> None:
    made = decided(signal(Segment("N", 6, 80), rate_hz=rate_hz), rate_hz)
    assert [round(each.output.time_s, 2) for each in made] == pytest.approx(
        [n / 10 for n in range(1, 61)], abs=0.006
    )
    assert made[-1].output.status == "NORMAL"
    assert made[-1].output.heart_rate_bpm == pytest.approx(80, abs=8)


def test_nothing_is_told_before_the_first_four_seconds() -> None:
    made = decided(signal(Segment("N", 6, 80)))
    told = next(each.output.time_s for each in made if each.conditions is not None)
    assert 4.0 <= told <= 5.0
    assert all(each.output.status == "CANNOT_TELL" for each in made if each.output.time_s < told)


def test_fibrillation_and_asystole_come_in_time_and_go_again() -> None:
    made = decided(EVENTFUL)
    assert 7.0 < first_s(made, Code.VENTRICULAR_FIBRILLATION) < 12.0
    truth = simulate(EVENTS, seed=1).truth
    last_beat_s = max(beat.time_s for beat in truth.beats if beat.time_s < 19.0)
    assert last_beat_s + 4.0 <= first_s(made, Code.ASYSTOLE) <= last_beat_s + 4.6
    assert made[-1].conditions == ()


def test_a_lead_that_comes_off_is_named_and_the_other_goes_on() -> None:
    samples = signal(Segment("N", 16, 75), artefacts=(Artefact("lead_off", 8.0, 16.0, "II"),))
    made = decided(samples)
    assert made[-1].output.leads_off == ("II",)
    assert made[-1].output.status == "NORMAL"
    assert all(Code.SIGNAL_LOST not in codes(each) for each in made)


@pytest.mark.parametrize("kind", ["lead_off", "flat", "missing"])
def test_a_signal_lost_in_any_way_is_told_within_two_and_a_half_seconds(kind: str) -> None:
    artefact = Artefact(kind, 8.0, 14.0)  # type: ignore[arg-type]
    made = decided(signal(Segment("N", 22, 75), artefacts=(artefact,)))
    lost_s = first_s(made, Code.SIGNAL_LOST)
    assert 8.0 < lost_s <= 10.5
    after = [each for each in made if each.output.time_s > 16.1]
    assert all(Code.SIGNAL_LOST not in codes(each) for each in after)
    assert {code for each in made for code in codes(each)} == {Code.SIGNAL_LOST}
    assert made[-1].output.status == "NORMAL"


def test_the_network_is_asked_about_connected_leads_only() -> None:
    network = WaveCounter()
    samples = signal(Segment("N", 20, 75), artefacts=(Artefact("lead_off", 8.0, 12.0, "V1"),))
    list(decisions(samples, 250.0, ("II", "V1"), network, Settings()))
    assert set(network.usable) == {(True, True), (True, False)}
    assert network.usable[-1] == (True, True)
    assert all(np.isfinite(window).all() for window in network.windows)


def test_what_stood_stands_through_a_lost_signal() -> None:
    samples = signal(Segment("N", 6, 75), Segment("VF", 14), artefacts=(Artefact("missing", 14.0, 20.0),))
    made = decided(samples)
    assert codes(made[-1]) == [Code.VENTRICULAR_FIBRILLATION, Code.SIGNAL_LOST]
    assert made[-1].output.status == "CRITICAL"


def chunk(samples: np.ndarray, first: int, **more: object) -> EcgChunk:
    fields: dict[str, object] = {"rate_hz": 250.0, "lead_names": ("II", "V1"), "recording": "a"}
    fields.update(more)
    return EcgChunk(samples, first_index=first, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more", [{"recording": "b"}, {"rate_hz": 360.0}, {"lead_names": ("I", "II")}, {"lead_names": ("II",)}]
)
def test_another_recording_rate_or_lead_begins_anew_and_keeps_what_stood(more: dict[str, object]) -> None:
    analyzer = EcgAnalyzer(WaveCounter(), Settings())
    analyzer.push(chunk(signal(Segment("VF", 8)), 0))
    assert analyzer.standing is not None
    assert analyzer.standing.codes == {Code.VENTRICULAR_FIBRILLATION}
    rate_hz = float(more.get("rate_hz", 250.0))  # type: ignore[arg-type]
    leads = len(more.get("lead_names", ("II", "V1")))  # type: ignore[arg-type]
    well = signal(Segment("N", 8, 75), rate_hz=rate_hz)[:, :leads]
    made = analyzer.push(chunk(well, 0, **more))
    assert made[0].output.time_s == pytest.approx(0.1, abs=0.01)
    assert codes(made[0]) == [Code.VENTRICULAR_FIBRILLATION]
    assert made[-1].conditions == ()


def test_a_short_gap_is_bridged_and_a_long_one_begins_anew() -> None:
    samples = signal(Segment("N", 30, 75))
    for lost, goes_on in ((250, True), (2500, False)):
        analyzer = EcgAnalyzer(WaveCounter(), Settings())
        analyzer.push(chunk(samples[:2500], 0))
        made = analyzer.push(chunk(samples[2500 + lost : 5000 + lost], 2500 + lost))
        assert (made[-1].output.time_s == pytest.approx(21.0)) is goes_on
        assert (made[-1].output.time_s == pytest.approx(10.0)) is not goes_on


def test_a_monitor_that_is_started_without_electrodes_says_so() -> None:
    made = decided(np.full((2500, 2), np.nan, dtype=np.float32))
    assert made[-1].output.status == "CANNOT_TELL"
    assert made[-1].output.leads_off == ("II", "V1")
    assert codes(made[-1]) == [Code.SIGNAL_LOST]


def test_the_strip_for_the_page_holds_every_sample_once() -> None:
    analyzer = EcgAnalyzer(WaveCounter(), Settings())
    samples = signal(Segment("N", 6, 75))
    assert analyzer.take_strip() is None
    expected = 0
    beats: list[float] = []
    for first in range(0, len(samples), 25):
        analyzer.push(chunk(samples[first : first + 25], first))
        strip = analyzer.take_strip()
        assert strip is not None
        if len(strip.samples_mv):
            assert strip.first_index == expected
        expected += len(strip.samples_mv)
        beats += strip.beats_s
    assert expected == pytest.approx(6 * 125, abs=6)
    assert np.diff(beats) == pytest.approx(60 / 75, rel=0.15)
