"""Learning a further kind of part on the device: the model in use stays, an adapter on it learns.

Every part has weights of its own beside those of all; the model tells by itself which part it sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from apps.manufacturing.inspection.examples import Example, read_examples
from apps.manufacturing.inspection.graft import FEATURES, FrozenModel
from apps.manufacturing.inspection.graph import onnx_or_explain
from apps.manufacturing.inspection.inspector import MODEL_FILE, inputs_of
from apps.manufacturing.inspection.loop import SIMULATED_MODEL
from apps.manufacturing.inspection.options import ContinualOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.learning.adapter import Adam, Adapter
from edgeai_core.learning.apart import Parts
from edgeai_core.learning.checkpoint import load_arrays, save_arrays
from edgeai_core.learning.continual import LearnOptions, Samples, accuracy, learn, remember
from edgeai_core.learning.forgetting import Trial, compare
from edgeai_core.learning.gate import Held, Passed, check_gate
from edgeai_core.learning.lesson import Lesson
from edgeai_core.learning.rehearsal import RehearsalMemory
from edgeai_core.metrics.evaluation import DataRef, Evaluation, Figure, ModelRef
from edgeai_core.metrics.splits import Fold, grouped_folds
from edgeai_core.runners.card import CardFigure, ModelCard, TrainingData, card_path, digest_of, write_card
from edgeai_core.runners.golden import GoldenVector, write_golden
from edgeai_core.runners.onnx import OnnxRunner
from edgeai_core.runners.store import current_folder
from edgeai_core.sensors.picture import read_picture
from edgeai_core.state import find_state

TASK = "manufacturing.inspection"
LESSON_FILE = "lesson.npz"
"""Beside the model: the adapter, the rehearsal memory, and what is held out of every part."""

SIMULATED_PARTS = 400
_HELD_OUT_MOST = 1000
_PARITY = 0.01
_PROOFS = 8


@dataclass(frozen=True)
class Known:
    """What was known before: the parts, the adapter as it is, samples to rehearse, and samples to judge by.

    Samples are as the frozen model gives them; ``spread`` they are what the adapter takes.
    """

    parts: Parts
    adapter: Adapter
    memory: RehearsalMemory
    held: Samples

    def with_part(self, learnt: Samples) -> Known:
        """Return it with a place for one part more, which decides as before."""
        parts = self.parts.and_one(learnt)
        return replace(self, parts=parts, adapter=parts.grown(self.adapter, self.parts, learnt))

    def learnt(self, learnt: Samples, learning: LearnOptions) -> Known:
        """Return it after it learnt a part that it has a place for; nothing is remembered of that yet."""
        memory = self.parts.spread_memory(self.memory, learning.seed)
        return replace(self, adapter=learn(self.adapter, self.parts.spread(learnt), learning, memory))

    def right(self, samples: Samples) -> float:
        """Return the balanced accuracy on samples."""
        return accuracy(self.adapter, self.parts.spread(samples))

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, 2) for features (n, FEATURES)."""
        return self.adapter.logits(self.parts.wide(features))


def continual(options: ContinualOptions, progress: Progress) -> Lesson:
    """Learn the part in ``good`` and ``bad``; return what came of it. Raises InputError where that is too little."""
    folder = options.model or current_folder(find_state(), TASK) or SIMULATED_MODEL
    frozen = FrozenModel(folder, options.threads)
    known = _known(options, folder, frozen, progress)
    examples = read_examples(options.good, options.bad, groups=options.groups, progress=progress)
    new = samples_of(frozen, examples.rows, progress)
    if len(set(new.labels.tolist())) < 2:
        raise InputError("a new part is learnt from good and bad ones: name folders with --good and --bad")
    parts = grouped_folds(new.groups.tolist(), new.labels.tolist(), options.folds, options.seed)
    learning = LearnOptions(options.passes, adam=Adam(options.learning_rate), seed=options.seed)
    trials = (_trial(known, new, part, options.seed) for part in parts)
    comparison = compare(("known parts", "new part"), trials, learning, progress, total=len(parts))
    data = DataRef(
        ", ".join(dict.fromkeys(path.resolve().name for path in [*options.good, *options.bad])),
        "that of the pictures",
        {"good pictures": int((new.labels == 0).sum()), "bad pictures": int(new.labels.sum()),
         "parts": len(set(new.groups.tolist())), "known, remembered": len(known.memory),
         "known, held out": len(known.held)},
    )  # fmt: skip
    figures = comparison.figures()
    card = frozen.card
    evaluation = Evaluation(
        TASK, ModelRef(card.name, card.version, card.digest), (data,), figures, comparison.rows()
    )

    def write(into: Path, version: str) -> Passed:
        train, held = new.rows(parts[0].train), new.rows(parts[0].test)
        now = known.with_part(train).learnt(train, learning)
        difference = _write_model(into, version, frozen, now, examples.rows, train, figures, data)
        passed = check_gate(
            [_held("known parts", known, now, known.held)],
            _held("the new part", known, now, held),
            parity_difference=difference,
            parity_tolerance=_PARITY,
            allowed_fall=options.allowed_fall,
        )
        _write_lesson(into, now, train, held)
        return passed

    return Lesson(evaluation, card.version, write)


def simulated_parts(count: int, seed: int) -> list[tuple[NDArray[np.uint8], bool]]:
    """Draw parts of the simulation, every second one with a defect, each kind as often."""
    from apps.manufacturing.simulation.parts import Defect, draw_part, draw_scene

    kinds, made = list(Defect), []
    for number in range(count):
        random = np.random.default_rng((seed, 77, number))
        defect = kinds[number // 2 % len(kinds)] if number % 2 else None
        made.append((draw_part(random, defect, draw_scene(random)).pixels, defect is not None))
    return made


def simulated_samples(frozen: FrozenModel, count: int, seed: int, progress: Progress) -> Samples:
    """Return the features of simulated parts."""
    features = []
    for number, (pixels, _) in enumerate(made := simulated_parts(count, seed)):
        progress("looking at simulated parts", number, count)
        features.append(frozen.features(pixels))
    labels = np.array([bad for _, bad in made], np.int64)
    return Samples(np.stack(features), labels, np.array([f"simulated {n}" for n in range(count)]))


def known_from(frozen: FrozenModel, samples: Samples, seed: int) -> Known:
    """Begin with samples of known parts: a quarter is held out, by group, the rest is remembered."""
    part = grouped_folds(samples.groups.tolist(), samples.labels.tolist(), 4, seed)[0]
    train, held = samples.rows(part.train), samples.rows(part.test).at_most(_HELD_OUT_MOST, seed)
    memory = RehearsalMemory(seed=seed)
    remember(memory, train, 0)
    return Known(*frozen.begun(train, seed), memory, held)


def _trial(known: Known, new: Samples, part: Fold, seed: int) -> Trial:
    """Return one fold: the known parts, then the new one, each in its place."""
    train, test = new.rows(part.train), new.rows(part.test)
    start = known.with_part(train)
    memory = start.parts.spread_memory(known.memory, seed)
    tests = (start.parts.spread(known.held), start.parts.spread(test))
    return Trial(start.adapter, memory, (start.parts.spread(train),), tests)


def _known(options: ContinualOptions, folder: Path, frozen: FrozenModel, progress: Progress) -> Known:
    lesson = folder / LESSON_FILE
    if options.known_good or options.known_bad:
        examples = read_examples(options.known_good, options.known_bad, progress=progress)
        return known_from(frozen, samples_of(frozen, examples.rows, progress), options.seed)
    if lesson.is_file():
        arrays, _ = load_arrays(lesson)
        try:
            held = Samples(
                np.asarray(arrays["held_features"], np.float32),
                np.asarray(arrays["held_labels"], np.int64),
                np.asarray(arrays["held_groups"], np.str_),
            )
        except KeyError as error:
            raise InputError(f"{lesson}: is no lesson: {error} is missing") from error
        parts, adapter = Parts.of(arrays), Adapter.of(arrays)
        if (parts.size, adapter.size) != (FEATURES, (1 + len(parts)) * FEATURES):
            raise InputError(f"{lesson}: is a lesson on {parts.size} features where {FEATURES} are wanted")
        return Known(parts, adapter, RehearsalMemory.of(arrays, seed=options.seed), held)
    if frozen.card.digest == OnnxRunner(SIMULATED_MODEL / MODEL_FILE).card.digest:
        return known_from(
            frozen, simulated_samples(frozen, SIMULATED_PARTS, options.seed, progress), options.seed
        )
    raise InputError(
        f"{folder}: nothing is remembered of the parts that this model knows: name pictures of them with"
        " --known-good and --known-bad"
    )


def samples_of(frozen: FrozenModel, rows: Sequence[Example], progress: Progress) -> Samples:
    """Return the features of pictures, labelled 1 for bad parts, grouped by part."""
    features = []
    for number, example in enumerate(rows):
        progress("looking at pictures", number, len(rows))
        features.append(frozen.features(read_picture(example.path)))
    progress("looking at pictures", len(rows), len(rows))
    labels = np.array([each.bad for each in rows], np.int64)
    return Samples(np.stack(features), labels, np.array([each.group for each in rows]))


def _held(what: str, before: Known, now: Known, samples: Samples) -> Held:
    return Held(what, before.right(samples), now.right(samples), len(samples))


def _write_model(
    folder: Path, version: str, frozen: FrozenModel, now: Known, rows: Sequence[Example], train: Samples,
    figures: dict[str, Figure], data: DataRef,
) -> float:  # fmt: skip
    """Write model, card and golden vectors; return how far the file's scores are from the adapter's."""
    onnx = onnx_or_explain()
    logits = now.logits(train.features)
    good = float(np.median((logits[:, 1] - logits[:, 0])[train.labels == 0]))
    slope = (math.log(0.999 / 0.001) - math.log(0.95 / 0.05)) / max(-good, 1e-3)
    model = folder / MODEL_FILE
    onnx.save(frozen.grafted(now.parts, now.adapter, slope), str(model))
    card = _card(frozen.card, model, version, frozen.threshold, figures, data)
    write_card(card, card_path(model))
    runner = OnnxRunner(model)
    worst, vectors = 0.0, []
    for example in rows[:: max(1, len(rows) // _PROOFS)][:_PROOFS]:
        pixels = read_picture(example.path)
        wanted = now.logits(frozen.features(pixels)[None])[0]
        outputs = runner.run(inputs := inputs_of(pixels, frozen.size))
        score = np.float32(wanted[1] - wanted[0])
        worst = max(worst, abs(float(outputs["score"][0]) - float(score)))
        quality = expit(math.log(0.95 / 0.05) - slope * score)
        taught = {"score": np.array([score]), "quality": np.array([quality], np.float32)}
        vectors.append(GoldenVector(inputs, {**outputs, **taught}))
    golden = write_golden(folder / f"{model.stem}.golden.npz", vectors[:3], atol=0.02, rtol=0.01)
    write_card(replace(card, golden=golden), card_path(model))
    OnnxRunner(model)  # it must pass its own golden vectors
    return worst


def _card(
    base: ModelCard, model: Path, version: str, threshold: float, figures: dict[str, Figure], data: DataRef
) -> ModelCard:
    limit = "Of parts learnt later the places of defects are where a part is least like those taught first."
    kept = {key: value for key, value in base.parameters.items() if not key.startswith("usual_")}
    return replace(
        base,
        version=version,
        file=model.name,
        digest=digest_of(model),
        golden=None,
        limits=(*(each for each in base.limits if each != limit), limit),
        parameters={**kept, "method": "continual", "threshold": 0.0, "base_threshold": threshold},
        training_data=(
            *base.training_data,
            TrainingData(data.name, "learnt on this device", "that of the pictures"),
        ),
        figures={
            name: CardFigure.of(each, f"edgeai learn continual {TASK}")
            for name, each in figures.items()
            if each.value is not None
        },
    )


def _write_lesson(folder: Path, now: Known, train: Samples, held: Samples) -> None:
    memory = RehearsalMemory.of(now.memory.arrays(), now.memory.capacity, len(train))
    remember(memory, train, max(memory.counts(), default=-1) + 1)
    everything = Samples.joined([now.held, held]).at_most(_HELD_OUT_MOST)
    arrays: dict[str, NDArray[np.generic]] = {
        **now.parts.arrays(),
        **now.adapter.arrays(),
        **memory.arrays(),
        "held_features": everything.features.astype(np.float16),
        "held_labels": everything.labels,
        "held_groups": everything.groups,
    }
    save_arrays(folder / LESSON_FILE, arrays, {"task": TASK})
