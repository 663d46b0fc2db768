"""Teaching an inspection model from folders: one ONNX file with card, proven to score as taught; a report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.inspection.inspector import MODEL_FILE, TEMPLATE_FILE, BoardInspector, inputs_of
from apps.manufacturing.inspection.options import TrainOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError, ModelError
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
from edgeai_core.sensors.picture import read_picture
from edgeai_core.state import find_state

if TYPE_CHECKING:
    from apps.manufacturing.inspection.board_model import BoardModel
    from apps.manufacturing.inspection.examples import Examples
    from apps.manufacturing.inspection.judge import Judge
    from apps.manufacturing.inspection.looks import Seen
    from apps.manufacturing.inspection.teach import Taught

TASK = "manufacturing.inspection"

REPORT_FILE = "report.html"

BOARDS = Path(__file__).parent / "models" / "boards"
"""Kinds of differences taught on DeepPCB, for a template without pairs."""

_LICENCE = "that of the pictures it was taught on"
_PROOFS = 8
_TOLERANCE = 0.02


def train(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Teach what the data allow and write model, card and report. Raises InputError where they allow nothing."""
    folder = options.out or find_state().create().models / TASK / options.version
    wants_boards = bool(options.pairs or options.template) or options.method == "template"
    if wants_boards and not options.pairs and not options.template:
        raise InputError(
            "a golden template needs --template FILE, or --pairs DIR to learn kinds of defects from"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    return (
        _train_boards(options, folder, progress) if wants_boards else _train_parts(options, folder, progress)
    )


# ---------------------------------------------------------------- parts


def _train_parts(options: TrainOptions, folder: Path, progress: Progress) -> Mapping[str, object]:
    from apps.manufacturing.inspection.examples import read_examples
    from apps.manufacturing.inspection.figures import part_figures
    from apps.manufacturing.inspection.graph import onnx_or_explain
    from apps.manufacturing.inspection.judge import judge_graph
    from apps.manufacturing.inspection.looks import look_at, side_of
    from apps.manufacturing.inspection.plan import hint, plan
    from apps.manufacturing.inspection.report import write_report
    from apps.manufacturing.inspection.teach import teach, with_heat_limit, with_kinds

    onnx = onnx_or_explain()
    started = time.monotonic()
    if not options.good:
        raise InputError("teaching needs pictures of good parts: --good DIR")
    examples = read_examples(options.good, options.bad, options.masks, options.groups, progress)
    size = side_of(examples.rows, options.size)
    planned = plan(options.method, examples.rows, size, options.folds)
    seen = look_at(examples.rows, size, options.seed, options.threads, progress, most=planned.looks)
    labels = examples.labels
    taught = teach(
        seen, labels, examples.groups, np.arange(len(labels)), method=options.method, folds=planned.folds,
        seed=options.seed, threads=options.threads, false_reject_rate=options.false_reject_rate, progress=progress,
        tune=planned.tuner(examples.rows, size, options.seed, options.threads, progress),
    )  # fmt: skip
    judge = with_kinds(with_heat_limit(taught.judge, seen, labels), seen, examples.kinds)
    known = np.isfinite(taught.scores)
    judged, scores = examples.some(known), taught.scores[known]
    model = folder / MODEL_FILE
    onnx.save(judge_graph(judge, size), str(model))
    figures = part_figures(judged.labels, scores, judged.groups, judge.threshold)
    card = _part_card(model, options, examples, taught, judge, size, figures, _usual(examples))
    write_card(card, card_path(model))
    difference = _prove(judge, seen, examples, model, card, size)
    card = ModelCard(**{**card.__dict__, "golden": _golden(folder, model, judge, seen, examples, size)})
    write_card(card, card_path(model))
    OnnxRunner(model)  # it must pass its own golden vectors
    report = folder / REPORT_FILE
    timed = _milliseconds(model, examples)
    write_report(report, card, judged, taught, scores, figures, timed, options.false_reject_rate)
    return {
        "model": str(model),
        "card": str(card_path(model)),
        "report": str(report),
        "method": taught.method,
        **({"hint": said} if (said := hint(options.method, examples.rows)) else {}),
        "tried": {name: round(area, 4) for name, area in taught.tried.items()},
        "pictures": len(examples.rows),
        "parts": len(set(examples.groups)),
        "parts_told_apart_by": examples.groups_from,
        "unreadable": list(examples.unreadable),
        "largest_difference_to_taught_score": difference,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "ms_per_image": timed,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }


def _prove(judge: Judge, seen: Seen, examples: Examples, model: Path, card: ModelCard, size: int) -> float:
    """Run the file on pictures it was taught on. Raises ModelError where it scores otherwise than the judge."""
    runner = OnnxRunner(model)
    worst = 0.0
    for row in _some(seen, examples.labels):
        outputs = runner.run(inputs_of(read_picture(examples.rows[row].path), size))
        wanted = judge(seen.features(np.array([row])))
        worst = max(worst, abs(float(outputs["score"][0]) - float(wanted.score[0])))
    # Places are kept in half precision while a judge is taught; the file computes in single.
    allowed = _TOLERANCE * (1.0 + abs(judge.threshold)) + 0.15
    if not worst <= allowed:
        model.unlink()
        raise ModelError(
            f"{model}: the exported model scores {worst:.3g} off what was taught (allowed {allowed:.3g}); removed"
        )
    return worst


def _some(seen: Seen, labels: NDArray[np.int64]) -> list[int]:
    """A few pictures of both kinds, evenly spread."""
    from apps.manufacturing.inspection.looks import AS_IT_IS

    kept = np.flatnonzero((seen.view == AS_IT_IS) & (seen.place >= 0))
    kept = kept[np.argsort(labels[kept], kind="stable")]
    return [int(row) for row in kept[:: max(1, len(kept) // _PROOFS)]][:_PROOFS]


def _golden(folder: Path, model: Path, judge: Judge, seen: Seen, examples: Examples, size: int) -> Any:
    """Keep three pictures with what the taught heads, in numpy and single precision, say of them."""
    from apps.manufacturing.inspection.graph import FeatureExtractor
    from apps.manufacturing.inspection.judge import Features

    extractor = FeatureExtractor(size, 1)
    vectors = []
    for row in _some(seen, examples.labels)[:3]:
        inputs = inputs_of(read_picture(examples.rows[row].path), size)
        pooled, local = extractor(np.asarray(inputs["picture"][0], np.uint8))
        wanted = judge(
            Features(
                pooled[None],
                np.asarray(inputs["texture"], np.float32),
                judge.whitening(local[None]),
                partial(np.asarray, inputs["picture"], np.uint8),
            )
        )
        outputs = {"score": wanted.score, "quality": wanted.quality, "heat": wanted.heat}
        if wanted.kinds is not None:
            outputs["kinds"] = wanted.kinds
        vectors.append(GoldenVector(inputs, outputs))
    return write_golden(folder / f"{model.stem}.golden.npz", vectors, atol=0.02, rtol=0.01)


def _part_card(
    model: Path, options: TrainOptions, examples: Examples, taught: Taught, judge: Judge, size: int,
    figures: Mapping[str, Figure], usual: Mapping[str, Any],
) -> ModelCard:  # fmt: skip
    from apps.manufacturing.inspection.texture import TEXTURE

    grid = size // 8
    kinds = () if judge.kinds is None else judge.kinds.names
    calibration = {} if taught.usual_bad is None else {"quality_holds_at_share_of_bad": taught.usual_bad}
    bad = int(examples.labels.sum())
    command = f"edgeai train {TASK}"
    return ModelCard(
        name="inspection-parts",
        version=options.version,
        task=TASK,
        file=model.name,
        digest=digest_of(model),
        licence=f"Apache-2.0 for the backbone; for the rest {_LICENCE}",
        intended_use="Pass or reject of the parts it was taught on, by the camera and light of its pictures.",
        limits=(
            "Another part, camera, lens or light needs to be taught anew.",
            f"Thresholds stand on {len(examples.labels) - bad} pictures of good and {bad} of bad parts.",
        ),
        inputs=(
            TensorSpec("picture", (1, size, size, 3), "uint8", "1", "red, green, blue", "preprocess.prepare"),
            TensorSpec("texture", (1, TEXTURE), "float32", "1", "how far marks stand out", "texture.texture"),
        ),
        outputs=(
            TensorSpec("score", (1,), "float32", "1", "the higher the worse"),
            TensorSpec("quality", (1,), "float32", "1", "0.95 at the operating point"),
            TensorSpec("heat", (1, grid, grid), "float32", "1", "1: as odd as good parts nearly never are"),
            *(
                ()
                if not kinds
                else (TensorSpec("kinds", (1, len(kinds)), "float32", "1", "shares, as classes"),)
            ),
        ),
        classes=("good", *(kinds or ("bad",))),
        parameters={
            "kind": "parts",
            "method": taught.method,
            "size": size,
            "threshold": float(taught.judge.threshold),
            "false_reject_rate": options.false_reject_rate,
            **calibration,
            **usual,
        },
        training_data=(
            TrainingData(
                ", ".join(path.resolve().name for path in [*options.good, *options.bad]),
                "folders of the user's own",
                "none stated",
                split=f"{taught.split}; parts told apart by {examples.groups_from}",
            ),
            TrainingData("ImageNet (ILSVRC 2012)", "the backbone's weights", "weights Apache-2.0"),
        ),
        figures={
            name: CardFigure.of(each, command) for name, each in figures.items() if each.value is not None
        },
    )


def _usual(examples: Examples) -> dict[str, Any]:
    """How pictures of good parts usually are: what a camera is watched by."""
    from edgeai_core.vision.usual import measure, usual

    good = [each for each in examples.rows if not each.bad]
    found = usual([measure(read_picture(each.path)) for each in good[:: max(1, len(good) // 40)]])
    return {
        "usual_brightness": found.brightness,
        "usual_sharpness": found.sharpness,
        "usual_thumbnail": [round(float(each)) for each in found.thumbnail.ravel()],
    }


def _milliseconds(model: Path, examples: Examples) -> float:
    """The median time of one picture from pixels to defects, on one core of this machine."""
    from apps.manufacturing.inspection.inspector import open_inspector

    inspector = open_inspector(model)
    times = []
    for each in examples.rows[:: max(1, len(examples.rows) // 20)]:
        pixels = read_picture(each.path)
        started = time.process_time()
        inspector.inspect(pixels)
        times.append(time.process_time() - started)
    return 1000 * float(np.median(times))


# ---------------------------------------------------------------- boards


def _train_boards(options: TrainOptions, folder: Path, progress: Progress) -> Mapping[str, object]:
    import cv2

    from apps.manufacturing.inspection.preprocess import grey

    model = folder / MODEL_FILE
    written: dict[str, object] = {"model": str(model), "card": str(card_path(model)), "method": "template"}
    if options.pairs:
        written |= _teach_boards(options, folder, progress)
    elif BOARDS.is_dir():
        for path in BOARDS.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    else:
        raise InputError("a template alone needs kinds of defects to look for: teach them from --pairs DIR")
    if options.template is not None:
        template = grey(read_picture(options.template))
        cv2.imwrite(str(folder / TEMPLATE_FILE), template)
        inspector = BoardInspector(OnnxRunner(model), template)
        written["template"] = str(folder / TEMPLATE_FILE)
        if options.good:
            from edgeai_core.sensors.picture import pictures_in

            boards = [path for each in options.good for path in pictures_in(each)]
            rejected = sum(inspector.inspect(read_picture(path)).quality <= 0.95 for path in boards)
            written["false_reject_rate"] = Figure.share(int(rejected), len(boards)).to_json()
    return written


def _teach_boards(options: TrainOptions, folder: Path, progress: Progress) -> dict[str, object]:
    from apps.manufacturing.inspection.board_model import board_graph, compare_all, cross_fit, fit, run_forest
    from apps.manufacturing.inspection.figures import board_figures
    from apps.manufacturing.inspection.graph import onnx_or_explain
    from apps.manufacturing.inspection.pairs import read_pairs

    onnx = onnx_or_explain()
    pairs = read_pairs(options.pairs, options.split)
    versions = compare_all(pairs, (0, JPEG_QUALITY), options.threads, progress, "comparing boards")
    found, threshold = None, 0.5
    if len({pair.group for pair in pairs}) > 1:
        found, threshold = cross_fit(versions, options.folds, options.seed, options.threads, progress)
    model = fit([each for version in versions for each in version], options.seed, options.threads, threshold)
    path = folder / MODEL_FILE
    onnx.save(board_graph(model), str(path))
    figures = {} if found is None else board_figures(found, pairs, threshold)
    features = np.concatenate([each.candidates.features for each in versions[0]])[:256]
    golden = write_golden(
        folder / f"{path.stem}.golden.npz",
        [GoldenVector({"features": features}, {"shares": model.shares(features)})],
        atol=1e-3,
        rtol=1e-3,
    )
    write_card(_board_card(path, options, model, len(pairs), figures, golden), card_path(path))
    runner = OnnxRunner(path)  # exported shares are the taught ones, or it is refused here
    difference = float(np.abs(run_forest(runner, features) - model.shares(features)).max())
    return {
        "pairs": len(pairs),
        "threshold": threshold,
        "largest_difference_to_taught_score": difference,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
    }


JPEG_QUALITY = 75
"""Boards are taught as they are and once more as JPEG of this quality: cameras and archives leave its ringing."""


def _board_card(
    path: Path,
    options: TrainOptions,
    model: BoardModel,
    pairs: int,
    figures: Mapping[str, Figure],
    golden: Any,
) -> ModelCard:
    from apps.manufacturing.inspection.board_model import folder_name, parameters
    from apps.manufacturing.inspection.boards import FEATURES
    from apps.manufacturing.inspection.pairs import KINDS

    name = folder_name(options.pairs)
    command = f"edgeai evaluate {TASK} --pairs {name} --cross-validate"
    deeppcb = "deeppcb" in name.lower()
    return ModelCard(
        name="inspection-boards",
        version=options.version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence="research and evaluation only" if deeppcb else _LICENCE,
        intended_use="Naming the differences between a printed board and its template.",
        limits=(
            "Boards photographed square to the camera, of two levels of grey, within 16 pixels of their template.",
            "Differences of less than about 3 x 3 pixels are not seen.",
        ),
        inputs=(
            TensorSpec(
                "features",
                ("n", len(FEATURES)),
                "float32",
                "1",
                ", ".join(FEATURES),
                "boards.find_candidates",
            ),
        ),
        outputs=(TensorSpec("shares", ("n", 1 + len(KINDS)), "float32", "1", "no defect, then the kinds"),),
        classes=("no defect", *KINDS),
        parameters={"kind": "boards", **parameters(model)},
        golden=golden,
        training_data=(
            TrainingData(
                name,
                "github.com/tangsanli5201/DeepPCB" if deeppcb else "folders of the user's own",
                "MIT file; its README adds: for research only" if deeppcb else "none stated",
                "S. Tang et al., Online PCB Defect Detector On A New PCB Defect Dataset, 2019"
                if deeppcb
                else "",
                f"{pairs} pairs; figures from cross-validation by group",
            ),
        ),
        figures={
            key: CardFigure.of(each, command) for key, each in figures.items() if each.value is not None
        },
    )
