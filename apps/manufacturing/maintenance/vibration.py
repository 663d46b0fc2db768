"""Condition indicators of a stretch of vibration: how much, how sharp, at which multiples of the shaft's speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.preprocess import Stretch
from edgeai_core.signals.spectra import velocity_spectrum

Zone = Literal["A", "B", "C", "D"]
MachineClass = Literal["large rigid", "large flexible", "medium rigid", "medium flexible"]

ZONES_MM_S: dict[MachineClass, tuple[float, float, float]] = {
    "large rigid": (2.3, 4.5, 7.1),
    "large flexible": (3.5, 7.1, 11.0),
    "medium rigid": (1.4, 2.8, 4.5),
    "medium flexible": (2.3, 4.5, 7.1),
}
"""Upper edges of zones A, B and C, velocity RMS in mm/s: ISO 20816-3 (and ISO 10816-3 before it), machines above
300 kW and from 15 to 300 kW, on rigid and flexible supports."""

VELOCITY_BAND_HZ = (10.0, 1000.0)
"""The band of the velocity (ISO 20816-3)."""

BAND_EDGES_HZ = np.geomspace(100.0, 5000.0, 25)
"""Bands in which the shape of a spectrum is described: in Hz, and within what every accepted rate carries well
from 12 kHz on, so that no sampling rate can be read from them. Bands a slower sensor does not reach repeat its last."""

HIGH_HZ = 1000.0
"""Above it, up to the last band's edge, is heard what strikes and hisses rather than turns."""

HARMONICS = (1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Indicators:
    """What a stretch shows; the worst usable channel counts for each.

    ``orders_mm_s``: velocity RMS at 1, 2 and 3 times the speed, zeros where it is not known; ``mesh_mm_s`` at the
    gear mesh with its sidebands. ``bands`` (24,): log10 of the mean square acceleration in each of the bands, mean
    over channels. ``velocity_spectrum_mm_s``: RMS per 1 Hz up to 1 kHz, for people.
    """

    velocity_mm_s: float
    zone: Zone
    acceleration_mps2: float
    high_mps2: float
    crest: float
    kurtosis: float
    orders_mm_s: tuple[float, float, float]
    axial_share: float
    mesh_mm_s: float
    sideband_ratio: float
    bands: NDArray[np.float64]
    velocity_spectrum_mm_s: NDArray[np.float64]


def indicators(
    stretch: Stretch,
    shaft_hz: float | None,
    machine_class: MachineClass = "medium flexible",
    *,
    gear_teeth: int = 0,
    axial_channel: int | None = None,
) -> Indicators | None:
    """Return the indicators of a stretch, None where no channel can be used."""
    samples = stretch.vibration[:, stretch.usable]
    if not samples.size:
        return None
    frequencies, squares = velocity_spectrum(samples, stretch.rate_hz)
    squares = squares * 1e6  # (mm/s)^2 in each bin
    in_band = (frequencies >= VELOCITY_BAND_HZ[0]) & (frequencies <= VELOCITY_BAND_HZ[1])
    velocity = float(np.sqrt(squares[in_band].sum(axis=0).max()))
    acceleration = squares * 1e-6 * (2 * np.pi * frequencies[:, None]) ** 2
    edges = np.searchsorted(frequencies, BAND_EDGES_HZ)
    filled = np.concatenate([np.zeros((1, samples.shape[1])), np.cumsum(acceleration, axis=0)])
    bands = filled[edges[1:]] - filled[edges[:-1]]
    high = filled[edges[-1]] - filled[np.searchsorted(frequencies, HIGH_HZ)]
    reached = edges[1:] < len(frequencies)
    if not reached.all() and reached.any():
        bands[~reached] = bands[reached][-1]
    rms = np.sqrt(np.mean(samples**2, axis=0))
    orders = _orders(frequencies, squares, shaft_hz)
    mesh, sidebands = _mesh(frequencies, squares, shaft_hz, gear_teeth)
    axial = _axial_share(orders, stretch, axial_channel)
    return Indicators(
        velocity_mm_s=velocity,
        zone=zone_of(velocity, machine_class),
        acceleration_mps2=float(rms.max()),
        high_mps2=float(np.sqrt(high.max())),
        crest=float((np.abs(samples).max(axis=0) / rms).max()),
        kurtosis=float((np.mean(samples**4, axis=0) / rms**4).max()),
        orders_mm_s=(float(orders[0].max()), float(orders[1].max()), float(orders[2].max())),
        axial_share=axial,
        mesh_mm_s=mesh,
        sideband_ratio=sidebands,
        bands=np.log10(np.mean(bands, axis=1) + 1e-12),
        velocity_spectrum_mm_s=_for_people(frequencies, squares),
    )


def zone_of(velocity_mm_s: float, machine_class: MachineClass) -> Zone:
    """Return the ISO 20816-3 zone of a velocity."""
    edges = ZONES_MM_S[machine_class]
    place = sum(velocity_mm_s > edge for edge in edges)
    return ("A", "B", "C", "D")[place]


def _orders(
    frequencies: NDArray[np.float64], squares: NDArray[np.float64], shaft_hz: float | None
) -> NDArray[np.float64]:
    """Velocity RMS (3, channels) at the harmonics of the shaft, within 3 % and two bins of each."""
    found = np.zeros((len(HARMONICS), squares.shape[1]))
    if shaft_hz is None:
        return found
    step = frequencies[1]
    for place, order in enumerate(HARMONICS):
        reach = max(0.03 * order * shaft_hz, 2 * step)
        near = np.abs(frequencies - order * shaft_hz) <= min(reach, 0.4 * shaft_hz)
        found[place] = np.sqrt(squares[near].sum(axis=0))
    return found


def _mesh(
    frequencies: NDArray[np.float64], squares: NDArray[np.float64], shaft_hz: float | None, teeth: int
) -> tuple[float, float]:
    """Velocity at the gear mesh, and its sidebands' share of it (a shaft's distance to both sides)."""
    if shaft_hz is None or not teeth:
        return 0.0, 0.0

    def near(centre_hz: float) -> float:
        reach = min(0.3 * shaft_hz, max(0.01 * centre_hz, 2 * frequencies[1]))
        return float(np.sqrt(squares[np.abs(frequencies - centre_hz) <= reach].sum(axis=0).max(initial=0.0)))

    mesh_hz = teeth * shaft_hz
    mesh = near(mesh_hz)
    sides = max(near(mesh_hz - shaft_hz), near(mesh_hz + shaft_hz))
    return mesh, sides / mesh if mesh > 0 else 0.0


def _axial_share(orders: NDArray[np.float64], stretch: Stretch, axial_channel: int | None) -> float:
    """Share of the axial channel in the shaft's vibration; 0 where none is named or it cannot be used."""
    if axial_channel is None or axial_channel >= len(stretch.usable) or not stretch.usable[axial_channel]:
        return 0.0
    place = int(np.count_nonzero(stretch.usable[:axial_channel]))
    total = float(np.sqrt((orders**2).sum()))
    return float(np.sqrt((orders[:, place] ** 2).sum())) / total if total > 0 else 0.0


def _for_people(frequencies: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    worst = squares[:, int(np.argmax(squares.sum(axis=0)))]
    place = np.floor(frequencies).astype(int)
    inside = (place >= 2) & (place < 1000)
    return np.sqrt(np.bincount(place[inside], worst[inside], minlength=1000))
