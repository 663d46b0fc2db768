"""Levels, lines, trends and the model of a machine's life -> one belief about its health."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from apps.manufacturing.maintenance.damage import Verdict
from apps.manufacturing.maintenance.vibration import ZONES_MM_S, Indicators, MachineClass

HIGH_LIMIT_RATIO = 10.0
"""High-frequency acceleration at the limit, in multiples of the usual: 20 dB."""

TEMPERATURE_LIMIT_C = 90.0
"""A bearing's housing at its limit, where the configuration names no other (greases age fast above it)."""

KIND_FROM = 0.25
"""Below this severity there is nothing to name."""

UNUSUAL_LOG = math.log(1.6)
"""A level this much above the usual has risen (4 dB)."""


@dataclass(frozen=True)
class Trend:
    """The change of a slow quantity in units an hour, over what is remembered."""

    name: str
    value: float
    per_hour: float


@dataclass(frozen=True)
class Belief:
    """What is known of a machine at ``time_s``; None: cannot be told now.

    ``remaining`` (low, median, high) is in ``remaining_unit``: hours, or cycles; infinite where no end is in sight.
    ``learning``: the share of the baseline that is learnt.
    """

    time_s: float
    hours: float | None = None
    failure_probability: float | None = None
    health_index: float | None = None
    severities: Mapping[str, float] = field(default_factory=dict)
    remaining: tuple[float, float, float] | None = None
    remaining_unit: str = "h"
    kind: str = "none"
    kind_probability: float | None = None
    basis: str = ""
    anomaly: float | None = None
    learning: float = 0.0
    seen: Indicators | None = None
    slow: Mapping[str, float] = field(default_factory=dict)
    trends: tuple[Trend, ...] = ()
    troubles: tuple[str, ...] = ()
    judged: bool = False


class SlowTrend:
    """The slope of one quantity by hours, with a memory that fades: weighted least squares, kept as five sums."""

    def __init__(self, memory_h: float = 24.0) -> None:
        self._memory_h = memory_h
        self._sums = np.zeros(5)
        self._last_h: float | None = None

    def push(self, hours: float, value: float) -> float | None:
        """Take a value; give its change an hour, None before there is any."""
        if not math.isfinite(value):
            return None
        if self._last_h is not None:
            gone = max(0.0, hours - self._last_h)
            fade = math.exp(-gone / self._memory_h)
            w, x, y, xx, xy = self._sums  # hours count back from now: move them on
            self._sums = fade * np.array([w, x - gone * w, y, xx - 2 * gone * x + gone**2 * w, xy - gone * y])
        self._last_h = hours
        self._sums += np.array([1.0, 0.0, value, 0.0, 0.0])
        w, x, y, xx, xy = self._sums
        square = w * xx - x * x
        return float((w * xy - x * y) / square) if square > 1e-9 else None


class Severity:
    """How near each level is to its limit: 0 as learnt, 1 at the limit, by the logarithm of vibration."""

    def __init__(self, machine_class: MachineClass, temperature_limit_c: float = TEMPERATURE_LIMIT_C) -> None:
        self._limit_mm_s = ZONES_MM_S[machine_class][2]
        self._temperature_limit_c = temperature_limit_c
        self._usual: dict[str, float] = {}
        self._first: dict[str, list[float]] = {}
        self._smooth: dict[str, float] = {}
        self._pressures: list[float] = []

    def learn(self, seen: Indicators | None, slow: Mapping[str, float]) -> None:
        """Take a healthy measurement."""
        if math.isfinite(pressure := slow.get("pressure_bar", math.nan)):
            self._pressures.append(pressure)
        for name, value in _levels(seen, slow).items():
            self._first.setdefault(name, []).append(value)
            self._usual[name] = float(np.median(self._first[name]))

    def __call__(self, seen: Indicators | None, slow: Mapping[str, float]) -> dict[str, float]:
        """Return the severity of each level that is known, smoothed over about three measurements."""
        found = {}
        for name, value in _levels(seen, slow).items():
            usual = self._usual.get(name)
            if usual is None:
                continue
            limit = {
                "velocity": math.log(self._limit_mm_s),
                "high_frequency": usual + math.log(HIGH_LIMIT_RATIO),
                "temperature": self._temperature_limit_c,
            }[name]
            room = max(limit - usual, 0.05 * abs(limit), 0.2)
            raw = min(2.0, max(0.0, (value - usual) / room))
            smooth = self._smooth.get(name, raw)
            self._smooth[name] = found[name] = smooth + 0.4 * (raw - smooth)
        return found

    def rise(self, name: str, seen: Indicators, slow: Mapping[str, float]) -> float:
        """How far a level is above the usual, in its own terms; 0 where neither is known."""
        value, usual = _levels(seen, slow).get(name), self._usual.get(name)
        return 0.0 if value is None or usual is None else value - usual

    @property
    def usual_pressure_bar(self) -> float:
        """The usual pressure; 0 where it is not known."""
        return float(np.median(self._pressures)) if self._pressures else 0.0


def name_kind(
    seen: Indicators, severity: Severity, slow: Mapping[str, float], verdict: Verdict | None, line_heard: bool
) -> tuple[str, float | None, str]:
    """Return the kind of fault, how surely, and what says so; "cannot tell" where nothing points to one.

    By the shares of what has risen: shaft orders against high frequencies (ISO 13373-3, annexes: imbalance shows at
    1x, misalignment at 2x and axially; bearings and cavitation above 1 kHz, the one with lines, the other without).
    """
    velocity_rise = severity.rise("velocity", seen, slow)
    high_rise = severity.rise("high_frequency", seen, slow)
    one, two, three = (square**2 for square in seen.orders_mm_s)
    total = max(seen.velocity_mm_s**2, 1e-12)
    if verdict is not None and line_heard and high_rise > UNUSUAL_LOG / 2:
        return verdict.kind, verdict.probability, verdict.basis
    if velocity_rise > UNUSUAL_LOG and velocity_rise >= high_rise and one + two + three > 0.5 * total:
        twice = (two + three) / (one + two + three)
        if twice > 0.5 or (twice > 0.25 and seen.axial_share > 0.6):
            return (
                "misalignment",
                min(0.95, 0.5 + twice / 2),
                f"{twice:.0%} of the shaft's vibration at 2x and 3x",
            )
        return "imbalance", min(0.95, 1 - twice), f"{one / total:.0%} of the vibration at the shaft's speed"
    if seen.sideband_ratio > 0.5 and seen.mesh_mm_s**2 > 0.3 * total:
        return "gear", min(0.95, seen.sideband_ratio), "sidebands beside the gear mesh"
    if high_rise > UNUSUAL_LOG:
        usual_bar = severity.usual_pressure_bar
        if usual_bar and slow.get("pressure_bar", usual_bar) < 0.97 * usual_bar:
            return "cavitation", 0.8, "noise above 1 kHz while the pressure falls"
        if verdict is not None:
            return verdict.kind, verdict.probability, verdict.basis
    return "cannot tell", None, "nothing that has risen points to one kind"


def health(severities: Mapping[str, float]) -> float:
    """Return the health index: 1 as learnt, 0 at a limit."""
    return 1.0 - min(1.0, max(severities.values(), default=0.0))


def _levels(seen: Indicators | None, slow: Mapping[str, float]) -> dict[str, float]:
    found = {}
    if seen is not None:
        found["velocity"] = math.log(max(seen.velocity_mm_s, 1e-3))
        found["high_frequency"] = math.log(max(seen.high_mps2, 1e-4))
    temperature = slow.get("temperature_c", math.nan)
    if math.isfinite(temperature):
        found["temperature"] = temperature
    return found
