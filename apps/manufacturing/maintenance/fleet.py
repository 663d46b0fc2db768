"""Simulated machines run to their failure: what the analysis said on the way, and what came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.analysis import MachineAnalyzer, Models, Settings
from apps.manufacturing.maintenance.damage import BearingJudge
from apps.manufacturing.maintenance.decide import Code
from apps.manufacturing.maintenance.recording import MachineChunk
from apps.manufacturing.maintenance.wear import Calibration, WearTrend
from apps.manufacturing.simulation.machines import Machine, draw_machine, lifetime
from edgeai_core.app import Progress

RATE_HZ = 12_800.0
BURST_S = 0.4
EVERY_H = 12.0
"""Twice a day: what a battery lasts years for."""


@dataclass(frozen=True)
class Seen:
    """A machine's history: at each of ``hours`` (n,) its severity, the belief's words, and whether an alert stood."""

    machine: Machine
    hours: NDArray[np.float64]
    severity: NDArray[np.float64]
    probability: NDArray[np.float64]
    remaining_h: NDArray[np.float64]
    kind: tuple[str, ...]
    anomaly: NDArray[np.float64]
    alert: NDArray[np.bool_]


def run_fleet(
    numbers: range, judge: BearingJudge, calibration: Calibration, progress: Progress, horizon_h: float = 72.0
) -> Iterator[Seen]:
    """Run machines of these numbers, each from new to failed."""
    models = Models(judge, calibration)
    for done, number in enumerate(numbers, start=1):
        yield _run(draw_machine(number), models, Settings(horizon_h=horizon_h))
        progress("running machines", done, len(numbers))


def lines(seen: Seen, horizon_h: float) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Draw the lines of a history again: the line's probability of a failure within the horizon, whether it came, and
    the line's probability at the true end, nan where no line was drawn."""
    trend = WearTrend(Calibration())
    within, came, at_end = [], [], []
    for hours, severity in zip(seen.hours, seen.severity, strict=True):
        if not np.isfinite(severity):
            continue
        trend.push(float(hours), float(severity))
        left = seen.machine.remaining_h(float(hours))
        outlook, at = trend.outlook(horizon_h), trend.outlook(left)
        if outlook is None or at is None:
            continue
        within.append(outlook.line_probability)
        came.append(left <= horizon_h)
        at_end.append(at.line_probability if np.isfinite(outlook.remaining_h[0]) else np.nan)
    return np.array(within), np.array(came, dtype=np.bool_), np.array(at_end)


def _run(machine: Machine, models: Models, settings: Settings) -> Seen:
    analyzer = MachineAnalyzer(models, replace(settings, machine=machine.name))
    rows: list[tuple[float, float, float, tuple[float, float, float], str, float, bool]] = []
    first = 0
    for block in lifetime(machine, EVERY_H, rate_hz=RATE_HZ, duration_s=BURST_S, channels=2):
        chunk = MachineChunk(
            block.vibration,
            RATE_HZ,
            ("radial", "axial"),
            block.slow,
            first,
            machine.name,
            burst=True,
            simulated=True,
        )
        first += len(block.vibration)
        for decision in analyzer.push(chunk):
            belief = analyzer.belief
            codes = {each.code for each in decision.conditions or ()}
            rows.append(
                (
                    float(block.slow["hours"]),
                    max(belief.severities.values(), default=np.nan),
                    np.nan if belief.failure_probability is None else belief.failure_probability,
                    belief.remaining or (np.inf, np.inf, np.inf),
                    belief.kind,
                    np.nan if belief.anomaly is None else belief.anomaly,
                    Code.MAINTENANCE_REQUIRED in codes,
                )
            )
    hours, severity, probability, remaining, kind, anomaly, alert = zip(*rows, strict=True)
    return Seen(
        machine,
        np.array(hours),
        np.array(severity),
        np.array(probability),
        np.array(remaining),
        tuple(kind),
        np.array(anomaly),
        np.array(alert),
    )
