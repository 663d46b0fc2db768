"""What the page draws of a machine: small enough for once a second."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from apps.manufacturing.maintenance.analysis import MachineAnalyzer
from apps.manufacturing.maintenance.bearing import ORDERS
from apps.manufacturing.maintenance.decide import MaintenanceOutput

SPECTRUM_POINTS = 250
ENVELOPE_TO_ORDER = 12.0


def picture(analyzer: MachineAnalyzer, output: MaintenanceOutput) -> Mapping[str, object]:
    """Return health, remaining life, trends, the velocity spectrum and the envelope spectrum with its lines."""
    belief = analyzer.belief
    shown: dict[str, object] = {
        "machine": output.machine,
        "status": output.status,
        "health_index": _plain(output.health_index),
        "failure_probability": _plain(output.failure_probability),
        "remaining": [_plain(value) for value in (belief.remaining or (None, None, None))],
        "remaining_unit": output.remaining_unit,
        "fault": output.fault,
        "fault_probability": _plain(output.fault_probability),
        "basis": belief.basis,
        "anomaly": _plain(output.anomaly),
        "zone": output.zone,
        "velocity_mm_s": _plain(output.velocity_mm_s),
        "hours": _plain(output.hours),
        "learning": round(output.learning, 3),
        "slow": {
            name: _plain(value) for name, value in belief.slow.items() if not name.startswith(("s", "cycle"))
        },
        "trends": {trend.name: _plain(trend.per_hour) for trend in belief.trends},
        "troubles": list(belief.troubles),
        "simulated": output.simulated,
        "time_s": round(output.time_s, 3),
    }
    if belief.seen is not None:
        spectrum = belief.seen.velocity_spectrum_mm_s
        shown["spectrum_mm_s"] = _peaks(spectrum)
        shown["spectrum_to_hz"] = len(spectrum)
        shown["crest"], shown["kurtosis"] = round(belief.seen.crest, 2), round(belief.seen.kurtosis, 2)
        shown["speed_hz"] = _plain(belief.slow.get("rpm", math.nan) / 60)
        if analyzer.evidence.heard_s:
            envelope = analyzer.evidence.spectrum[ORDERS <= ENVELOPE_TO_ORDER]
            shown["envelope"] = _peaks(envelope, math.ceil(len(envelope) / SPECTRUM_POINTS))
            shown["envelope_orders"] = [float(ORDERS[0]), ENVELOPE_TO_ORDER]
            shown["lines"] = {name: round(order, 3) for name, order in analyzer.lines.items()}
    return shown


def _peaks(values: np.ndarray, step: int = 4) -> list[float]:
    """The largest of every few values, so that no line is lost."""
    whole = values[: len(values) // step * step].reshape(-1, step)
    return [float(f"{value:.3g}") for value in whole.max(axis=1)]


def _plain(value: float | None) -> float | None:
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None
