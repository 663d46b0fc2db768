"""Evaluation: engines that ran to failure, bearings, tables of failures, and machines of our own."""

from __future__ import annotations

from pathlib import Path

from apps.manufacturing.maintenance.options import EvaluateOptions
from edgeai_core.app import Progress
from edgeai_core.errors import ConfigError
from edgeai_core.metrics.evaluation import Evaluation


def evaluate(options: EvaluateOptions, progress: Progress) -> Evaluation:
    """Judge by the format of the data. What the data cannot tell is a figure without a value, with a note."""
    if options.format == "simulated":
        from apps.manufacturing.maintenance.evaluate_simulated import evaluate_simulated

        return evaluate_simulated(options, progress)
    data = given(options.data)
    if options.format == "cmapss":
        from apps.manufacturing.maintenance.evaluate_cmapss import evaluate_cmapss

        return evaluate_cmapss(data, options, progress)
    if options.format == "cwru":
        from apps.manufacturing.maintenance.evaluate_cwru import evaluate_cwru

        return evaluate_cwru(data, options, progress)
    from apps.manufacturing.maintenance.evaluate_table import evaluate_table

    return evaluate_table(data, options, progress)


def given(data: Path | None) -> Path:
    """Return where the data lie. Raises ConfigError where nothing is named."""
    if data is None:
        raise ConfigError("--data: name the folder of the data, or the CSV file")
    return data
