"""A study from its bytes to its decision: read, gate, prepare, look, join, decide. Reads no clock, file or socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.healthcare.imaging.decide import ImagingOutput, Judged, decide, refuse
from apps.healthcare.imaging.drawing import map_over, picture_of
from apps.healthcare.imaging.findings import FindingClassifier
from apps.healthcare.imaging.fuse import Belief, join
from apps.healthcare.imaging.gate import WORDS, Gate
from apps.healthcare.imaging.pictures import Picture, Reason, Refused, read_picture, too_large
from apps.healthcare.imaging.preprocess import Prepared, prepare
from edgeai_core.decision import Decision
from edgeai_core.errors import MissingExtraError
from edgeai_core.loop.snapshot import Stages

if TYPE_CHECKING:
    from apps.healthcare.imaging.sources import Study


@dataclass(frozen=True)
class Answer:
    """What is said of a study, and the pictures (JPEG) of it: ``map`` only where a finding was looked for."""

    decision: Decision[ImagingOutput]
    picture: bytes | None = None
    map: bytes | None = None
    notes: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None


class StudyTriage:
    """The gate, and networks by modality; a study of a modality without one is refused."""

    def __init__(self, gate: Gate, classifiers: Mapping[str, FindingClassifier]) -> None:
        self._gate = gate
        self._classifiers = classifiers

    def answer(self, study: Study, stages: Stages) -> Answer:
        """Return what is said of a study. Whatever came, there is an answer: a refusal is one."""
        picture: Picture | None = None
        try:
            with stages.stage("read"):
                if study.size_bytes > len(study.content):
                    raise too_large(study.size_bytes)
                picture = read_picture(study.content)
            with stages.stage("gate"):
                modality = self._gate.admit(picture, study.modality)
            classifier = self._classifiers.get(modality)
            if classifier is None:
                raise Refused(Reason.UNSUPPORTED, f"no network for {WORDS[modality]} is installed here")
            with stages.stage("prepare"):
                prepared = prepare(picture.grey, modality)
            with stages.stage("look"):
                belief = believe(classifier, prepared)
        except Refused as refusal:
            return self._refused(study, picture, refusal.reason, str(refusal))
        except MissingExtraError as missing:
            return self._refused(study, picture, Reason.UNSUPPORTED, str(missing))
        card = classifier.card
        judged = Judged(study.id, study.reference, modality, card.name, card.version, card.digest)
        decision = decide(judged, belief, classifier.calibration)
        with stages.stage("draw"):
            shown = picture_of(picture.grey)
            laid = map_over(picture.grey, prepared.box, belief.map, belief.probability)
        return Answer(decision, shown, laid, picture.notes, belief.probabilities)

    def _refused(self, study: Study, picture: Picture | None, reason: Reason, message: str) -> Answer:
        decision = refuse(study.id, study.reference, study.modality or "", reason, message)
        # A picture that is none of ours is shown too: who looks at the worklist sees at once what came.
        return Answer(decision, None if picture is None else picture_of(picture.grey))


def believe(classifier: FindingClassifier, prepared: Prepared) -> Belief:
    """Return what one network believes of a prepared picture."""
    return join(classifier.views(prepared), classifier.classes, classifier.nothing, classifier.calibration)
