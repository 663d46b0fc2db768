"""The gate: is this a film or slice that the networks were made for, whole and upright? Else the reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.healthcare.imaging.inbox import MODALITIES
from apps.healthcare.imaging.pictures import Picture, Reason, Refused
from apps.healthcare.imaging.preprocess import SIDE, Grey

if TYPE_CHECKING:
    from edgeai_core.runners.runner import Runner

CLASSES = (*MODALITIES, "turned", "cut", "foreign")
INPUT, LOGITS, DISTANCES = "image", "logits", "distances"

WORDS = {"xray": "a chest film", "ct": "a chest CT slice", "mri": "a brain MR slice"}


@dataclass(frozen=True)
class Seen:
    """What the gate makes of a picture: probabilities by class, and how far it lies from each modality's own pictures.

    A distance of 1 is the limit within which all but a few in a thousand of a modality's own pictures lie.
    """

    probabilities: dict[str, float]
    distances: dict[str, float]

    @property
    def likeliest(self) -> str:
        """The likeliest class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def modality(self) -> str:
        """The likeliest modality."""
        return max(MODALITIES, key=lambda name: self.probabilities[name])


class Gate:
    """Looks at the plain picture, before anything is cut away or masked."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._accept = runner.card.number("accept")
        self._limits = {name: runner.card.number(f"limit_{name}") for name in MODALITIES}

    def see(self, grey: Grey) -> Seen:
        """Return what the gate makes of a picture."""
        outputs = self._runner.run({INPUT: gate_square(grey)[None, None]})
        logits = outputs[LOGITS][0].astype(float)
        weights = np.exp(logits - logits.max())
        return Seen(
            dict(zip(CLASSES, (weights / weights.sum()).tolist(), strict=True)),
            {
                name: float(distance) / self._limits[name]
                for name, distance in zip(MODALITIES, outputs[DISTANCES][0], strict=True)
            },
        )

    def admit(self, picture: Picture, stated: str | None) -> str:
        """Return the modality as which a picture is to be judged. Raises Refused with the reason.

        ``stated`` is what the sender says it is. What the file and the sender say must agree with what is seen.
        """
        seen = self.see(picture.grey)
        for said, who in ((picture.modality, "the file"), (stated, "the sender")):
            if (
                said is not None
                and said != seen.modality
                and seen.probabilities[seen.modality] >= self._accept
            ):
                raise Refused(
                    Reason.OTHER_MODALITY,
                    f"{who} says {WORDS[said]}, but it looks like {WORDS[seen.modality]}",
                )
        modality = stated or picture.modality or seen.modality
        share, distance = seen.probabilities[modality], seen.distances[modality]
        if seen.likeliest == "turned":
            raise Refused(
                Reason.TURNED, "this film is upside down or lies on its side; turn it and send it again"
            )
        if seen.likeliest == "cut":
            raise Refused(Reason.CUT, "this film is cut: both lungs must be on it; send the whole film")
        if share < self._accept or distance > 1.0:
            raise Refused(
                Reason.FOREIGN,
                f"this does not look like {WORDS[modality]} of the kind the network was taught with "
                f"(likeness {share:.0%}, distance {distance:.1f} times the limit)",
            )
        return modality


def gate_square(grey: Grey) -> NDArray[np.float32]:
    """Return the whole picture as a square (224, 224) from 0 to 1, its grey levels stretched."""
    square = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low, high = (float(each) for each in np.percentile(square, (0.5, 99.5)))
    return np.asarray(np.clip((square - low) / max(high - low, 1.0), 0.0, 1.0), dtype=np.float32)
