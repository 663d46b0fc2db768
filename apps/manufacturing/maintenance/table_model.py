"""A taught table: trees as ONNX, with the calibration, the threshold and the columns in the card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.options import TrainOptions
from apps.manufacturing.maintenance.table import Table, read_columns, read_table, with_pairs
from apps.manufacturing.maintenance.trees import export_trees
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import Platt
from edgeai_core.metrics.evaluation import ModelRef
from edgeai_core.runners.card import ModelCard, TensorSpec, TrainingData, card_path, digest_of, write_card
from edgeai_core.runners.onnx import OnnxRunner

TASK = "manufacturing.maintenance"


def teach_table(data: Path, options: TrainOptions, folder: Path, progress: Progress) -> Mapping[str, object]:
    """Teach on a whole table; the figures are those of a cross-validation by groups."""
    from apps.manufacturing.maintenance.evaluate_table import (
        cross_validate,
        figures_of,
        fit_calibrated,
        log_odds,
    )

    table = read_table(data, read_columns(options.columns))
    probability, called = cross_validate(table, options.seed, progress)
    figures = figures_of(table, probability, called)
    rows = np.arange(len(table.failed))
    line, threshold, model = fit_calibrated(table, rows, options.seed)
    path = folder / "failures.onnx"
    features = with_pairs(table.values).astype(np.float32)
    export_trees(
        [model], path, features, log_odds(model, features), output="log_odds", rows="rows", tolerance=1e-3
    )
    width = with_pairs(table.values[:1]).shape[1]
    card = ModelCard(
        name="failures",
        version=options.version,
        task=TASK,
        file=path.name,
        digest=digest_of(path),
        licence="as the data it was taught on",
        intended_use=f"Whether a row of a table like {table.name} is a failure.",
        limits=("Taught on one table; rows of another machine are another matter.",),
        inputs=(
            TensorSpec("features", ("rows", width), "float32", "1", "columns, products and differences"),
        ),
        outputs=(TensorSpec("log_odds", ("rows", 1), "float32", "1", "of a failure, not calibrated"),),
        parameters={
            "columns": list(table.names),
            "slope": line.slope,
            "intercept": line.intercept,
            "threshold": threshold,
        },
        training_data=(TrainingData(table.name, data.name, "as its owner states", "", "all rows"),),
    )
    write_card(card, card_path(path))
    _judge(path, table)  # it must load and say something
    return {
        "model": str(path),
        "card": str(card_path(path)),
        "figures": {name: figure.to_json() for name, figure in figures.items()},
    }


def load_table_model(folder: Path, table: Table) -> tuple[NDArray[np.float64], NDArray[np.bool_], ModelRef]:
    """Judge a table by a taught model. Raises InputError where its columns are others, ModelError."""
    probability, threshold, card = _judge(folder / "failures.onnx", table)
    return probability, probability >= threshold, ModelRef(card.name, card.version, card.digest)


def _judge(path: Path, table: Table) -> tuple[NDArray[np.float64], float, ModelCard]:
    runner = OnnxRunner(path, max_bytes=32 << 20)
    columns = runner.card.parameters.get("columns")
    if columns != list(table.names):
        raise InputError(
            f"{table.name}: its columns {list(table.names)} are not those of the model, {columns}"
        )
    features = with_pairs(table.values).astype(np.float32)
    said = np.asarray(runner.run({"features": features})["log_odds"], dtype=np.float64)[:, 0]
    line = Platt(runner.card.number("slope"), runner.card.number("intercept"))
    return line.probability(said), runner.card.number("threshold"), runner.card
