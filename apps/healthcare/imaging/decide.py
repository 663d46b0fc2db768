"""Belief -> decision: the only place that knows the words, the grey zone and the order of the worklist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from edgeai_core.decision import Condition, Decision, Priority

if TYPE_CHECKING:
    from apps.healthcare.imaging.findings import Calibration
    from apps.healthcare.imaging.fuse import Belief

NOT_A_DEVICE = (
    "Not a medical device: for research and evaluation; a person qualified to do so reads every study."
)


class Code(StrEnum):
    """What an alert of this loop says."""

    PNEUMONIA = "PNEUMONIA_SUSPECTED"
    COVID_19 = "COVID_19_SUSPECTED"
    GLIOMA = "GLIOMA_SUSPECTED"
    MENINGIOMA = "MENINGIOMA_SUSPECTED"
    PITUITARY = "PITUITARY_TUMOUR_SUSPECTED"
    UNCERTAIN = "STUDY_UNCERTAIN"
    REFUSED = "STUDY_REFUSED"


class Status(StrEnum):
    """What became of a study."""

    FINDING = "FINDING"
    NO_FINDING = "NO_FINDING"
    CANNOT_TELL = "CANNOT_TELL"
    REFUSED = "REFUSED"
    WAITING = "WAITING"


class Triage(IntEnum):
    """How soon a person should look; the worklist's first key."""

    NOW = 1
    SOON = 2
    UNCLEAR = 3
    ROUTINE = 4


FINDINGS: Mapping[str, tuple[Code, str]] = {
    "pneumonia": (Code.PNEUMONIA, "Pneumonia suspected"),
    "covid": (Code.COVID_19, "COVID-19 suspected"),
    "glioma": (Code.GLIOMA, "Glioma suspected"),
    "meningioma": (Code.MENINGIOMA, "Meningioma suspected"),
    "pituitary": (Code.PITUITARY, "Pituitary tumour suspected"),
}
"""By class of a network: the alert's code, and the sentence a person reads first."""

SURE = 0.9
"""From this calibrated probability on, a finding is looked at before the others."""


@dataclass(frozen=True)
class ImagingOutput:
    """What this loop tells others of one study. ``probability`` is of any finding; None where none was looked for.

    ``study`` is of the study's bytes and ``reference`` the sender's word for it: neither is a patient's name
    unless the sender made it one.
    """

    study: str = ""
    reference: str = ""
    status: str = Status.WAITING
    modality: str = ""
    finding: str = ""
    probability: float | None = None
    triage: int = Triage.ROUTINE
    reason: str = ""
    message: str = ""
    model: str = ""
    version: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Judged:
    """Which study was judged, and by which model."""

    study: str
    reference: str
    modality: str
    model: str
    version: str
    digest: str


def decide(judged: Judged, belief: Belief, calibration: Calibration) -> Decision[ImagingOutput]:
    """Return what is said of a study that the gate let through."""
    status, triage = weigh(belief.probability, calibration)
    code, title = FINDINGS[belief.finding]
    found = status is Status.FINDING
    message = {
        Status.FINDING: title,
        Status.NO_FINDING: f"Nothing found that this network looks for ({', '.join(sorted(_looked_for(belief)))})",
        Status.CANNOT_TELL: f"Cannot tell: the probability of a finding is {belief.probability:.0%}; please read",
    }[status]
    output = ImagingOutput(
        judged.study, judged.reference, status, judged.modality, belief.finding if found else "",
        belief.probability, triage, "", message, judged.model, judged.version, judged.digest,
    )  # fmt: skip
    if status is Status.NO_FINDING:
        return Decision(output)
    evidence = {
        "modality": judged.modality,
        "reference": judged.reference,
        "probabilities": {name: round(value, 4) for name, value in belief.probabilities.items()},
        "model": judged.model,
        "version": judged.version,
        "digest": judged.digest,
        "note": NOT_A_DEVICE,
    }
    priority = {Triage.NOW: Priority.HIGH, Triage.SOON: Priority.MEDIUM}.get(triage, Priority.LOW)
    return Decision(
        output,
        (Condition(code if found else Code.UNCERTAIN, subject(judged.study), priority, message, evidence),),
    )


def refuse(study: str, reference: str, modality: str, reason: str, message: str) -> Decision[ImagingOutput]:
    """Return what is said of a study that is not judged, and why."""
    output = ImagingOutput(
        study, reference, Status.REFUSED, modality, triage=Triage.UNCLEAR, reason=reason, message=message
    )
    evidence = {"reference": reference, "reason": reason, "note": NOT_A_DEVICE}
    title = f"Study refused: {message}"
    return Decision(output, (Condition(Code.REFUSED, subject(study), Priority.LOW, title, evidence),))


def weigh(probability: float, calibration: Calibration) -> tuple[Status, Triage]:
    """Return the word and the urgency for a probability of a finding."""
    if probability < calibration.grey_low:
        return Status.NO_FINDING, Triage.ROUTINE
    if probability < calibration.grey_high:
        return Status.CANNOT_TELL, Triage.UNCLEAR
    return Status.FINDING, Triage.NOW if probability >= SURE else Triage.SOON


def worklist_key(output: Mapping[str, object]) -> tuple[int, float, str]:
    """Return what a worklist is sorted by: urgency, then probability, then who has waited longest."""
    triage, probability = output.get("triage"), output.get("probability")
    return (
        triage if isinstance(triage, int) else Triage.ROUTINE,
        -(probability if isinstance(probability, float) else 0.0),
        str(output.get("answered_at", "")),
    )


def subject(study: str) -> str:
    """Return the subject of a study's alerts: long enough to be its own, short enough to be read out."""
    return f"study {study[:12]}"


def _looked_for(belief: Belief) -> list[str]:
    return [name for name in belief.probabilities if name in FINDINGS]
