"""The imaging loop: its configuration becomes an inbox, a triage released by each study, and rules for its alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.healthcare.config import ImagingConfig
from apps.healthcare.imaging.decide import Code, ImagingOutput, refuse
from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Input, LoopSpec, On, Parts
from edgeai_core.state import State, find_state

if TYPE_CHECKING:
    from apps.healthcare.imaging.sources import Study, StudyFolder, StudyInbox
    from apps.healthcare.imaging.triage import Answer, StudyTriage

DEADLINE_S = 1.2
"""A study is answered within this time of its turn."""

IDLE_S = 1.0
FAILED = "FAILED"
"""Why a study is refused that made the step fail three times."""

MODELS = Path(__file__).parent / "models"
GATE = MODELS / "gate.onnx"
NETWORKS = {name: MODELS / f"{name}.onnx" for name in ("xray", "ct", "mri")}
"""The networks that ship; studies of a modality without one are refused, saying so."""

STUDY: Input[Study] = Input("study", history="one", recorded=False)
"""Whole files as they came, names of patients and all: they are kept by the inbox alone."""


def imaging_loop(config: ImagingConfig) -> LoopSpec[ImagingOutput]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``."""
    # A finding happens to a study, it does not hold: it stands until a person has acknowledged it.
    return LoopSpec(
        name="imaging",
        trigger=On(STUDY, idle_s=IDLE_S),
        inputs=(STUDY,),
        build=lambda: _build(config),
        deadline_s=DEADLINE_S,
        safe=Decision(ImagingOutput(), conditions=None),
        rules=dict.fromkeys(Code, Rule(latched=True)),
    )


def inbox_folder(config: ImagingConfig, state: State) -> Path:
    """Return the inbox: the one that is configured, else ``inbox/imaging`` in the state folder."""
    return (config.inbox or state.root / "inbox" / "imaging").expanduser()


def reports_folder(state: State) -> Path:
    """Return where the answers are kept."""
    return state.root / "reports" / "imaging"


def study_source(config: ImagingConfig) -> StudyInbox | StudyFolder:
    """Return the source that the configuration names. Raises InputError for a folder without a study."""
    from apps.healthcare.imaging.sources import StudyFolder, StudyInbox

    if config.recording is None:
        return StudyInbox(inbox_folder(config, find_state()))
    folder = StudyFolder(config.recording)
    folder.check()
    return folder


def open_triage(models: Mapping[Any, Path]) -> StudyTriage:
    """Open the gate and the networks; ``models`` names networks of your own, by modality."""
    from apps.healthcare.imaging.findings import FindingClassifier
    from apps.healthcare.imaging.gate import Gate
    from apps.healthcare.imaging.triage import StudyTriage
    from edgeai_core.runners.open import open_runner

    networks = {**NETWORKS, **models}
    classifiers = {name: FindingClassifier(open_runner(path), name) for name, path in networks.items()}
    return StudyTriage(Gate(open_runner(GATE)), classifiers)


def _build(config: ImagingConfig) -> Parts[ImagingOutput]:
    """Open source and models. Imports here, so that a specification costs no numpy."""
    from apps.healthcare.imaging.report import ReportSink

    step = ImagingStep(open_triage(config.models))
    return Parts((study_source(config),), step, step.fall_back, (ReportSink(reports_folder(find_state())),))


class ImagingStep:
    """The step and its fallback, over one triage."""

    def __init__(self, triage: StudyTriage) -> None:
        self._triage = triage

    def __call__(self, snapshot: Snapshot) -> Decision[ImagingOutput]:
        """Answer one study."""
        answer = self._triage.answer(snapshot[STUDY].data, snapshot.stages)
        return Decision(answer.decision.output, answer.decision.conditions, _live(answer))

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[ImagingOutput]:
        """Refuse a study that had its attempts; else say nothing, for the study comes again."""
        view = snapshot.views.get(STUDY.source)
        if (
            fault.kind is not FaultKind.EXCEPTION
            or fault.input != STUDY.source
            or view is None
            or not view.samples
        ):
            return Decision(ImagingOutput(), conditions=None)
        study: Study = snapshot[STUDY].data
        message = "this study made the program fail again and again; look at the log, and read it by hand"
        return refuse(study.id, study.reference, study.modality or "", FAILED, message)


def _live(answer: Answer) -> Mapping[str, object]:
    """Return what the page draws, and what the report keeps."""
    live: dict[str, object] = {
        "study": {"notes": list(answer.notes), "probabilities": dict(answer.probabilities or {})}
    }
    for name, content in (("picture", answer.picture), ("map", answer.map)):
        if content is not None:
            live[name] = {"media_type": "image/jpeg", "bytes": content}
    return live
