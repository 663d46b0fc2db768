"""Teaching and judging the model of engines' lives on run-to-failure tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.cycle_features import CAP, Scaling, all_features, fit_scaling
from apps.manufacturing.maintenance.cyclefile import Unit
from apps.manufacturing.maintenance.life import LifeOutlook, Spread
from apps.manufacturing.maintenance.trees import export_trees
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.calibration import fit_platt
from edgeai_core.metrics.splits import grouped_folds

Array = NDArray[np.float64]

FOLDS = 5
ROUNDS = 250
"""Trees of each of the two forests."""

FIRST_CYCLE = 10
"""Earlier in a history there is too little to learn from."""

USED_UP_TO = 150
"""The spread is taken from moments up to so many cycles before the failure: of earlier ones there are many in which
nothing shows, and they would make an engine that begins to wear look surer than it is."""

CUTS = 15
COVERAGE = 0.9
KNOTS = 10


@dataclass(frozen=True)
class HeldOut:
    """By engine: what was ``said`` at every cycle, the cycles that were ``left``, and its name."""

    said: list[Array]
    left: list[Array]
    names: list[str]


@dataclass(frozen=True)
class Taught:
    """A fitted model: an estimator of scikit-learn that gives the share of the cap that remains.

    ``held_out``: what models that had not seen an engine said of it.
    """

    scaling: Scaling
    estimator: Any
    spread: Spread
    held_out: HeldOut

    def say(self, features: NDArray[np.float32]) -> Array:
        """Give cycles (n,), up to the cap."""
        return np.asarray(self.estimator.predict(features), dtype=np.float64) * CAP


@dataclass(frozen=True)
class Foretold:
    """What was said of one engine at one moment, and what came: ``remaining`` cycles."""

    unit: str
    outlook: LifeOutlook
    remaining: float


def teach(units: Sequence[Unit], *, horizon: float, seed: int, progress: Progress, label: str = "") -> Taught:
    """Fit on engines that ran to failure; the spread comes from engines each fit had not seen."""
    scaling = scale_on(units)
    held_out = out_of_fold(units, seed=seed, progress=progress, label=label)
    spread = fit_spread(held_out.said, held_out.left, horizon, seed)
    estimator = fit_estimator(units, scaling, seed)
    progress(f"{label}teaching", FOLDS + 1, FOLDS + 1)
    return Taught(scaling, estimator, spread, held_out)


def out_of_fold(units: Sequence[Unit], *, seed: int, progress: Progress, label: str = "") -> HeldOut:
    """Fit on parts of the engines, and let each part be judged by what had not seen it."""
    if len(units) < 2 * FOLDS:
        raise InputError(f"{len(units)} engines are too few to learn from; {2 * FOLDS} at least")
    names = [unit.name for unit in units]
    said: dict[str, Array] = {}
    folds = grouped_folds(names, [0] * len(units), FOLDS, seed)
    for done, fold in enumerate(folds):
        progress(f"{label}teaching", done, FOLDS + 1)
        taught = [units[n] for n in fold.train]
        scaling = scale_on(taught)
        estimator = fit_estimator(taught, scaling, seed)
        for n in fold.test:
            said[names[n]] = np.asarray(estimator.predict(features_of(units[n], scaling))) * CAP
    return HeldOut([said[name] for name in names], [left_of(unit) for unit in units], names)


def scale_on(units: Sequence[Unit]) -> Scaling:
    """Fit the scaling on engines."""
    return fit_scaling([u.settings for u in units], [u.sensors for u in units], [left_of(u) for u in units])


def left_of(unit: Unit) -> Array:
    """Return the cycles left after each row of an engine whose end is known."""
    if unit.remaining is None:
        raise InputError(f"{unit.name}: nobody says when it failed")
    return np.asarray(unit.cycles[-1] - unit.cycles + unit.remaining)


def features_of(unit: Unit, scaling: Scaling) -> NDArray[np.float32]:
    """Return the features (n, k) of an engine at every cycle."""
    return all_features(scaling.scale(unit.settings, unit.sensors), unit.cycles)


def fit_estimator(units: Sequence[Unit], scaling: Scaling, seed: int) -> Any:
    """Fit the mean of two forests of boosted trees on the share of the capped life that remains."""
    from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor

    rows, target = [], []
    for unit in units:
        kept = np.arange(len(unit.cycles)) >= min(FIRST_CYCLE, len(unit.cycles) - 1)
        rows.append(features_of(unit, scaling)[kept])
        target.append(np.minimum(left_of(unit), CAP)[kept] / CAP)
    trees = [
        (
            f"trees_{n}",
            HistGradientBoostingRegressor(
                max_iter=ROUNDS,
                learning_rate=0.04,
                max_leaf_nodes=15,
                min_samples_leaf=40,
                l2_regularization=5,
                max_features=0.5,
                random_state=seed * 100 + n,
            ),
        )
        for n in range(2)
    ]
    return VotingRegressor(trees).fit(np.concatenate(rows), np.concatenate(target))


def fit_spread(said: Sequence[Array], left: Sequence[Array], horizon: float, seed: int) -> Spread:
    """Fit interval and failure probability on what was said of engines not seen: so many moments of each.

    Where 5 % and more of the engines still have more than the cap the interval has no upper end, and all that may
    miss is below it.
    """
    rng = np.random.default_rng(seed)
    picked_said, picked_left = [], []
    for output, cycles in zip(said, left, strict=True):
        usable = np.flatnonzero((cycles <= USED_UP_TO) & (np.arange(len(cycles)) >= FIRST_CYCLE))
        if not len(usable):
            continue
        chosen = rng.choice(usable, min(CUTS, len(usable)), replace=False)
        picked_said.append(output[chosen])
        picked_left.append(cycles[chosen])
    outputs, remaining = np.concatenate(picked_said), np.concatenate(picked_left)
    edges = np.quantile(outputs, np.linspace(0, 1, KNOTS + 1))
    at, low, high = [], [], []
    for first, last in pairwise(edges):
        inside = (outputs >= first) & (outputs <= last)
        truth = remaining[inside]
        open_end = float((truth >= CAP).mean()) >= (1 - COVERAGE) / 2
        below = (1 - COVERAGE) if open_end else (1 - COVERAGE) / 2
        at.append(float(np.median(outputs[inside])))
        low.append(float(np.quantile(truth, below)))
        high.append(2 * CAP if open_end else float(np.quantile(truth, 1 - (1 - COVERAGE) / 2)))
    line = fit_platt(outputs, (remaining <= horizon).astype(int))
    keep = np.concatenate([[True], np.diff(at) > 0])
    return Spread(
        np.array(at)[keep],
        np.maximum.accumulate(np.array(low)[keep]),
        np.maximum.accumulate(np.array(high)[keep]),
        line.slope,
        line.intercept,
        horizon,
    )


def foretell(taught: Any, units: Sequence[Unit]) -> list[Foretold]:
    """Say the remaining life of each engine after its last row."""
    found = []
    for unit in units:
        said = taught.say(features_of(unit, taught.scaling)[-1:])
        found.append(Foretold(unit.name, taught.spread.outlook(float(said[0])), float(unit.remaining or 0.0)))
    return found


def ms_per_engine(taught: Taught, units: Sequence[Unit]) -> float:
    """Return the median processor time of features and model, as the file that a training writes: one thread.

    Raises MissingExtraError without the extra `train`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with TemporaryDirectory(prefix="edgeai-life-") as folder:
        path = Path(folder) / "life.onnx"
        export(taught, units[:10], path)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    took = []
    for unit in units:
        started = time.process_time()
        session.run(None, {"features": features_of(unit, taught.scaling)[-1:]})
        took.append((time.process_time() - started) * 1e3)
    return float(np.median(took))


def export(
    taught: Taught, units: Sequence[Unit], path: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Write the estimator as ONNX, proved to say the same on the engines; return some features and what was said.

    Raises ModelError where file and estimator differ, MissingExtraError without the extra `train`.
    """
    features = np.concatenate([features_of(unit, taught.scaling)[::7] for unit in units])
    wanted = np.asarray(taught.estimator.predict(features), dtype=np.float64)
    export_trees(
        taught.estimator.estimators_,
        path,
        features,
        wanted,
        output="remaining",
        rows="engines",
        tolerance=1e-4,
    )
    every = max(1, len(features) // 16)
    return features[::every][:16], wanted[::every][:16, None].astype(np.float32)


def baselines(units: Sequence[Unit], test: Sequence[Unit]) -> Mapping[str, list[float]]:
    """Return what simple peers say of the test engines: the mean life, a line through the sensors, a forest."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge

    scaling = scale_on(units)
    rows = np.concatenate([features_of(unit, scaling)[FIRST_CYCLE:] for unit in units])
    target = np.concatenate([np.minimum(left_of(unit), CAP)[FIRST_CYCLE:] for unit in units])
    last = np.concatenate([features_of(unit, scaling)[-1:] for unit in test])
    forest = RandomForestRegressor(60, min_samples_leaf=5, max_features=0.2, random_state=0).fit(
        rows[::2], target[::2]
    )
    lives = [unit.cycles[-1] for unit in units]
    return {
        "mean life less age": [max(0.0, float(np.mean(lives)) - float(unit.cycles[-1])) for unit in test],
        "ridge": np.clip(Ridge(10.0).fit(rows, target).predict(last), 0, CAP).tolist(),
        "random forest": forest.predict(last).tolist(),
    }
