"""Search over width and resolution: the most accurate MobileNetV2 that meets a latency target on this device.

Latency is measured for every candidate before anything is taught, for it costs a second; what misses the target is
never taught. More channels and more pixels seldom do harm, so the outermost candidates that meet the target are tried
first: of each width the most pixels, unless a wider one affords as many. The rest are chosen by a tree-structured
Parzen estimator (J. Bergstra et al., NeurIPS 2011) and given up early where their validation falls behind. Needs the
extra ``train``.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeai_core.app import Progress
from edgeai_core.errors import InputError, MissingExtraError
from edgeai_core.optimize.examples import Examples, split_by_group
from edgeai_core.optimize.trial import Candidate, Trial, best_of, outermost, pareto

if TYPE_CHECKING:
    from edgeai_core.learning.architectures import MobileNetV2
    from edgeai_core.learning.classify import Recipe

N = TypeVar("N")

WIDTHS = (1.0, 0.75, 0.5, 0.35)
RESOLUTIONS = (224, 192, 160, 128)
TARGET_MS = 50.0
"""The published search: four widths by four resolutions, 50 ms."""

_MEASURED_S = 0.4
_REFERENCE = "reference"
_STARTUP = 2
"""Trials before the estimator has something to go by."""


@dataclass(frozen=True)
class Found:
    """``trials``: every candidate, in the order tried, then those ruled out. ``best`` is taught and ready to export."""

    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    best: Trial
    network: MobileNetV2
    target_ms: float
    seed: int = 0

    @property
    def taught(self) -> int:
        """How many candidates were taught at all."""
        return sum(trial.accuracy is not None for trial in self.trials)


def measure_grid(
    candidates: Sequence[Candidate],
    channels: int,
    classes: int,
    progress: Progress,
    *,
    factor: float = 1.0,
    reference_ms: float | None = None,
) -> list[Trial]:
    """Return a trial without accuracy for each candidate: its latency in ms on one thread, times a factor.

    Weights are random: time does not depend on them. The candidates take turns, and of each the fastest tenth of its
    calls counts: what else the machine does interrupts long calls more often than short ones. ``reference_ms`` is
    what MobileNetV2 (width 1, 224 pixels in colour, 1000 classes) takes on the device: then it takes turns with them,
    and the factor is that time by its time here.
    """
    import onnxruntime

    from edgeai_core.learning.architectures import MobileNetV2, parameters_of
    from edgeai_core.learning.export import export_onnx
    from edgeai_core.runners.timing import interleaved

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    calls: dict[str, Callable[[], object]] = {}
    sizes: dict[str, int] = {}
    with TemporaryDirectory(prefix="edgeai-search-") as folder:
        shapes = [(str(each), each.width, each.resolution, channels, classes) for each in candidates]
        if reference_ms is not None:
            shapes.append((_REFERENCE, 1.0, 224, 3, 1000))
        for number, (name, width, side, planes, outputs) in enumerate(shapes):
            network = MobileNetV2(outputs, width=width, channels=planes)
            image = np.random.default_rng(0).random((1, planes, side, side), np.float32)
            path = Path(folder) / "candidate.onnx"
            export_onnx(network, path, [{"image": image}], ["logits"], tolerance=1e-2)
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            calls[name] = _call(session, image)
            sizes[name] = parameters_of(network)
            progress("measuring", number + 1, 2 * len(shapes))
        total = _MEASURED_S * len(shapes)
        times = interleaved(
            calls, total, report=lambda share: progress("measuring", round((1 + share) * 100), 200)
        )
    if reference_ms is not None:
        factor = reference_ms / _undisturbed_ms(times[_REFERENCE])
    return [Trial(each, _undisturbed_ms(times[str(each)]) * factor, sizes[str(each)]) for each in candidates]


def _undisturbed_ms(times_ns: NDArray[np.floating]) -> float:
    return float(np.percentile(times_ns, 10)) / 1e6


def search(
    examples: Examples,
    *,
    widths: Sequence[float] = WIDTHS,
    resolutions: Sequence[int] = RESOLUTIONS,
    target_ms: float = TARGET_MS,
    trials: int | None = None,
    factor: float = 1.0,
    reference_ms: float | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Found:
    """Find the most accurate candidate whose latency is at most ``target_ms``.

    ``examples`` are pictures (n, channels, side, side) of at least the largest resolution; a fifth of their groups is
    set apart to judge by. ``trials``: how many candidates may be taught; None: a third of the grid. ``factor``: how
    many times this machine's time the device takes; ``reference_ms``: what MobileNetV2 takes there, of which the factor
    is made (see ``measure_grid``).
    Raises InputError where no candidate meets the target, MissingExtraError without torch or optuna.
    """
    from edgeai_core.learning.classify import Recipe

    recipe = recipe or Recipe()
    grid = [Candidate(width, side) for width, side in itertools.product(widths, resolutions)]
    if examples.inputs.ndim != 4 or examples.inputs.shape[2] < max(resolutions):
        raise InputError(
            f"{examples.origin}: a search needs pictures of {max(resolutions)} pixels or more a side"
        )
    known = measure_grid(
        grid, examples.inputs.shape[1], len(examples.classes), progress,
        factor=factor, reference_ms=reference_ms,
    )  # fmt: skip
    taught, judged = split_by_group(examples, 0.2, seed)

    def teach(trial: Trial, attempt: Any, label: str) -> tuple[Trial, MobileNetV2]:
        side = trial.candidate.resolution
        return teach_candidate(
            trial, (resized(taught.inputs, side), taught.labels), (resized(judged.inputs, side), judged.labels),
            len(examples.classes), recipe, progress, label, attempt,
        )  # fmt: skip

    done = explore(known, target_ms, teach, recipe.epochs, trials=trials, seed=seed)
    tried = [trial for trial, _ in done.values()]
    best = best_of(tried)
    rest = [each for each in known if each.candidate not in done]
    return Found((*tried, *rest), pareto(tried), best, done[best.candidate][1], target_ms, seed)


def explore(
    known: Sequence[Trial],
    target_ms: float,
    teach: Callable[[Trial, Any, str], tuple[Trial, N]],
    epochs: int,
    *,
    trials: int | None = None,
    seed: int = 0,
) -> dict[Candidate, tuple[Trial, N]]:
    """Choose candidates one after the other, the ``outermost`` first, teach each, and return them in that order.

    ``known`` are all candidates with their latency. ``teach`` takes one, optuna's attempt, which may give it up after
    any of ``epochs``, and a label, and returns it with its accuracy. Raises InputError where none meets the target.
    """
    optuna = _optuna()
    feasible = {each.candidate: each for each in known if each.latency_ms <= target_ms}
    if not feasible:
        quickest = min(known, key=lambda each: each.latency_ms)
        raise InputError(
            f"no candidate meets {target_ms:g} ms: the quickest, {quickest.candidate}, takes "
            f"{quickest.latency_ms:.2f} ms"
        )
    wanted = min(max(1, len(known) // 3) if trials is None else trials, len(feasible))
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=max(1, epochs // 3)),
    )
    widths = sorted({each.candidate.width for each in known})
    sides = sorted({each.candidate.resolution for each in known})
    for each in outermost(list(feasible)):
        study.enqueue_trial({"width": widths.index(each.width), "resolution": sides.index(each.resolution)})
    done: dict[Candidate, tuple[Trial, N]] = {}
    asked = 0
    while len(done) < wanted and asked < 50 * len(known):
        asked += 1
        attempt = study.ask()
        chosen = Candidate(
            widths[attempt.suggest_int("width", 0, len(widths) - 1)],
            sides[attempt.suggest_int("resolution", 0, len(sides) - 1)],
        )
        if chosen not in feasible:
            study.tell(attempt, state=optuna.trial.TrialState.PRUNED)
            continue
        if chosen not in done:
            label = f"trial {len(done) + 1} of {wanted}: {chosen}"
            done[chosen] = teach(feasible[chosen], attempt, label)
        study.tell(attempt, done[chosen][0].accuracy)
    return done


def teach_candidate(
    trial: Trial,
    taught: tuple[NDArray[np.float32], NDArray[np.int64]],
    judged: tuple[NDArray[np.float32], NDArray[np.int64]],
    classes: int,
    recipe: Recipe,
    progress: Progress,
    label: str,
    attempt: Any = None,
) -> tuple[Trial, MobileNetV2]:
    """Teach one candidate and return its trial, with accuracy, and its network.

    ``attempt`` is optuna's trial, which may give it up after any epoch; without it none is given up.
    """
    import torch

    from edgeai_core.learning.architectures import MobileNetV2
    from edgeai_core.learning.classify import predict, teach

    torch.manual_seed(recipe.seed)
    network = MobileNetV2(classes, width=trial.candidate.width, channels=taught[0].shape[1])
    accuracies: list[float] = []

    def validate(module: Any) -> float:
        accuracy = float((predict(module, judged[0]).argmax(1) == judged[1]).mean())
        accuracies.append(accuracy)
        if attempt is not None:
            attempt.report(accuracy, len(accuracies))
            if attempt.should_prune():
                raise _GivenUp
        return -accuracy

    begun, pruned = time.monotonic(), False
    try:
        teach(network, *taught, recipe, progress, validate=validate, label=label)
    except _GivenUp:
        pruned = True
    result = Trial(
        trial.candidate, trial.latency_ms, trial.parameters, max(accuracies), tuple(accuracies), pruned,
        time.monotonic() - begun,
    )  # fmt: skip
    network.eval()
    return result, network


def export_best(found: Found, examples: Examples, folder: Path) -> Path:
    """Write the best candidate with its card into ``folder`` and return the model's path.

    Its input is what it was taught on: pictures from 0 to 1, squeezed to its resolution. Raises ModelError where the
    export does not agree with the network.
    """
    from edgeai_core.learning.export import export_onnx
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

    folder.mkdir(parents=True, exist_ok=True)
    best, side, channels = found.best, found.best.candidate.resolution, examples.inputs.shape[1]
    path = folder / f"mobilenet-{best.candidate.width:g}-{side}.onnx"
    some = resized(examples.inputs[:4], side)
    calls = [{"image": np.ascontiguousarray(some[row : row + 1])} for row in range(len(some))]
    free = {"image": {0: "n"}, "logits": {0: "n"}}
    export_onnx(found.network, path, calls, ["logits"], free=free, tolerance=1e-3)
    judged = split_by_group(examples, 0.2, found.seed)[1]
    share = Figure.share(round((best.accuracy or 0.0) * len(judged.labels)), len(judged.labels))
    command = f"edgeai model search --data {examples.origin} --target-ms {found.target_ms:g}"
    note = "of the groups that chose the candidate and its epoch: high by that choice"
    write_card(
        ModelCard(
            name=path.stem,
            version="1.0.0",
            task="classification",
            file=path.name,
            digest=digest_of(path),
            licence="that of the examples it was taught on",
            intended_use=f"Pictures like those of {examples.origin}: {', '.join(examples.classes)}.",
            limits=("Found by a search on these examples; it was not judged on others.",),
            inputs=(
                TensorSpec(
                    "image", ("n", channels, side, side), "float32", "1",
                    "grey" if channels == 1 else "red, green, blue",
                    "0 to 1, squeezed to a square (area)",
                ),
            ),
            outputs=(TensorSpec("logits", ("n", len(examples.classes)), "float32"),),
            classes=examples.classes,
            training_data=(TrainingData(examples.origin, "labelled examples", "none stated", split="by group"),),
            figures={"accuracy": dataclasses.replace(CardFigure.of(share, command), note=note)},
        ),
        card_path(path),
    )  # fmt: skip
    return path


def resized(images: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return pictures (n, channels, h, w) as (n, channels, side, side), averaged by area."""
    import cv2

    if images.shape[2:] == (side, side):
        return images
    made = np.empty((*images.shape[:2], side, side), np.float32)
    for row, image in enumerate(images):
        for plane, pixels in enumerate(image):
            made[row, plane] = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return made


class _GivenUp(Exception):  # noqa: N818 - not an error: the trial is not worth going on with
    pass


def _call(session: Any, image: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: session.run(None, {"image": image})


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("a search needs the extra `train`: pip install 'edgeai[train]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
