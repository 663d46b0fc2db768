"""Simulated patients with their truth: vital signs over hours, with what sensors make of them, once a second.

Five courses: stable, sepsis, bleeding, respiratory failure, and a stable patient whose sensors suffer. How the signs
move together is that of textbooks (shock: rate up, pressure down; sepsis: temperature and breathing up first), not
fitted to any data. It shows that the alarms do what they say; what they are worth on people it cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Course = Literal["stable", "sepsis", "bleeding", "respiratory_failure", "artefacts"]
COURSES: tuple[Course, ...] = ("stable", "sepsis", "bleeding", "respiratory_failure", "artefacts")
DETERIORATING = frozenset({"sepsis", "bleeding", "respiratory_failure"})

SIGNS = ("heart_rate", "spo2", "respiration", "systolic", "diastolic", "mean_pressure", "temperature")

Floats = NDArray[np.float64]

# At its worst, what each course adds; how fast each sign goes, as the share of the way at which it begins.
_WORST: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "sepsis": {
        "heart_rate": (48.0, 0.1),
        "respiration": (14.0, 0.0),
        "temperature": (2.3, 0.0),
        "systolic": (-46.0, 0.35),
        "diastolic": (-26.0, 0.3),
        "spo2": (-6.0, 0.3),
    },
    "bleeding": {
        "heart_rate": (55.0, 0.0),
        "respiration": (10.0, 0.3),
        "systolic": (-52.0, 0.25),
        "diastolic": (-24.0, 0.35),
        "spo2": (-3.0, 0.6),
        "temperature": (-0.6, 0.5),
    },
    "respiratory_failure": {
        "respiration": (16.0, 0.0),
        "spo2": (-14.0, 0.15),
        "heart_rate": (34.0, 0.2),
        "systolic": (12.0, 0.2),
        "diastolic": (6.0, 0.2),
    },
}
_WAVER = {
    "heart_rate": 2.5,
    "spo2": 0.5,
    "respiration": 1.0,
    "systolic": 4.0,
    "diastolic": 2.5,
    "temperature": 0.05,
}
_NOISE = {
    "heart_rate": 0.8,
    "spo2": 0.4,
    "respiration": 0.8,
    "systolic": 1.5,
    "diastolic": 1.2,
    "temperature": 0.03,
}
_WAVER_OVER_S = 240.0


@dataclass(frozen=True)
class Disturbance:
    """Something that happened to a sensor, not to the patient."""

    kind: str
    start_s: int
    end_s: int


@dataclass(frozen=True)
class Patient:
    """One simulated patient, a row a second.

    ``truth`` holds the signs as they are, ``measured`` as the sensors give them (NaN: nothing), each (seconds,);
    ``pulse_rate`` there is the oximeter's own, and ``quality`` how far a sensor trusts itself (1 where it says
    nothing). ``consciousness`` (ACVPU as its place) is what a nurse would chart. ``onset_s``: when the deterioration
    begins; None: there is none.
    """

    course: Course
    seed: int
    truth: Mapping[str, Floats]
    measured: Mapping[str, Floats]
    quality: Mapping[str, Floats]
    consciousness: NDArray[np.int64]
    onset_s: int | None
    disturbances: tuple[Disturbance, ...]

    @property
    def duration_s(self) -> int:
        """How long it lasts."""
        return len(self.consciousness)


def simulate_patient(course: Course, seed: int, duration_s: int = 3 * 3600) -> Patient:
    """Play one patient. The same arguments give the same patient. Raises ValueError for an unknown course."""
    if course not in COURSES:
        raise ValueError(f"there is no course {course!r}; choose {', '.join(COURSES)}")
    if not 60 <= duration_s <= 24 * 3600:
        raise ValueError(f"a patient of {duration_s} s; it is 60 s to 24 h")
    rng = np.random.default_rng([COURSES.index(course), seed])
    base = _baseline(rng)
    onset_s: int | None = None
    way = np.zeros(duration_s)
    if course in DETERIORATING:
        onset_s = int(duration_s * rng.uniform(0.15, 0.3))
        lasts_s = duration_s * rng.uniform(0.35, 0.55)
        way = np.clip((np.arange(duration_s) - onset_s) / lasts_s, 0.0, 1.0)
    severity = rng.uniform(0.9, 1.15)
    truth: dict[str, Floats] = {}
    for sign, value in base.items():
        added = np.zeros(duration_s)
        if sign in _WORST.get(course, {}):
            worst, begins = _WORST[course][sign]
            added = severity * worst * _eased(np.clip((way - begins) / (1 - begins), 0.0, 1.0))
        truth[sign] = value + added + _wavering(_WAVER[sign], duration_s, rng)
    truth["spo2"] = np.clip(truth["spo2"], 50.0, 100.0)
    truth["respiration"] = np.maximum(truth["respiration"], 4.0)
    truth["diastolic"] = np.minimum(truth["diastolic"], truth["systolic"] - 18.0)
    truth["mean_pressure"] = truth["diastolic"] + (truth["systolic"] - truth["diastolic"]) / 3
    consciousness = np.where(way > 0.85, 1, 0).astype(np.int64)
    measured = {
        sign: values + rng.normal(0.0, _NOISE.get(sign, 1.0), duration_s) for sign, values in truth.items()
    }
    measured["spo2"] = np.clip(np.round(measured["spo2"]), 0.0, 100.0)
    measured["pulse_rate"] = truth["heart_rate"] + rng.normal(0.0, 1.5, duration_s)
    quality = {sign: np.full(duration_s, 0.95) for sign in ("heart_rate", "pulse_rate", "spo2")}
    a_day = 240.0 if course == "artefacts" else 48.0
    disturbances = _disturb(measured, quality, a_day, rng)
    return Patient(course, seed, truth, measured, quality, consciousness, onset_s, disturbances)


def _baseline(rng: np.random.Generator) -> dict[str, float]:
    systolic = float(np.clip(rng.normal(126, 7), 114, 146))
    return {
        "heart_rate": float(np.clip(rng.normal(74, 6), 60, 84)),
        "spo2": float(np.clip(rng.normal(97.5, 0.7), 96.5, 99)),
        "respiration": float(np.clip(rng.normal(15.5, 1.0), 14, 17.5)),
        "systolic": systolic,
        "diastolic": systolic * 0.6,
        "temperature": float(np.clip(rng.normal(36.9, 0.2), 36.5, 37.4)),
    }


def _eased(way: Floats) -> Floats:
    return way * way * (3 - 2 * way)


def _wavering(spread: float, count: int, rng: np.random.Generator) -> Floats:
    """Return a slow wandering about zero, of the spread given: noise through a first-order low-pass."""
    from scipy.signal import lfilter

    keep = float(np.exp(-1.0 / _WAVER_OVER_S))
    noise = rng.normal(0.0, spread * np.sqrt(1 - keep**2), count)
    start = rng.normal(0.0, spread)
    out, _ = lfilter([1.0], [1.0, -keep], noise, zi=[keep * start])
    return np.asarray(out)


_KINDS = (
    "probe off",
    "poor perfusion",
    "motion",
    "talking",
    "line flush",
    "line damped",
    "lead off",
    "cough",
)


def _disturb(
    measured: dict[str, Floats], quality: Mapping[str, Floats], a_day: float, rng: np.random.Generator
) -> tuple[Disturbance, ...]:
    """Do to the measured signs what happens at a bedside, so many times a day; return what was done.

    In a third of the motions the electrodes move as well as the finger. A sensor mostly notices, and not always.
    """
    count = len(measured["heart_rate"])
    done = []
    for _ in range(rng.poisson(a_day * count / 86_400)):
        kind = str(rng.choice(_KINDS))
        start_s = int(rng.integers(30, count - 10))
        length_s = int(rng.uniform(4, 45)) if kind != "lead off" else int(rng.uniform(20, 180))
        if kind in ("probe off", "line damped"):
            length_s = int(rng.uniform(20, 150))
        at = slice(start_s, min(count, start_s + length_s))
        n = len(range(*at.indices(count)))
        match kind:
            case "probe off":
                measured["spo2"][at] = measured["pulse_rate"][at] = np.nan
                tail = slice(max(0, start_s - 3), start_s)  # it slips off: a few low values first
                measured["spo2"][tail] = rng.uniform(55, 80)
            case "poor perfusion":
                measured["spo2"][at] = np.round(rng.uniform(62, 86) + rng.normal(0, 4, n))
                measured["pulse_rate"][at] *= rng.uniform(0.5, 1.6)
                quality["spo2"][at] = quality["pulse_rate"][at] = rng.uniform(0.1, 0.7)
            case "motion":
                measured["pulse_rate"][at] += rng.uniform(30, 90)
                quality["pulse_rate"][at] = quality["spo2"][at] = rng.uniform(0.1, 0.7)
                if rng.random() < 1 / 3:
                    measured["heart_rate"][at] += rng.uniform(30, 90)
                    quality["heart_rate"][at] = rng.uniform(0.2, 0.8)
                measured["spo2"][at] -= np.abs(rng.normal(0, 9, n)).round()
                measured["respiration"][at] += np.abs(rng.normal(8, 6, n))
            case "talking":
                measured["respiration"][at] = rng.uniform(2, 40, n)
            case "line flush":
                short = slice(start_s, min(count, start_s + int(rng.uniform(4, 12))))
                for sign, value in (("systolic", 300.0), ("diastolic", 296.0), ("mean_pressure", 298.0)):
                    measured[sign][short] = value
            case "line damped":
                middle = measured["mean_pressure"][at].copy()
                measured["systolic"][at], measured["diastolic"][at] = middle + 3, middle - 3
            case "lead off":
                measured["heart_rate"][at] = np.nan
                measured["respiration"][at] = np.nan
            case "cough":
                short = slice(start_s, min(count, start_s + int(rng.uniform(3, 12))))
                for sign in ("systolic", "diastolic", "mean_pressure"):
                    measured[sign][short] += rng.uniform(30, 70)
                measured["heart_rate"][short] += 15
        done.append(Disturbance(kind, start_s, min(count, start_s + length_s)))
    return tuple(sorted(done, key=lambda each: each.start_s))
