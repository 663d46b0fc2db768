"""Training of the rhythm network and the beat scorer on WFDB records: data -> models with their card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from apps.healthcare.ecg.datasets import data_refs, training_data, training_data_of
from apps.healthcare.ecg.options import TrainOptions
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.state import find_state

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from apps.healthcare.ecg.network import RhythmNetwork
    from edgeai_core.runners.card import Golden

TASK = "healthcare.ecg"

LIMITS = (
    "Taught on adults with two bedside or ambulatory leads at 250 and 360 Hz; other devices and leads are met by"
    " augmentation only.",
    "VF, flutter and VT come from few patients; the intervals by patient say how much is known.",
    "VT means three or more wide beats at 120 a minute or more. Slower ventricular rhythms, and runs shorter than a"
    " window, are not what it is for.",
    "Fine VF under 0.1 mV is called asystole. Aberrant or paced tachycardia can be called VT.",
    "Not for neonates, for diagnosis, or for defibrillators. Not a medical device.",
)


def train(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Train on all records, read the network by cross-validation, and write models and card.

    Thresholds and calibration come from networks that had not seen the patients; they, and the figures in the
    card, are those of the same training without them. Raises InputError where the data are too few.
    """
    output = options.output or find_state().create().models / TASK / options.version
    output.mkdir(parents=True, exist_ok=True)
    written: dict[str, object] = {}
    if options.part != "classes":
        written |= _train_rhythm(options, output, progress)
    if options.part != "rhythm":
        try:
            written |= _train_classes(options, output, progress)
        except InputError as error:
            if options.part == "classes":
                raise
            written["beat_classes"] = f"not trained: {error}"  # many folders have no beat of some class
    return written


def _train_classes(options: TrainOptions, output: Path, progress: Progress) -> dict[str, object]:
    from apps.healthcare.ecg.annotations import find_records
    from apps.healthcare.ecg.beat_class_fit import Plan, fit_beat_classes
    from apps.healthcare.ecg.beat_records import DS1, described_records

    paths = find_records(options.data)
    first_half = {str(number) for number in DS1}
    wanted = [path.name for path in paths if options.class_records == "all" or path.name in first_half]
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    records = described_records(paths, progress, vary=wanted, seed=options.seed, work=options.work)
    learnt_from = [record for record in records if record.name in wanted]
    data = " ".join(f"--data {path.name}" for path in options.data)
    plan = Plan(
        options.folds,
        options.epochs,
        options.seed,
        options.threads,
        options.version,
        f"edgeai train {TASK} {data} --part classes --class-records {options.class_records}"
        f" --folds {options.folds} --epochs {options.epochs} --seed {options.seed}",
    )
    split = (
        "records of the first half (DS1) by de Chazal et al. 2004; atrial fibrillation on all"
        if options.class_records == "ds1"
        else "all records with reference beats"
    )
    figures = fit_beat_classes(records, learnt_from, output, plan, training_data_of(paths, split), progress)
    return {
        "beat_classes": str(output / "beat_class.onnx"),
        "beat_class_figures": {name: figure.to_json() for name, figure in figures.items()},
    }


def _train_rhythm(options: TrainOptions, output: Path, progress: Progress) -> dict[str, object]:
    from apps.healthcare.ecg.beat_training import save_beat_scorer
    from apps.healthcare.ecg.crossfit import cross_fit, export, fit_scorer, rhythm_card, train_network
    from apps.healthcare.ecg.rhythm import RhythmClassifier
    from apps.healthcare.ecg.scores import fit_readings, score
    from apps.healthcare.ecg.window_figures import window_figures
    from apps.healthcare.ecg.windows import load_records
    from edgeai_core.runners.card import CardFigure, card_path, write_card
    from edgeai_core.runners.onnx import OnnxRunner

    records = [
        record for record in load_records(options.data, progress) if record.labels.rhythms_from != "none"
    ]
    with nullcontext(options.work) if options.work else TemporaryDirectory(prefix="edgeai-ecg-") as folder:
        work = Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        parts = cross_fit(
            records,
            work,
            folds=options.folds,
            epochs=options.epochs,
            seed=options.seed,
            threads=options.threads,
            progress=progress,
            work=options.work,
            beats=False,
        )
        scores = []
        for part in parts:
            runner = OnnxRunner(part.model)
            readings = RhythmClassifier(runner).readings
            scores += [(score(runner, record), readings) for record in part.records]
        network = train_network(
            records,
            options.seed,
            options.threads,
            progress,
            epochs=options.epochs,
            label="training on all",
            work=options.work,
        )
    model = output / "rhythm.onnx"
    export(network, model)
    figures = window_figures(scores)
    data = " ".join(f"--data {path.name}" for path in options.data)
    command = f"edgeai evaluate {TASK} {data} --cross-validate"
    card = rhythm_card(
        model,
        fit_readings([each for each, _ in scores]),
        version=options.version,
        limits=LIMITS,
        training_data=training_data(records, f"all patients; figures from {options.folds} folds by patient"),
        figures={name: CardFigure.of(f, command) for name, f in figures.items() if f.value is not None},
        golden=_golden(network, output / "rhythm.golden.npz"),
    )
    write_card(card, card_path(model))
    OnnxRunner(model)  # it must pass its own golden vectors
    written: dict[str, object] = {"model": str(model), "card": str(card_path(model))}
    annotated = [record for record in records if record.labels.beat_s.size]
    if annotated:
        scorer = fit_scorer(annotated, options.seed, progress)
        data_of_beats = training_data(annotated, "all records with reference beats")
        save_beat_scorer(scorer, output / "beats.npz", options.version, "Apache-2.0", data_of_beats)
        written["beats"] = str(output / "beats.npz")
    written["data"] = [ref.to_json() for ref in data_refs(records)]
    written["figures"] = {name: figure.to_json() for name, figure in figures.items()}
    return written


def _golden(network: RhythmNetwork, path: Path) -> Golden:
    """Keep simulated windows, one of each rhythm, with what the network as trained says of them: nobody's data."""
    import numpy as np
    import torch

    from apps.healthcare.ecg.network import OUTPUTS
    from edgeai_core.runners.golden import GoldenVector, write_golden

    vectors = []
    for window in golden_windows():
        with torch.no_grad():
            results = network(torch.from_numpy(window))
        outputs = {name: np.asarray(result.numpy()) for name, result in zip(OUTPUTS, results, strict=True)}
        vectors.append(GoldenVector({"ecg": window}, outputs))
    return write_golden(path, vectors, atol=1e-3, rtol=1e-3)


def golden_windows() -> Iterator[NDArray[np.float32]]:
    """Simulated windows (1, 2 leads, 4 s) of sinus rhythm, VT, VF, asystole, and sinus rhythm in motion."""
    from apps.healthcare.ecg.rhythm import LONG_S, RhythmTrace
    from apps.healthcare.simulation.ecg import simulate
    from apps.healthcare.simulation.scenarios import Artefact, Scenario, Segment

    motion = Artefact("motion", LONG_S, 2 * LONG_S)
    for segment, artefacts in (
        (Segment("N", 2 * LONG_S, 75), ()),
        (Segment("VT", 2 * LONG_S, 180), ()),
        (Segment("VF", 2 * LONG_S), ()),
        (Segment("ASYS", 2 * LONG_S), ()),
        (Segment("N", 2 * LONG_S, 75), (motion,)),
    ):
        made = simulate(Scenario((segment,), artefacts=artefacts))
        trace = RhythmTrace(made.rate_hz, made.samples_mv.shape[1])
        trace.push(made.samples_mv)
        yield trace.window[None].copy()
