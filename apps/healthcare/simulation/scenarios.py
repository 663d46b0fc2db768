"""Scripts of a simulated heart: what may be asked of it, and the ones that ship. Descriptions only, no samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RhythmName = Literal["N", "PVC", "RUN", "AFIB", "VT", "VFL", "VF", "ASYS"]
"""Sinus rhythm, sinus with PVCs, sinus with runs of four PVCs, atrial fibrillation, VT, ventricular flutter and
fibrillation, asystole.
"""

LEAD_AXES: dict[str, tuple[float, float, float]] = {
    "I": (1.0, 0.0, 0.0),
    "II": (0.50, 0.87, 0.0),
    "III": (-0.50, 0.87, 0.0),
    "V1": (-0.35, 0.10, 0.90),
    "V2": (0.10, 0.10, 0.95),
    "V5": (0.85, 0.20, -0.35),
}
"""Directions of the leads: x to the patient's left, y to the feet, z to the front."""


@dataclass(frozen=True)
class Segment:
    """One rhythm for a while. ``rate_bpm`` means nothing for VF and asystole."""

    rhythm: RhythmName
    duration_s: float
    rate_bpm: float = 72.0


@dataclass(frozen=True)
class Noise:
    """How much of each disturbance lies under the whole recording; amplitudes in mV."""

    baseline_mv: float = 0.08
    mains_mv: float = 0.01
    mains_hz: float = 50.0
    muscle_mv: float = 0.008


@dataclass(frozen=True)
class Artefact:
    """Something that happens to one lead, or to all (``lead`` None), for a while.

    ``motion``: large slow swings with steps, as when a patient turns. ``muscle``: tremor.
    ``lead_off``: the amplifier stands at ``LEAD_OFF_MV``. ``flat``: an exact constant, as of a dead channel.
    ``faint``: next to nothing of the heart comes through, as of electrodes that have dried and
    still count as connected. ``missing``: the device sends no value (NaN).
    """

    kind: Literal["motion", "muscle", "lead_off", "flat", "missing", "faint"]
    start_s: float
    end_s: float
    lead: str | None = None


@dataclass(frozen=True)
class Scenario:
    """A script: rhythms one after the other, noise under all of it, artefacts at their times."""

    segments: tuple[Segment, ...]
    noise: Noise = field(default_factory=Noise)
    artefacts: tuple[Artefact, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long the whole script lasts."""
        return sum(segment.duration_s for segment in self.segments)


SCENARIOS: dict[str, Scenario] = {
    "stable": Scenario((Segment("N", 14, 72), Segment("PVC", 16, 76))),
    "vt_into_vf": Scenario(
        (Segment("N", 6, 82), Segment("VT", 7, 180), Segment("VF", 9), Segment("N", 6, 88))
    ),
    "asystole": Scenario((Segment("N", 6.5, 64), Segment("ASYS", 8), Segment("N", 5.5, 58))),
    "lead_off": Scenario(
        (Segment("N", 20, 75),),
        artefacts=(Artefact("motion", 4.0, 5.0), Artefact("lead_off", 5.0, 13.0)),
    ),
    "faint_leads": Scenario((Segment("N", 34, 72),), artefacts=(Artefact("faint", 20.0, 29.0),)),
    "pvc_runs": Scenario((Segment("N", 15, 72), Segment("RUN", 25, 74), Segment("N", 5, 72))),
    "atrial_fibrillation": Scenario((Segment("N", 30, 76), Segment("AFIB", 60, 92))),
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
"""By name. The first seven become ``data_samples/`` (see ``samples.py``); ``rounds`` shows every rhythm."""
