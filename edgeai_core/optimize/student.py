"""A small network taught by a large model that is at hand as a file, beside the same one taught by labels alone.

Needs the extra ``train``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeai_core.app import Progress
from edgeai_core.errors import InputError, ModelError
from edgeai_core.metrics.evaluation import Figure
from edgeai_core.optimize.examples import Examples, split_by_group
from edgeai_core.optimize.gate import class_output
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
from edgeai_core.runners.model_file import ModelFile
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.tensors import noise
from edgeai_core.runners.timing import interleaved, ratios

if TYPE_CHECKING:
    import torch

    from edgeai_core.learning.classify import Recipe
    from edgeai_core.learning.distillation import Distillation

NAMES = ("mobilenet", "tiny1d")


@dataclass(frozen=True)
class Shape:
    """Which student: ``mobilenet`` for pictures, ``width`` a multiplier; ``tiny1d`` for signals, its width channels.

    ``shrink``: the student averages so many pixels or samples into one before it looks.
    """

    name: str = "mobilenet"
    width: float = 0.35
    shrink: int = 1

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"student {self.name!r} is unknown; it is one of {', '.join(NAMES)}")
        if self.shrink < 1:
            raise InputError(f"a student cannot shrink its input by {self.shrink}")


@dataclass(frozen=True)
class Taught:
    """What came of it, all judged on the same examples: accuracies, and the student's time and size over the teacher's.

    ``alone`` is the same student, from the same start and for as long, taught by labels only.
    """

    path: Path
    student: Figure
    alone: Figure | None
    teacher: Figure
    agreement: Figure
    time_ratio: float
    size_ratio: float
    parameters: int
    learned_from: int


def distil(
    teacher: ModelFile,
    examples: Examples,
    out: Path,
    *,
    shape: Shape | None = None,
    how: Distillation | None = None,
    recipe: Recipe | None = None,
    compare_alone: bool = True,
    progress: Progress = lambda *_: None,
) -> Taught:
    """Teach a student, write it with its card into ``out``, and judge it.

    Judged is on what the data set apart, else on a fifth of the groups; another sixth of the rest tells when to stop.
    Raises ModelError where the teacher calls no classes, InputError where the examples are not for it.
    """
    from edgeai_core.learning.classify import Recipe, Teacher, predict, teach
    from edgeai_core.learning.distillation import Distillation

    shape, how, recipe = shape or Shape(), how or Distillation(), recipe or Recipe()
    runner = OnnxRunner(teacher.path, teacher.card)
    output = class_output(runner.card)
    if output is None or len(runner.card.inputs) != 1:
        raise ModelError(f"{teacher.path}: a teacher has one input and an output of logits (n, classes)")
    classes = next(int(spec.shape[1]) for spec in runner.card.outputs if spec.name == output)
    examples = _in_order(examples, runner.card, classes)
    if examples.judged.any():
        rest, judged = examples.rows(~examples.judged), examples.rows(examples.judged)
    else:
        rest, judged = split_by_group(examples, 0.2, recipe.seed)
    learned, stopping = split_by_group(rest, 1 / 6, recipe.seed)
    said = _said(runner, output, learned.inputs, progress)
    inputs = {id(each): shrunk(each.inputs, shape.shrink) for each in (learned, stopping, judged)}

    def taught(by: Teacher | None, label: str) -> torch.nn.Module:
        network = _student(shape, classes, learned.inputs.shape[1], recipe.seed)

        def validate(module: Any) -> float:
            logits = predict(module, inputs[id(stopping)]).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            return float(-shares[np.arange(len(logits)), stopping.labels].mean())

        teach(
            network,
            inputs[id(learned)],
            learned.labels,
            recipe,
            progress,
            validate=validate,
            teacher=by,
            label=label,
        )
        network.eval()
        return network

    features = _features(runner, learned.inputs, progress) if how.features else None
    student = taught(Teacher(said, features, how), "teaching the student")
    alone = taught(None, "teaching it alone") if compare_alone else None
    wanted = _said(runner, output, judged.inputs, progress).argmax(1)
    calls = predict(student, inputs[id(judged)]).argmax(1)
    path = out / f"{teacher.path.stem}-student.onnx"
    out.mkdir(parents=True, exist_ok=True)
    _export(student, path, runner.card, output, shape.shrink, judged.inputs[:4])
    figures = {
        "accuracy": _share(calls == judged.labels),
        "teacher_accuracy": _share(wanted == judged.labels),
        "agreement": _share(calls == wanted),
    }
    by_labels = None
    if alone is not None:
        by_labels = _share(predict(alone, inputs[id(judged)]).argmax(1) == judged.labels)
        figures["accuracy_without_teacher"] = by_labels
    _write_card(path, runner.card, output, classes, figures, examples, how, teacher.path)
    small = OnnxRunner(path)
    name = runner.card.inputs[0].name
    one = {name: np.ascontiguousarray(judged.inputs[:1])}
    times = interleaved({"teacher": lambda: runner.run(one), "student": lambda: small.run(one)}, 2.0)
    return Taught(
        path, figures["accuracy"], by_labels, figures["teacher_accuracy"], figures["agreement"],
        ratios(times, "teacher")["student"], path.stat().st_size / teacher.size_bytes,
        sum(each.numel() for each in student.parameters()), len(learned.labels),
    )  # fmt: skip


def shrunk(inputs: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Return inputs (n, channels, ...) with every ``by`` places averaged into one along each axis."""
    if by == 1:
        return inputs
    if any(size % by for size in inputs.shape[2:]):
        raise InputError(f"inputs of {list(inputs.shape[2:])} do not divide by {by}")
    sizes = [part for size in inputs.shape[2:] for part in (size // by, by)]
    axes = tuple(3 + 2 * place for place in range(inputs.ndim - 2))
    return np.asarray(inputs.reshape(*inputs.shape[:2], *sizes).mean(axis=axes), dtype=np.float32)


def _student(shape: Shape, classes: int, channels: int, seed: int) -> torch.nn.Module:
    import torch

    from edgeai_core.learning.architectures import MobileNetV2, TinyNet1d

    torch.manual_seed(seed)
    if shape.name == "mobilenet":
        return MobileNetV2(classes, width=shape.width, channels=channels)
    return TinyNet1d(classes, width=round(shape.width) if shape.width >= 1 else 16, channels=channels)


def _in_order(examples: Examples, card: ModelCard, classes: int) -> Examples:
    """Return the examples with labels as numbers of the card's classes, of the shape its input wants."""
    (spec,) = card.inputs
    shape = examples.inputs.shape
    if len(shape) != len(spec.shape) or any(
        isinstance(wanted, int) and wanted != size
        for wanted, size in zip(spec.shape[1:], shape[1:], strict=True)
    ):
        raise InputError(f"{examples.origin}: inputs have shape {list(shape)}; the teacher takes {spec}")
    if card.classes and set(examples.classes) <= set(card.classes):
        numbers = [card.classes.index(name) for name in examples.classes]
    elif all(name.isdigit() and int(name) < classes for name in examples.classes):
        numbers = [int(name) for name in examples.classes]
    else:
        raise InputError(
            f"{examples.origin}: its classes are {', '.join(examples.classes)}; the teacher's are "
            f"{', '.join(card.classes) or f'numbers below {classes}'}"
        )
    names = tuple(card.classes) or tuple(map(str, range(classes)))
    labels = np.array(numbers, dtype=np.int64)[examples.labels]
    return dataclasses.replace(
        examples, labels=labels, classes=tuple(n for i, n in enumerate(names) if i in set(numbers))
    )


def _said(
    runner: OnnxRunner, output: str, inputs: NDArray[np.float32], progress: Progress
) -> NDArray[np.float32]:
    name = runner.card.inputs[0].name
    found = []
    for number in range(len(inputs)):
        found.append(runner.run({name: np.ascontiguousarray(inputs[number : number + 1])})[output][0])
        progress("asking the teacher", number + 1, len(inputs))
    return np.asarray(found, dtype=np.float32)


def _features(runner: OnnxRunner, inputs: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
    """Return the teacher's features: its first output besides the logits, as a row."""
    others = [spec.name for spec in runner.card.outputs if spec.name != class_output(runner.card)]
    if not others:
        raise ModelError(f"{runner.model}: gives logits alone; there are no features to match")
    found = _said(runner, others[0], inputs, progress)
    flat = found.reshape(len(found), -1)
    return np.asarray((flat - flat.mean(0)) / (flat.std(0) + 1e-6), dtype=np.float32)


def _export(
    student: torch.nn.Module, path: Path, card: ModelCard, output: str, shrink: int, some: NDArray[np.float32]
) -> None:
    from torch import nn

    from edgeai_core.learning.export import export_onnx

    pool: nn.Module = nn.Identity()
    if shrink > 1:
        pool = nn.AvgPool2d(shrink) if some.ndim == 4 else nn.AvgPool1d(shrink)
    whole = nn.Sequential(pool, student)
    name = card.inputs[0].name
    free = {name: {0: "n"}, output: {0: "n"}}
    examples = [{name: np.ascontiguousarray(some[row : row + 1])} for row in range(len(some))]
    export_onnx(whole, path, examples, [output], free=free, tolerance=1e-3)


def _write_card(
    path: Path, card: ModelCard, output: str, classes: int, figures: dict[str, Figure], examples: Examples,
    how: Distillation, teacher: Path,
) -> None:  # fmt: skip
    command = f"edgeai model distil {teacher.name} --data {examples.origin}"
    made = dataclasses.replace(
        card,
        name=f"{card.name}-student",
        file=path.name,
        digest=digest_of(path),
        source="",
        golden=None,
        inputs=(dataclasses.replace(card.inputs[0], shape=("n", *card.inputs[0].shape[1:])),),
        outputs=(TensorSpec(output, ("n", classes), "float32"),),
        parameters={
            "derived_from": card.digest,
            "derived_method": f"distillation, temperature {how.temperature:g}, alpha {how.alpha:g}",
            "examples_digest": examples.digest,
        },
        limits=(
            *card.limits,
            f"A student of {card.name} {card.version}; thresholds and calibration of its own are not set.",
        ),
        training_data=(
            *card.training_data,
            TrainingData(examples.origin, "labelled examples", "none stated"),
        ),
        figures={
            name: CardFigure.of(figure, command)
            for name, figure in figures.items()
            if figure.value is not None
        },
    )
    runner = OnnxRunner(path, made)
    calls = [noise(made.inputs, seed) for seed in (0, 1)]
    golden = write_golden(
        path.with_name(f"{path.stem}.golden.npz"),
        [GoldenVector(call, runner.run(call)) for call in calls],
        1e-2,
        1e-2,
    )
    write_card(dataclasses.replace(made, golden=golden), card_path(path))


def _share(right: NDArray[np.bool_]) -> Figure:
    return Figure.share(int(right.sum()), len(right))
