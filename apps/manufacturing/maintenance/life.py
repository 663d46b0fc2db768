"""The remaining life of an engine by its cycles: history -> features -> network -> life with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.cycle_features import CAP, Scaling, all_features
from edgeai_core.errors import ModelError
from edgeai_core.runners.card import ModelCard
from edgeai_core.runners.open import open_runner
from edgeai_core.runners.runner import EngineRunner

Array = NDArray[np.float64]

MAX_MODEL_BYTES = 32 << 20
LONGEST_HISTORY = 5000


@dataclass(frozen=True)
class LifeOutlook:
    """Cycles that remain, with the interval in which 90 % of engines like it end; the probability of a failure
    within the model's horizon; health from 1 (nothing shows) to 0 (at the end)."""

    remaining: float
    low: float
    high: float
    failure_probability: float
    health: float


@dataclass(frozen=True)
class Spread:
    """What became of engines the model had not seen, by what it said of them, ``at`` (knots,) cycles.

    ``low`` and ``high`` bound the true life of 90 % of them; from the cap on nobody knows an upper end. ``slope``
    and ``intercept``: log odds of a failure within ``horizon`` cycles.
    """

    at: Array
    low: Array
    high: Array
    slope: float
    intercept: float
    horizon: float

    def outlook(self, said: float) -> LifeOutlook:
        """Return what a raw output of the model means."""
        low, high = float(np.interp(said, self.at, self.low)), float(np.interp(said, self.at, self.high))
        odds = min(60.0, max(-60.0, self.slope * said + self.intercept))
        remaining = max(0.0, said)
        return LifeOutlook(
            remaining,
            max(0.0, min(low, remaining)),
            math.inf if high >= CAP else max(high, remaining),
            1 / (1 + math.exp(-odds)),
            min(1.0, remaining / CAP),
        )


@dataclass(frozen=True)
class LifeModel:
    """A model of engines' lives: scaling, network and spread, all from one card."""

    runner: EngineRunner
    scaling: Scaling
    spread: Spread

    @classmethod
    def load(cls, path: Path) -> LifeModel:
        """Load a model with its card beside it. Raises ModelError."""
        runner = open_runner(path, max_bytes=MAX_MODEL_BYTES)
        return cls(runner, scaling_of(runner.card), spread_of(runner.card))

    def say(self, features: NDArray[np.float32]) -> Array:
        """Give cycles (n,) for features (n, k), up to the cap: the model's output is the share of it."""
        return np.asarray(self.runner.run({"features": features})["remaining"], dtype=np.float64)[:, 0] * CAP


class LifeHistory:
    """One engine's rows as they come."""

    def __init__(self, model: LifeModel) -> None:
        self._model = model
        self._rows: list[Array] = []
        self._cycles: list[float] = []

    def push(self, slow: Mapping[str, float]) -> LifeOutlook | None:
        """Take a row (``setting_1``.., ``sensor_1``.., ``cycle``); None where a value the model needs is missing.

        A cycle that does not rise begins another engine.
        """
        scaling = self._model.scaling
        settings = np.array(
            [[slow.get(f"setting_{n + 1}", math.nan) for n in range(scaling.centres.shape[1])]]
        )
        last = max(scaling.sensors) + 1
        sensors = np.array([[slow.get(f"sensor_{n + 1}", math.nan) for n in range(last)]])
        row = scaling.scale(settings, sensors) if np.isfinite(settings).all() else np.array([[math.nan]])
        if not np.isfinite(row).all():
            return None
        cycle = slow.get("cycle", math.nan)
        cycle = cycle if math.isfinite(cycle) else (self._cycles[-1] + 1 if self._cycles else 1.0)
        if self._cycles and cycle <= self._cycles[-1]:
            self._rows, self._cycles = [], []
        self._rows.append(row[0])
        self._cycles.append(cycle)
        if len(self._rows) > LONGEST_HISTORY:
            self._rows, self._cycles = self._rows[1:], self._cycles[1:]
        features = all_features(np.array(self._rows), np.array(self._cycles))[-1:]
        return self._model.spread.outlook(float(self._model.say(features)[0]))


def card_parameters(scaling: Scaling, spread: Spread) -> dict[str, list[float] | list[int] | float | int]:
    """Return what a card keeps of them."""
    return {
        "settings": scaling.centres.shape[1],
        "setting_spreads": scaling.setting_spreads.tolist(),
        "condition_centres": scaling.centres.ravel().tolist(),
        "sensors": list(scaling.sensors),
        "sensor_means": scaling.means.ravel().tolist(),
        "sensor_spreads": scaling.spreads.ravel().tolist(),
        "direction": scaling.direction.tolist(),
        "spread_at": spread.at.tolist(),
        "spread_low": spread.low.tolist(),
        "spread_high": spread.high.tolist(),
        "failure_slope": spread.slope,
        "failure_intercept": spread.intercept,
        "horizon_cycles": spread.horizon,
    }


def scaling_of(card: ModelCard) -> Scaling:
    """Read the scaling out of a card. Raises ModelError where it does not fit together."""
    settings = int(card.number("settings"))
    sensors = _row(card, "sensors").astype(int)
    try:
        return Scaling(
            _row(card, "condition_centres").reshape(-1, settings),
            _row(card, "setting_spreads").reshape(settings),
            _row(card, "sensor_means").reshape(-1, len(sensors)),
            _row(card, "sensor_spreads").reshape(-1, len(sensors)),
            tuple(sensors.tolist()),
            _row(card, "direction").reshape(len(sensors)),
        )
    except ValueError as error:
        raise ModelError(
            f"model {card.name}: the scaling of its card does not fit together: {error}"
        ) from error


def spread_of(card: ModelCard) -> Spread:
    """Read the spread out of a card. Raises ModelError."""
    at = _row(card, "spread_at")
    rows = [_row(card, f"spread_{name}") for name in ("low", "high")]
    if any(row.shape != at.shape for row in rows) or not (np.diff(at) > 0).all():
        raise ModelError(f"model {card.name}: the spread of its card does not fit together")
    numbers = (card.number(name) for name in ("failure_slope", "failure_intercept", "horizon_cycles"))
    low, high = rows
    slope, intercept, horizon = numbers
    return Spread(at, low, high, slope, intercept, horizon)


def _row(card: ModelCard, name: str) -> Array:
    value = card.parameters.get(name)
    if not isinstance(value, list) or not value:
        raise ModelError(f"model {card.name} {card.version}: its card has no list parameters.{name}")
    return np.array(value, dtype=np.float64)
