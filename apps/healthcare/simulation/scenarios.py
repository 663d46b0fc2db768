"""The scripts that ship: what the demonstration plays and the tests know."""

from __future__ import annotations

from apps.healthcare.simulation.ecg import Scenario, Segment
from apps.healthcare.simulation.noise import Artefact, Noise

SCENARIOS: dict[str, Scenario] = {
    "stable": Scenario((Segment("N", 14, 72), Segment("PVC", 16, 76))),
    "vt_into_vf": Scenario(
        (Segment("N", 6, 82), Segment("VT", 7, 185), Segment("VF", 9), Segment("N", 6, 88))
    ),
    "asystole": Scenario((Segment("N", 6.5, 64), Segment("ASYS", 8), Segment("N", 5.5, 58))),
    "lead_off": Scenario(
        (Segment("N", 20, 75),),
        artefacts=(Artefact("motion", 4.0, 5.0), Artefact("lead_off", 5.0, 13.0)),
    ),
    "rounds": Scenario(
        (
            Segment("N", 20, 70),
            Segment("PVC", 15, 78),
            Segment("AFIB", 15, 95),
            Segment("N", 10, 74),
            Segment("VT", 9, 180),
            Segment("VF", 12),
            Segment("N", 20, 90),
            Segment("N", 15, 34),
            Segment("N", 15, 70),
            Segment("VFL", 8, 260),
            Segment("N", 15, 80),
            Segment("ASYS", 8),
            Segment("N", 20, 66),
        ),
        noise=Noise(baseline_mv=0.12, mains_mv=0.02, muscle_mv=0.012),
        artefacts=(Artefact("motion", 62.0, 64.0), Artefact("muscle", 20.0, 24.0, lead="II")),
    ),
}
"""By name. The first four become ``data_samples/`` (see ``samples.py``); ``rounds`` shows every rhythm."""
