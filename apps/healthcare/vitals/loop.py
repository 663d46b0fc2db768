"""The vitals loop: its configuration becomes sources, an analysis at 2 Hz, and rules for its alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apps.healthcare.config import VitalsConfig
from apps.healthcare.vitals.decide import Code, VitalsOutput
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts, Source

if TYPE_CHECKING:
    from apps.healthcare.ecg.decide import EcgOutput
    from apps.healthcare.simulation.heart import Heart
    from apps.healthcare.vitals.analysis import VitalsAnalyzer
    from apps.healthcare.vitals.sources import BedsideChunk, BedsideSource

RATE_HZ = 2.0
DEADLINE_S = 0.25
MAX_AGE_S = 5.0
"""Without anything from the monitor for so long it is gone."""

BEDSIDE: Input[BedsideChunk] = Input("bedside", history="new", depth=120, max_age_s=MAX_AGE_S)
OBSERVATIONS: Input[BedsideChunk] = Input("observations", history="new", depth=500, required=False)
ECG: Input[EcgOutput] = Input("healthcare.ecg", max_age_s=3.0, required=False)


def vitals_loop(config: VitalsConfig, heart: Callable[[], Heart] | None = None) -> LoopSpec[VitalsOutput]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``.

    ``heart`` makes the heart that a simulated patient shares with another loop's simulation.
    """
    lost = Rule(raise_after_s=config.signal_lost_after_s, clear_after_s=10.0)
    return LoopSpec(
        name="vitals",
        trigger=Every(RATE_HZ),
        inputs=(BEDSIDE, ECG) if config.recording is not None else (BEDSIDE, OBSERVATIONS, ECG),
        build=lambda: _build(config, heart),
        deadline_s=DEADLINE_S,
        safe=Decision(VitalsOutput(config.patient, "CANNOT_TELL"), conditions=None),
        rules={
            **{code: lost for code in Code if code is not Code.DETERIORATION},
            Code.DETERIORATION: Rule(clear_after_s=config.clear_after_s, latched=config.latched),
        },
    )


def _build(config: VitalsConfig, heart: Callable[[], Heart] | None) -> Parts[VitalsOutput]:
    """Open the sources. Imports here, so that a specification costs no numpy."""
    from apps.healthcare.vitals.analysis import Settings, VitalsAnalyzer
    from apps.healthcare.vitals.observations import observations_file
    from apps.healthcare.vitals.sources import ObservationSource
    from edgeai_core.state import find_state

    step = VitalsStep(VitalsAnalyzer(Settings(config.patient, config.limits, config.max_ages)))
    sources: list[Source[Any]] = [
        vitals_source(config, None if heart is None else heart()),
        ObservationSource(observations_file(find_state()), config.patient),
    ]
    if config.recording is not None:  # it is a patient of another day: what is charted now is not of them
        sources.pop()
    return Parts(tuple(sources), step, step.fall_back)


def vitals_source(config: VitalsConfig, heart: Heart | None = None) -> BedsideSource:
    """Return the source that the configuration names; a stable simulated patient has the ``heart`` that is given.

    Raises InputError for a path that holds no recording.
    """
    from apps.healthcare.vitals.sources import BedsideSource, csv_bedside, simulated_bedside

    if config.recording is not None:
        return BedsideSource(csv_bedside(config.recording), repeat=config.repeat)
    simulation = config.simulation
    shared = heart if simulation.course == "stable" else None
    return BedsideSource(simulated_bedside(simulation.course, simulation.seed, shared), repeat=True)


class VitalsStep:
    """The step and its fallback, over one analysis."""

    def __init__(self, analyzer: VitalsAnalyzer) -> None:
        self._analyzer = analyzer
        self._last = ("", False)

    def __call__(self, snapshot: Snapshot) -> Decision[VitalsOutput]:
        """Take what has come, and judge."""
        analyzer, stages = self._analyzer, snapshot.stages
        with stages.stage("take"):
            charts = snapshot.views.get(OBSERVATIONS.source)
            for charted in () if charts is None else charts.samples:
                analyzer.take(charted.data.measurements, charted.time_ns / 1e9)
            for sample in snapshot[BEDSIDE].samples:
                chunk = sample.data
                self._last = (chunk.recording, chunk.simulated)
                analyzer.push(chunk.waves, sample.time_ns / 1e9)
                analyzer.take(chunk.measurements, sample.time_ns / 1e9)
            self._take_ecg(snapshot)
        with stages.stage("judge"):
            recording, simulated = self._last
            decision = analyzer.decide(snapshot.now_ns / 1e9, recording=recording, simulated=simulated)
        return replace(decision, live={"vitals": _live(analyzer, decision)})

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[VitalsOutput]:
        """Say that nothing can be told: what stood stands, and the core's own alert names the monitor that is gone."""
        return Decision(VitalsOutput(self._analyzer.patient, "CANNOT_TELL"), conditions=None)

    def _take_ecg(self, snapshot: Snapshot) -> None:
        """Take the heart rate of the ECG loop, where it is of this patient and as real as the monitor's."""
        view = snapshot[ECG]
        if view.latest is None or view.age_ns is None or view.age_ns > 3e9:
            return
        ecg = view.data
        if ecg.patient == self._analyzer.patient and ecg.simulated == self._last[1] and ecg.heart_rate_bpm:
            quality = 0.0 if ecg.signal_quality is None else ecg.signal_quality
            self._analyzer.take_heart_rate(ecg.heart_rate_bpm, quality, view.latest.time_ns / 1e9)


def _live(analyzer: VitalsAnalyzer, decision: Decision[VitalsOutput]) -> Mapping[str, object]:
    """Return what the page draws."""
    from apps.healthcare.vitals.signs import NAMES, UNITS

    output = decision.output
    points = {} if analyzer.score is None else analyzer.score.points
    trends = analyzer.trends
    signs = [
        {
            "sign": sign.value,
            "name": NAMES[sign],
            "unit": UNITS[sign],
            "value": round(each.value, 1),
            "age_s": round(each.age_s),
            "quality": round(each.quality, 2),
            "origins": [origin.value for origin in each.origins],
            "points": points.get(sign),
            "per_h_15_min": trends[sign][0],
            "per_h_1_h": trends[sign][1],
        }
        for sign, each in analyzer.belief.values.items()
    ]
    return {
        "patient": output.patient,
        "status": output.status,
        "news2": output.news2,
        "news2_risk": output.news2_risk,
        "news2_missing": list(output.news2_missing),
        "signs": signs,
        "silent": sorted(NAMES[sign] for sign in analyzer.belief.silent),
        "findings": [name for each in decision.conditions or () for name in _findings(each.evidence)],
        "consciousness": output.consciousness,
        "simulated": output.simulated,
        "recording": output.recording,
    }


def _findings(evidence: Mapping[str, object]) -> list[str]:
    found = evidence.get("findings")
    return [str(each) for each in found] if isinstance(found, list) else []
