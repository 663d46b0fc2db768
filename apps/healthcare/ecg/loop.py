"""The ECG loop: its configuration becomes sources, an analysis at 10 Hz, and rules for its alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apps.healthcare.config import EcgConfig, SimulationConfig
from apps.healthcare.ecg.decide import ECTOPY, ECTOPY_AFTER_S, Code, EcgOutput, Limits, condition
from apps.healthcare.ecg.pulse_check import PulseEvidence, check
from apps.healthcare.simulation.scenarios import SCENARIOS
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Degradation, Every, Input, LoopSpec, Parts

if TYPE_CHECKING:
    from apps.healthcare.ecg.analysis import EcgAnalyzer, Strip
    from apps.healthcare.ecg.heart_source import HeartSource
    from apps.healthcare.ecg.sources import EcgChunk
    from apps.healthcare.simulation.heart import Heart
    from apps.healthcare.vitals.decide import VitalsOutput
    from edgeai_core.sensors.player import Player

RATE_HZ = 10.0
DEADLINE_S = 0.1
MAX_AGE_S = 1.0
"""Without a new sample for so long the signal is lost."""

MODEL = Path(__file__).parent / "models" / "rhythm.onnx"
BEAT_MODEL = Path(__file__).parent / "models" / "beat_class.onnx"

ECG: Input[EcgChunk] = Input("ecg", history="new", depth=40, max_age_s=MAX_AGE_S)
PULSE_MAX_AGE_S = 1.5
PULSE: Input[VitalsOutput] = Input("healthcare.vitals", max_age_s=PULSE_MAX_AGE_S, required=False)


def ecg_loop(config: EcgConfig) -> LoopSpec[EcgOutput]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``."""
    return LoopSpec(
        name="ecg",
        trigger=Every(RATE_HZ),
        inputs=(ECG, PULSE),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        safe=Decision(EcgOutput(config.patient, "CANNOT_TELL"), conditions=None),
        rules=_rules(config),
        degradations=(Degradation("the network looks once a second"),),
    )


def _rules(config: EcgConfig) -> Mapping[str, Rule]:
    rate = Rule(clear_after_s=config.rate_clear_after_s)
    return {
        **dict.fromkeys(Code, Rule(clear_after_s=config.clear_after_s)),
        Code.EXTREME_BRADYCARDIA: rate,
        Code.EXTREME_TACHYCARDIA: rate,
        **dict.fromkeys(ECTOPY, Rule(ECTOPY_AFTER_S, config.ectopy_clear_after_s)),
        Code.ATRIAL_FIBRILLATION: Rule(
            raise_after_s=config.atrial_after_s, clear_after_s=config.atrial_clear_after_s
        ),
        Code.SIGNAL_LOST: Rule(raise_after_s=config.signal_lost_after_s, clear_after_s=1.0),
    }


def _build(config: EcgConfig) -> Parts[EcgOutput]:
    """Open the source and the model. Imports here, so that a specification costs no numpy."""
    from apps.healthcare.ecg.analysis import EcgAnalyzer, Settings
    from apps.healthcare.ecg.beat_class import BeatClassifier
    from apps.healthcare.ecg.rhythm import RhythmClassifier
    from apps.healthcare.ecg.strip_keeper import StripKeeper, strips_folder
    from edgeai_core.runners.open import open_runner
    from edgeai_core.state import find_state

    classifier = RhythmClassifier(open_runner(config.model or _model_in_use()))
    settings = Settings(config.patient, config.mains_hz, config.limits)
    beat_classifier = BeatClassifier(open_runner(config.beat_model or BEAT_MODEL))
    analyzer = EcgAnalyzer(classifier, settings, beat_classifier=beat_classifier)
    _warm_up(EcgAnalyzer(classifier, settings, beat_classifier=beat_classifier))
    step = EcgStep(analyzer, config.limits, replayed=config.recording is not None)
    keeper = StripKeeper(strips_folder(find_state()), _rules(config))
    return Parts((ecg_source(config),), step, step.fall_back, (keeper,))


def _model_in_use() -> Path:
    """Return what was learnt on this device and is current, else the model that ships."""
    from edgeai_core.runners.store import current_folder
    from edgeai_core.state import find_state

    folder = current_folder(find_state(), "healthcare.ecg")
    return MODEL if folder is None else folder / MODEL.name


def ecg_source(config: EcgConfig) -> Player[EcgChunk] | HeartSource:
    """Return the source that the configuration names. Raises InputError for a path that holds no recording."""
    from apps.healthcare.ecg.heart_source import HeartSource
    from apps.healthcare.ecg.sources import ecg_player, recordings_at

    if config.recording is not None:
        return ecg_player(recordings_at(config.recording, leads=config.leads), repeat=config.repeat)
    return HeartSource(simulated_heart(config.simulation))


def simulated_heart(simulation: SimulationConfig) -> Heart:
    """Return the heart that is played where no recording is named."""
    from apps.healthcare.simulation.heart import Heart

    return Heart(
        SCENARIOS[simulation.scenario],
        name=simulation.scenario,
        rate_hz=simulation.rate_hz,
        lead_names=simulation.leads,
        seed=simulation.seed or 0,
    )


def _warm_up(analyzer: EcgAnalyzer) -> None:
    """Run every stage once on a flat signal: a first cycle would pay for imports and caches with its deadline."""
    import numpy as np

    from apps.healthcare.ecg.sources import EcgChunk

    analyzer.push(EcgChunk(np.zeros((2500, 2), dtype=np.float32), 250.0, ("a", "b"), 0))


class EcgStep:
    """The step and its fallback, over one analysis; ``replayed`` is told to the page."""

    def __init__(self, analyzer: EcgAnalyzer, limits: Limits, *, replayed: bool) -> None:
        self._analyzer = analyzer
        self._limits = limits
        self._replayed = replayed
        self._recording = ""

    def __call__(self, snapshot: Snapshot) -> Decision[EcgOutput]:
        """Analyse what has come, and decide."""
        self._analyzer.rhythm_every_s = 0.5 if snapshot.level == 0 else 1.0
        for sample in snapshot[ECG].samples:
            self._analyzer.push(sample.data, snapshot.stages)
            self._recording = sample.data.recording
        decision = self._analyzer.decision
        decision = check(decision, _pulse(snapshot, decision.output, self._recording), self._limits)
        strip = self._analyzer.take_strip()
        if strip is None:
            return decision
        shown = {**_live(strip, decision), "replayed": self._replayed}
        return Decision(decision.output, decision.conditions, {"ecg": shown})

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[EcgOutput]:
        """Say that nothing can be told. Without a signal what stood stands, and the loss is a condition too."""
        last = self._analyzer.decision
        output = EcgOutput(last.output.patient, "CANNOT_TELL", time_s=last.output.time_s)
        if fault.kind is not FaultKind.STALE or last.conditions is None:
            return Decision(output, conditions=None)
        kept = [each for each in last.conditions if each.code != Code.SIGNAL_LOST]
        return Decision(output, (*kept, condition(Code.SIGNAL_LOST, output, None)))


def _pulse(snapshot: Snapshot, output: EcgOutput, recording: str) -> PulseEvidence | None:
    """Return the pulse of this patient, where it is current and as real as the ECG. Simulations are compared where
    they play one heart, which has one name.
    """
    view = snapshot.views.get(PULSE.source)
    if view is None or view.latest is None or view.age_ns is None or view.age_ns > PULSE_MAX_AGE_S * 1e9:
        return None
    vitals: VitalsOutput = view.data
    if vitals.patient != output.patient or vitals.simulated != output.simulated or not vitals.pulse_recent_s:
        return None
    if output.simulated and vitals.recording != recording:
        return None
    late_s = (snapshot.now_ns - view.latest.time_ns) / 1e9
    recent_s = tuple(each + late_s for each in vitals.pulse_recent_s)
    return PulseEvidence(
        vitals.pulse_quality, recent_s, vitals.pulse_strengths, vitals.pulse_before_bpm, vitals.pulse_origin
    )


def _live(strip: Strip, decision: Decision[EcgOutput]) -> Mapping[str, object]:
    """Return what the page draws."""
    output = decision.output
    return {
        "lead_names": list(strip.lead_names),
        "rate_hz": strip.rate_hz,
        "first_index": strip.first_index,
        "samples_mv": [[round(value, 3) for value in lead] for lead in strip.samples_mv.T.tolist()],
        "lead_off": list(strip.lead_off),
        "quality": list(strip.quality),
        "beats_s": [round(beat_s, 3) for beat_s in strip.beats_s],
        "beat_classes": [[round(beat_s, 3), kind] for beat_s, kind in strip.labelled],
        "heart_rate_bpm": None if output.heart_rate_bpm is None else round(output.heart_rate_bpm, 1),
        "rhythm": output.rhythm,
        "status": output.status,
        "confidence": output.confidence,
        "conditions": [each.code for each in decision.conditions or ()],
        "patient": output.patient,
        "simulated": output.simulated,
        "time_s": round(strip.time_s, 3),
    }
