"""Networks that say what they are told: for tests of what stands around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from apps.healthcare.imaging.datasets import CLASSES
from apps.healthcare.imaging.findings import FindingClassifier
from apps.healthcare.imaging.gate import CLASSES as GATE_CLASSES
from apps.healthcare.imaging.gate import Gate
from apps.healthcare.imaging.triage import StudyTriage
from edgeai_core.runners.card import ModelCard, TensorSpec

Says = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class FakeRunner:
    """A runner with a card and a function."""

    def __init__(
        self, name: str, classes: tuple[str, ...], parameters: Mapping[str, float], says: Says
    ) -> None:
        self.card = ModelCard(
            name=name,
            version="9.9",
            task="healthcare.imaging",
            file=f"{name}.onnx",
            digest="ab" * 32,
            licence="none",
            intended_use="tests",
            limits=(),
            inputs=(TensorSpec("image", ("n", 1, 224, 224), "float32"),),
            outputs=(TensorSpec("logits", ("n", len(classes)), "float32"),),
            classes=classes,
            parameters=parameters,
        )
        self._says = says

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(self._says(inputs["image"]))


def fake_gate(likeliest: str = "xray", share: float = 0.97, distance: float = 0.5) -> Gate:
    rest = (1 - share) / (len(GATE_CLASSES) - 1)
    shares = [share if name == likeliest else rest for name in GATE_CLASSES]

    def says(image: np.ndarray) -> Mapping[str, np.ndarray]:
        return {
            "logits": np.log(np.array([shares], np.float32)),
            "distances": np.full((1, 3), distance, np.float32),
        }

    limits = {f"limit_{name}": 1.0 for name in ("xray", "ct", "mri")}
    return Gate(FakeRunner("gate", GATE_CLASSES, {"accept": 0.5, **limits}, says))


def fake_classifier(modality: str, logit: float) -> FindingClassifier:
    """One that gives its first finding this logit, with its evidence in the left half of what it is shown."""
    classes = CLASSES[modality]

    def says(image: np.ndarray) -> Mapping[str, np.ndarray]:
        logits = np.zeros((1, len(classes)), np.float32)
        logits[0, 1] = logit
        evidence = np.zeros((1, len(classes), 7, 7), np.float32)
        left = image[0, 0, :, :112].mean() > image[0, 0, :, 112:].mean()
        evidence[0, 1, 3, 1 if left else 5] = 5.0
        return {"logits": logits, "evidence": evidence}

    parameters = {"temperature": 1.0, "threshold": 0.5, "grey_low": 0.33, "grey_high": 0.67}
    return FindingClassifier(FakeRunner(f"imaging-{modality}", classes, parameters, says), modality)


def fake_triage(
    gate: Gate | None = None, logit: float = 4.0, kind: type[StudyTriage] = StudyTriage
) -> StudyTriage:
    return kind(gate or fake_gate(), {name: fake_classifier(name, logit) for name in CLASSES})
