"""Teaching: engines that ran to failure, bearings, tables of failures, machines of our own -> model with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.manufacturing.maintenance.evaluate import given
from apps.manufacturing.maintenance.options import TrainOptions
from edgeai_core.app import Progress
from edgeai_core.errors import ConfigError, InputError
from edgeai_core.runners.card import ModelCard, TensorSpec, TrainingData, card_path, digest_of, write_card
from edgeai_core.state import find_state

TASK = "manufacturing.maintenance"

RESEARCH = "research and evaluation only: the data state no licence"


def train(options: TrainOptions, progress: Progress) -> Mapping[str, object]:
    """Teach by the format of the data; return what was written and how good it was on what it had not seen."""
    folder = options.out or find_state().create().models / TASK / options.version
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be made: {error.strerror}") from error
    if options.format == "simulated":
        return teach_wear(options, folder, progress)
    data = given(options.data)
    if options.format == "cmapss":
        return teach_life(data, options, folder, progress)
    if options.format == "cwru":
        return teach_bearing(data, options, folder, progress)
    from apps.manufacturing.maintenance.table_model import teach_table

    return teach_table(data, options, folder, progress)


def teach_life(data: Path, options: TrainOptions, folder: Path, progress: Progress) -> Mapping[str, object]:
    """Teach the life of engines on one training table; the test table is not looked at."""
    from apps.manufacturing.maintenance.cycle_features import CAP, feature_count
    from apps.manufacturing.maintenance.cyclefile import read_train, subsets_in
    from apps.manufacturing.maintenance.engines import export, teach
    from apps.manufacturing.maintenance.life import MAX_MODEL_BYTES, card_parameters
    from edgeai_core.runners.golden import GoldenVector, write_golden
    from edgeai_core.runners.onnx import OnnxRunner

    subsets = [options.subset] if options.subset else subsets_in(data)[:1]
    if not subsets:
        raise InputError(f"{data}: holds no train_FD001.txt or the like")
    units = read_train(data, subsets[0])
    taught = teach(units, horizon=options.horizon, seed=options.seed, progress=progress)
    path = folder / "life.onnx"
    some, said = export(taught, units, path)
    golden = write_golden(
        folder / "life.golden.npz", [GoldenVector({"features": some}, {"remaining": said})], 1e-3, 1e-3
    )
    width = feature_count(len(taught.scaling.sensors))
    card = ModelCard(
        name="engine-life",
        version=options.version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence=RESEARCH,
        intended_use="Remaining life in cycles of turbofan engines with the sensors of C-MAPSS, from their history.",
        limits=(
            f"Taught on {subsets[0]}, simulated engines; others wear otherwise. Teach it on histories of your own.",
            f"From {CAP:.0f} cycles on it says no more than that: before, nothing shows.",
            "The interval holds for engines that are like those it was taught on.",
        ),
        inputs=(
            TensorSpec(
                "features",
                ("engines", width),
                "float32",
                "1",
                "levels, slopes and changes of the scaled sensors",
                "cycle_features.all_features of the sensors scaled by the parameters of this card",
            ),
        ),
        outputs=(
            TensorSpec(
                "remaining", ("engines", 1), "float32", "1", f"share of {CAP:.0f} cycles that remains"
            ),
        ),
        parameters=card_parameters(taught.scaling, taught.spread),
        golden=golden,
        training_data=(
            TrainingData(
                f"C-MAPSS {subsets[0]}, training table",
                "NASA Prognostics Center of Excellence",
                "none stated",
                "A. Saxena et al., Damage propagation modeling for aircraft engine run-to-failure simulation, PHM 2008",
                f"all {len(units)} engines; interval and probability from five parts, each judged by the others",
            ),
        ),
    )
    write_card(card, card_path(path))
    OnnxRunner(path, max_bytes=MAX_MODEL_BYTES)  # it must pass its own golden vectors
    held = taught.held_out
    late = np.concatenate(
        [np.minimum(left, CAP) - said for said, left in zip(held.said, held.left, strict=True)]
    )
    return {
        "model": str(path),
        "card": str(card_path(path)),
        "engines": len(units),
        "rmse_of_all_cycles_out_of_fold": float(np.sqrt(np.mean(late**2))),
    }


def teach_bearing(
    data: Path, options: TrainOptions, folder: Path, progress: Progress
) -> Mapping[str, object]:
    """Teach the kinds of a bearing's damage on recordings with labels."""
    from apps.manufacturing.maintenance.bearing import LINE_NAMES
    from apps.manufacturing.maintenance.cwru import LICENCE, ORIGIN, all_cases, read_folder
    from apps.manufacturing.maintenance.damage import KINDS, fit_judge

    files = [file for file in read_folder(data) if file.fault != "normal"]
    cases = all_cases(files, progress)
    judge = fit_judge([case for each in cases.values() for case in each])
    if not options.remember:
        judge = replace(judge, shapes=np.zeros((0, 24)), kinds=(), gate=0.0)
    path = folder / "bearing.npz"
    judge.save(path)
    card = ModelCard(
        name="bearing-damage",
        version=options.version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence=RESEARCH,
        intended_use="Which part of a rolling bearing is damaged, where something is known to be wrong with it.",
        limits=(
            "Without a line of a race it names the rolling element, which is right more often than not: read the"
            " probability.",
            "Spectra as they were taught are believed on the machine they were taught on; on another only lines are.",
            "It does not say whether a bearing is damaged at all.",
        ),
        inputs=(
            TensorSpec(
                "prominences", (len(LINE_NAMES),), "float64", "1", ", ".join(LINE_NAMES), "BearingEvidence"
            ),
            TensorSpec(
                "bands",
                (24,),
                "float64",
                "1",
                "log10 of mean square acceleration in bands of 100 Hz to 5 kHz",
            ),
        ),
        outputs=(TensorSpec("probabilities", (len(KINDS),), "float64", "1", ", ".join(KINDS)),),
        classes=KINDS,
        training_data=(
            TrainingData(
                "CWRU bearing data", ORIGIN, LICENCE, "", f"{len(files)} recordings, all of the folder"
            ),
        ),
    )
    write_card(card, card_path(path))
    return {
        "model": str(path),
        "card": str(card_path(path)),
        "recordings": len(files),
        "threshold": judge.threshold,
        "without_line": dict(zip(KINDS, judge.without_line, strict=True)),
    }


def teach_wear(options: TrainOptions, folder: Path, progress: Progress) -> Mapping[str, object]:
    """Fit how sure a line through the severity may be, on simulated machines that run to failure."""
    from apps.manufacturing.maintenance.damage import SHIPPED, BearingJudge
    from apps.manufacturing.maintenance.fleet import run_fleet
    from apps.manufacturing.maintenance.wear import Calibration
    from apps.manufacturing.maintenance.wear_fit import HORIZON_H, fit_calibration

    seen = list(run_fleet(range(options.machines), BearingJudge.load(SHIPPED), Calibration(), progress))
    calibration = fit_calibration(seen)
    path = folder / "wear.npz"
    calibration.save(path)
    card = ModelCard(
        name="wear-line",
        version=options.version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence="Apache-2.0",
        intended_use="Probabilities and intervals that come true, from a line through a machine's severity.",
        limits=(
            "Fitted on simulated machines: on real ones it is a beginning. Fit it on histories of your own.",
            f"The probability is that of a failure within {HORIZON_H:.0f} running hours.",
        ),
        inputs=(TensorSpec("severity", ("measurements",), "float64", "1", "0 as learnt, 1 at the limit"),),
        outputs=(TensorSpec("remaining", (3,), "float64", "h", "low, median, high"),),
        training_data=(
            TrainingData(
                "simulated machines",
                "apps/manufacturing/simulation/machines.py",
                "Apache-2.0",
                "",
                f"machines 0 to {options.machines - 1}; those from 10000 on are kept to judge it",
            ),
        ),
    )
    write_card(card, card_path(path))
    return {"model": str(path), "card": str(card_path(path)), "machines": len(seen), **vars(calibration)}
