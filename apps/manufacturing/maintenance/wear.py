"""How long until wear reaches its limit: a straight line through the severity, with what is not known of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from edgeai_core.arrayfile import read_npz
from edgeai_core.errors import InputError, ModelError
from edgeai_core.runners.card import card_path, read_card, read_limited

SHIPPED = Path(__file__).parent / "models" / "wear.npz"

ONSET = 0.15
"""Below this severity nothing has begun that could be drawn on."""

RECENT = 0.5
"""The line is drawn through the latest half of what came since the onset: wear does not keep its pace."""

LIMIT_SD = 0.08
"""Machines do not fail at one level: the limit itself is so unsure, in severity."""

FEWEST = 6
MOST = 512
LONGEST = 20.0
"""Times of the median are looked at up to so many times the line's own time."""

_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Calibration:
    """What makes the line's probabilities come true, fitted on machines that ran to failure.

    ``slope`` and ``intercept`` of the log odds (``metrics.calibration.Platt``); ``low`` and ``high``: the line's own
    probabilities at which the interval of the remaining life begins and ends, ``middle`` that of its median.
    """

    slope: float = 1.0
    intercept: float = 0.0
    low: float = 0.05
    middle: float = 0.5
    high: float = 0.95

    def __post_init__(self) -> None:
        numbers = (self.slope, self.intercept, self.low, self.middle, self.high)
        if not all(map(math.isfinite, numbers)) or not 0 < self.low <= self.middle <= self.high < 1:
            raise ModelError("wear model: its numbers do not fit together; teach it anew")

    def save(self, path: Path) -> None:
        """Write the numbers to a file (.npz, no pickle in it)."""
        arrays: dict[str, Any] = {name: np.array(value) for name, value in vars(self).items()}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a file that ``save`` wrote; its card must speak of it. Raises ModelError."""
        raw = read_limited(path, _MAX_FILE_BYTES, "wear model")
        if hashlib.sha256(raw).hexdigest() != read_card(card_path(path)).digest:
            raise ModelError(
                f"{path}: is not the file its card speaks of (its SHA-256 differs); teach it anew"
            )
        try:
            file = read_npz(raw, str(path), 8 * _MAX_FILE_BYTES)
            return cls(
                **{name: float(file[name]) for name in ("slope", "intercept", "low", "middle", "high")}
            )
        except (InputError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: not a readable wear model ({error})") from error


@dataclass(frozen=True)
class Outlook:
    """What is to come: ``line_probability`` that the limit is reached within the horizon by the line alone,
    ``probability`` the calibrated one; hours that remain (low, median, high), infinite where no end is in sight."""

    line_probability: float
    probability: float
    remaining_h: tuple[float, float, float]


class WearTrend:
    """Keeps severities (0 as new, 1 at the limit) by running hours, and draws the line.

    The time at which a line with uncertain slope reaches the limit has a distribution in closed form: it is there
    by t with the probability that level + slope t exceeds 1, the slope being normal (N. Gebraeel et al., IIE
    Transactions 37 (2005), with the severity as the logarithm of the signal).
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self._calibration = calibration or Calibration()
        self.reset()

    def reset(self) -> None:
        """Forget: another machine, or the same repaired."""
        self._hours: list[float] = []
        self._severity: list[float] = []
        self._every, self._skipped = 1, 0

    def push(self, hours: float, severity: float) -> None:
        """Take a severity. Hours that do not rise are left out; of a long life every second one is kept, and so on."""
        if self._hours and hours <= self._hours[-1]:
            return
        self._skipped += 1
        if self._skipped < self._every and severity < 0.5:
            return
        self._skipped = 0
        self._hours.append(hours)
        self._severity.append(severity)
        if len(self._hours) > MOST:
            self._hours, self._severity = self._hours[::2], self._severity[::2]
            self._every *= 2

    def outlook(self, horizon_h: float) -> Outlook | None:
        """Return what is to come; None where too little has been seen to draw anything."""
        if len(self._hours) < FEWEST:
            return None
        hours, severity = np.array(self._hours), np.array(self._severity)
        calm = np.flatnonzero(_smooth(severity) < ONSET)
        start = int(calm[-1]) + 1 if len(calm) else 0
        since = len(hours) - start
        if since < FEWEST:
            return self._told(np.zeros_like, 1.0, horizon_h)
        used = max(FEWEST, int(RECENT * since))
        x, y = hours[-used:] - hours[-1], severity[-used:]
        level, slope, spread, level_sd, slope_sd = _line(x, y)

        def reached(t: NDArray[np.float64]) -> NDArray[np.float64]:
            unsure = np.sqrt(LIMIT_SD**2 + spread**2 / 4 + level_sd**2 + (t * slope_sd) ** 2)
            return np.asarray(ndtr((level + slope * t - 1.0) / unsure), dtype=np.float64)

        scale = (
            max(1e-3, (1 - level) / slope) if slope > 0 and level < 1 else max(1e-3, 0.1 * float(np.ptp(x)))
        )
        return self._told(reached, scale, horizon_h)

    def _told(
        self, reached: Callable[[NDArray[np.float64]], NDArray[np.float64]], scale: float, horizon_h: float
    ) -> Outlook:
        calibration = self._calibration
        line = float(np.clip(reached(np.array([horizon_h]))[0], 1e-6, 1 - 1e-6))
        odds = calibration.slope * math.log(line / (1 - line)) + calibration.intercept
        times = np.concatenate([[0.0], np.geomspace(scale / 100, scale * LONGEST, 300)])
        shares = np.maximum.accumulate(reached(times))
        low, middle, high = (
            float(times[np.searchsorted(shares, q)]) if shares[-1] >= q else math.inf
            for q in (calibration.low, calibration.middle, calibration.high)
        )
        return Outlook(line, 1 / (1 + math.exp(-odds)), (low, middle, high))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Level at the end, slope, spread about the line, and the standard errors of level and slope."""
    centre = float(x.mean())
    square = float(((x - centre) ** 2).sum())
    slope = float(((x - centre) * (y - y.mean())).sum() / square)
    level = float(y.mean()) - slope * centre
    rest = y - (level + slope * x)
    spread = float(np.sqrt((rest**2).sum() / max(1, len(x) - 2))) + 1e-3
    return (
        level,
        slope,
        spread,
        spread * math.sqrt(1 / len(x) + centre**2 / square),
        spread / math.sqrt(square),
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of up to five values, each with its two neighbours on both sides."""
    padded = np.pad(values, 2, mode="edge")
    return np.convolve(padded, np.full(5, 0.2), mode="valid")
