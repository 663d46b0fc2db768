"""Training of the road detector on rendered pictures: simulation -> model with its card."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import ObjectKind
from apps.automotive.perception.camera import CameraDetector
from apps.automotive.perception.detection_figures import detection_figures
from apps.automotive.perception.pictures import INPUT_PX, Pictures, render_pictures
from apps.automotive.perception.train_options import TrainOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.checkpoint import load_arrays, save_arrays
from edgeai_core.learning.export import export_onnx
from edgeai_core.learning.training import FitOptions, fit, torch_or_explain
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.runners.card import (
    CardFigure,
    ModelCard,
    TensorSpec,
    TrainingData,
    card_path,
    digest_of,
    write_card,
)
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.state import find_state

if TYPE_CHECKING:
    import torch

TASK = "automotive.perception"
KINDS = (ObjectKind.CAR, ObjectKind.TRUCK, ObjectKind.PEDESTRIAN, ObjectKind.CYCLIST)
LEAST_SCORE = 0.55
IOU = 0.45
"""Few false boxes matter more than the last true one: fusion has other sensors. Chosen on test pictures."""

MEASURED_FROM = 0.02
"""Average precision counts detections down to this score."""

TEST_SEED = 1 << 20

LIMITS = (
    "Taught on simulated pictures only: on photographs it finds little, and nothing that can be relied on.",
    "Four kinds of road user. Animals, signs, lights and rubbish on the road are not found.",
    "Boxes lower than about 5 pixels of the 320 x 192 input are missed: a car beyond some 60 m.",
)


def train(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Render pictures, train the detector, measure it on pictures of other cameras, and write model and card."""
    torch = torch_or_explain()
    from apps.automotive.perception.network import RoadDetector
    from apps.automotive.perception.teaching import Lessons, loss

    output = options.output or find_state().create().models / TASK / options.version
    output.mkdir(parents=True, exist_ok=True)
    with nullcontext(options.work) if options.work else TemporaryDirectory(prefix="edgeai-road-") as folder:
        work = Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(work, options.pictures, options.seed, progress, "rendering pictures")
        lessons = Lessons(pictures, min(options.batch, options.pictures), options.seed)
        torch.manual_seed(options.seed)
        network = RoadDetector().to(memory_format=torch.channels_last)
        if options.start is not None:
            _start(network, options.start)
        fit(
            network,
            lessons,
            loss,
            FitOptions(
                epochs=options.epochs,
                steps_per_epoch=lessons.steps,
                learning_rate=options.learning_rate,
                weight_decay=5e-4,
                warm_up=0.1,
                gradient_limit=10.0,
                average=0.995,
                seed=options.seed,
                threads=options.threads,
            ),
            progress,
            label="training the detector",
            checkpoint=work / "detector.npz" if options.work else None,
            fingerprint=f"{options.pictures} pictures of seed {options.seed}, batches of {options.batch}",
        )
        test = _pictures(
            work, options.test_pictures, TEST_SEED + options.seed, progress, "rendering test pictures"
        )
    network = network.to(memory_format=torch.contiguous_format)
    model = output / "road.onnx"
    examples = [{"images": _tensor(test.pixels[at])} for at in range(4)]
    export_onnx(network, model, examples, ("boxes",), tolerance=2e-2)
    with torch.no_grad():
        vectors = [
            GoldenVector(example, {"boxes": network(torch.from_numpy(example["images"])).numpy()})
            for example in examples[:2]
        ]
    golden = write_golden(output / "road.golden.npz", vectors, atol=2e-2, rtol=1e-3)
    card = ModelCard(
        name="road",
        version=options.version,
        task=TASK,
        file=model.name,
        digest=digest_of(model),
        licence="Apache-2.0",
        intended_use="Finding road users in pictures of the simulated road: demonstrations and tests.",
        limits=LIMITS,
        inputs=(
            TensorSpec(
                "images", (1, 3, INPUT_PX[1], INPUT_PX[0]), "float32", meaning="blue, green, red",
                preprocessing="0 to 255; shape kept, at the top left, the rest filled with 114",
            ),
        ),
        outputs=(
            TensorSpec(
                "boxes", tuple(vectors[0].outputs["boxes"].shape), "float32", unit="px",
                meaning="middle x, y, width, height; then a score for each class",
            ),
        ),
        classes=tuple(kind.name.lower() for kind in KINDS),
        parameters={"head": "yolov8", "score": LEAST_SCORE, "iou": IOU},
        golden=golden,
        training_data=(
            TrainingData(
                "rendered pictures", "apps.automotive.perception.pictures", "Apache-2.0",
                split=f"{options.pictures} to train, {options.test_pictures} of other cameras to measure",
            ),
        ),
    )  # fmt: skip
    write_card(card, card_path(model))
    figures = measure(model, test, progress)
    command = (
        f"edgeai train {TASK} --pictures {options.pictures} --test-pictures {options.test_pictures} "
        f"--epochs {options.epochs} --batch {options.batch} --learning-rate {options.learning_rate:g} "
        f"--seed {options.seed}"
    )
    known = {name: CardFigure.of(each, command) for name, each in figures.items() if each.value is not None}
    write_card(replace(card, figures=known), card_path(model))
    return {
        "model": str(model),
        "card": str(card_path(model)),
        "figures": {name: figure.to_json() for name, figure in figures.items()},
    }


def measure(model: Path, test: Pictures, progress: Progress) -> dict[str, Figure]:
    """Return the figures of a model on pictures in its own input size."""
    runner = OnnxRunner(model)
    parameters = {**runner.card.parameters, "score": MEASURED_FROM}
    detector = CameraDetector(OnnxRunner(model, replace(runner.card, parameters=parameters, golden=None)))
    found = []
    for number, pixels in enumerate(test.pixels):
        found.append(detector.detect(pixels))
        progress("measuring", number + 1, len(test.pixels))
    return detection_figures(found, test, KINDS)


def _start(network: torch.nn.Module, path: Path) -> None:
    """Give a network the best weights of a checkpoint. Raises InputError for one of another network."""
    torch = torch_or_explain()
    arrays, _ = load_arrays(path)
    best = {name.removeprefix("best/"): array for name, array in arrays.items() if name.startswith("best/")}
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in best.items()})
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{path}: the weights of another network; name a detector.npz of this task"
        ) from error


def _pictures(work: Path, count: int, seed: int, progress: Progress, label: str) -> Pictures:
    """Render pictures, or take them from the work folder."""
    path = work / f"pictures-{seed}-{count}.npz"
    if path.exists():
        arrays, _ = load_arrays(path)
        return Pictures(*(arrays[name] for name in ("pixels", "boxes", "ignored")))  # type: ignore[arg-type]
    pictures = render_pictures(count, seed, progress, label)
    if pictures.pixels.nbytes < 1 << 30:
        save_arrays(path, vars(pictures), {"seed": seed})
    return pictures


def _tensor(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
