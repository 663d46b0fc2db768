"""Rolling bearings: the orders at which their damage is heard, and the evidence for it in what was heard so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeai_core.errors import InputError
from edgeai_core.signals.envelope import envelope_spectrum
from edgeai_core.signals.orders import order_spectrum, prominence

ORDERS = np.arange(15, 1700) / 100.0
"""Orders of the shaft at which an envelope is looked at: up to the third harmonic of most inner races."""


@dataclass(frozen=True)
class Lines:
    """Orders of the shaft: outer race, inner race, spin of a rolling element, cage.

    A damaged rolling element strikes both races, so it is heard at twice its spin.
    """

    bpfo: float
    bpfi: float
    bsf: float
    ftf: float


@dataclass(frozen=True)
class Bearing:
    """The geometry of a rolling bearing: lengths in one unit, whichever; the contact angle in degrees."""

    elements: int
    element_diameter: float
    pitch_diameter: float
    contact_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.element_diameter, self.pitch_diameter, self.contact_angle_deg)
        if not all(math.isfinite(size) for size in sizes) or not 3 <= self.elements <= 200:
            raise ValueError("a bearing has 3 to 200 rolling elements and lengths that are numbers")
        if not 0 < self.element_diameter < self.pitch_diameter or not 0 <= self.contact_angle_deg < 90:
            raise ValueError(
                "element_diameter must be above 0 and under pitch_diameter, contact_angle_deg from 0 to 90"
            )

    @property
    def lines(self) -> Lines:
        """The orders for an outer race that stands still: kinematics without slip (R. Randall and J. Antoni,
        Mechanical Systems and Signal Processing 25 (2011), equations 1 to 4)."""
        ratio = self.element_diameter / self.pitch_diameter * math.cos(math.radians(self.contact_angle_deg))
        return Lines(
            bpfo=self.elements / 2 * (1 - ratio),
            bpfi=self.elements / 2 * (1 + ratio),
            bsf=self.pitch_diameter / self.element_diameter / 2 * (1 - ratio**2),
            ftf=(1 - ratio) / 2,
        )


BEARINGS = {
    "6205": Bearing(9, 0.3126, 1.537),
    "6203": Bearing(8, 0.2656, 1.122),
}
"""Geometries in inches as published with the bearing data of Case Western Reserve University."""

LINE_NAMES = ("outer_1", "outer_2", "inner_1", "inner_2", "ball_1", "ball_2", "cage_1", "shaft_1")
"""What ``BearingEvidence.prominences`` gives, in this order."""


class BearingEvidence:
    """Adds up envelope spectra by order, so that what repeats rises out of what does not.

    The memory fades: after ``memory_stretches`` newer ones a stretch weighs 1/e. It begins anew with ``reset``.
    """

    def __init__(self, bearing: Bearing, memory_stretches: float = 60.0) -> None:
        if not memory_stretches > 0:
            raise InputError(f"a memory of {memory_stretches:g} stretches holds nothing; give more than 0")
        self._lines = bearing.lines
        self.memory_stretches = memory_stretches
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._sum = np.zeros(len(ORDERS))
        self.heard_s = 0.0
        """Seconds of signal in the memory."""

    def push(self, vibration: NDArray[np.floating], rate_hz: float, shaft_hz: float) -> None:
        """Take a stretch (n, channels) without gaps at a constant speed; the channels' evidence is added up."""
        duration_s = len(vibration) / rate_hz
        fade = math.exp(-1 / self.memory_stretches)
        added = np.zeros(len(ORDERS))
        for channel in range(vibration.shape[1]):
            frequencies, power = envelope_spectrum(vibration[:, channel], rate_hz)
            added += order_spectrum(frequencies, power, shaft_hz, ORDERS)
        self._sum = fade * self._sum + added
        self.heard_s = fade * self.heard_s + duration_s

    @property
    def spectrum(self) -> NDArray[np.float64]:
        """The envelope's power by ``ORDERS``, its median 1; zeros before anything was heard."""
        level = float(np.median(self._sum))
        return self._sum / level if level > 0 else self._sum

    def prominences(self) -> NDArray[np.float64]:
        """Give how far each of ``LINE_NAMES`` stands out (natural logarithm of power over its surroundings)."""
        lines = self._lines
        wanted = (
            lines.bpfo,
            2 * lines.bpfo,
            lines.bpfi,
            2 * lines.bpfi,
            2 * lines.bsf,
            4 * lines.bsf,
            lines.ftf,
            1.0,
        )
        return prominence(self._sum, ORDERS, wanted)
