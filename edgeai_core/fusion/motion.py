"""Motion models: where a state is a little later, with Jacobian and process noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class Motion(Protocol):
    """How states (n, d) move on."""

    def predict(self, mean: Floats, dt_s: float) -> tuple[Floats, Floats, Floats]:
        """Return the states after ``dt_s``, F (n, d, d) or (d, d), and Q, the noise added, of such a shape."""
        ...


@dataclass(frozen=True)
class ConstantVelocity:
    """Positions, their velocities, and numbers that hardly change: state (``axes`` + ``axes`` + ``static``).

    The acceleration is white noise of density ``acceleration_psd`` (m^2/s^3, one for all axes or one for each); each
    static number walks at random with density ``static_psd`` (its unit squared per second). Y. Bar-Shalom, X. R. Li
    and T. Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), section 6.2.2.
    """

    axes: int = 2
    acceleration_psd: float | tuple[float, ...] = 1.0
    static_psd: tuple[float, ...] = ()

    def predict(self, mean: Floats, dt_s: float) -> tuple[Floats, Floats, Floats]:
        """Return the states after ``dt_s``, F (d, d) and Q (d, d)."""
        f, q = _constant_velocity(self, dt_s)
        return mean @ f.T, f, q


@lru_cache(maxsize=256)
def _constant_velocity(model: ConstantVelocity, dt_s: float) -> tuple[Floats, Floats]:
    a, d = model.axes, 2 * model.axes + len(model.static_psd)
    place, speed = np.arange(a), np.arange(a, 2 * a)
    f, q = np.eye(d), np.zeros((d, d))
    f[place, speed] = dt_s
    psd = np.broadcast_to(np.asarray(model.acceleration_psd, dtype=np.float64), (a,))
    q[place, place] = psd * dt_s**3 / 3
    q[place, speed] = q[speed, place] = psd * dt_s**2 / 2
    q[speed, speed] = psd * dt_s
    if model.static_psd:
        rest = np.arange(2 * a, d)
        q[rest, rest] = np.asarray(model.static_psd) * dt_s
    f.flags.writeable = q.flags.writeable = False
    return f, q


@dataclass(frozen=True)
class ConstantTurn:
    """Constant turn rate and acceleration along the path: state x, y, vx, vy, turn rate, acceleration, then statics.

    The model CTRA of R. Schubert, E. Richter and G. Wanielik, "Comparison and evaluation of advanced motion models for
    vehicle tracking" (FUSION 2008), written for velocities instead of speed and heading: a state without speed has
    no heading to be wrong about, and shares its coordinates with ``ConstantVelocity`` for mixing.
    ``turns`` and ``accelerates`` switch either part off: then it decays to nothing at once, which with both off is
    constant velocity in the same coordinates. ``rides`` is the index of a static angle that turns along, or None.
    Noise densities: sideways and along the path (m^2/s^3), turn rate (rad^2/s^3), acceleration (m^2/s^5).
    """

    acceleration_psd: float = 0.5
    turn_rate_psd: float = 0.05
    jerk_psd: float = 1.0
    static_psd: tuple[float, ...] = ()
    turns: bool = True
    accelerates: bool = True
    rides: int | None = None
    still_mps: float = 0.5
    """Below about this speed the direction is not known, and the acceleration acts along none."""

    def predict(self, mean: Floats, dt_s: float) -> tuple[Floats, Floats, Floats]:
        """Return the states after ``dt_s``, F (n, d, d) and Q (d, d)."""
        v = mean[:, 2] + 1j * mean[:, 3]
        turn = mean[:, 4] if self.turns else np.zeros(len(mean))
        push = mean[:, 5] if self.accelerates else np.zeros(len(mean))
        soft = np.sqrt(v.real**2 + v.imag**2 + self.still_mps**2)
        u = v / soft
        rotate, s0, s1, d0, d1 = _arcs(turn, dt_s)
        moved = mean.copy()
        step = v * s0 + push * u * s1
        faster = v + push * dt_s * u
        new_v = faster * rotate
        moved[:, 0] += step.real
        moved[:, 1] += step.imag
        moved[:, 2], moved[:, 3] = new_v.real, new_v.imag
        moved[:, 4] = turn
        moved[:, 5] = push
        f = np.zeros((len(mean), mean.shape[1], mean.shape[1]))
        diagonal = np.arange(mean.shape[1])
        f[:, diagonal, diagonal] = 1.0
        for column, unit in ((2, 1.0 + 0j), (3, 1j)):  # by vx, vy
            du = unit / soft - u * (mean[:, column] / soft**2)
            by = unit * s0 + push * du * s1
            f[:, 0, column], f[:, 1, column] = by.real, by.imag
            by = (unit + push * dt_s * du) * rotate
            f[:, 2, column], f[:, 3, column] = by.real, by.imag
        if self.turns:
            by = v * d0 + push * u * d1
            f[:, 0, 4], f[:, 1, 4] = by.real, by.imag
            by = faster * rotate * 1j * dt_s
            f[:, 2, 4], f[:, 3, 4] = by.real, by.imag
        else:
            f[:, 4, 4] = 0.0
        if self.accelerates:
            by = u * s1
            f[:, 0, 5], f[:, 1, 5] = by.real, by.imag
            by = dt_s * u * rotate
            f[:, 2, 5], f[:, 3, 5] = by.real, by.imag
        else:
            f[:, 5, 5] = 0.0
        if self.rides is not None:
            moved[:, self.rides] += turn * dt_s
            f[:, self.rides, 4] = dt_s if self.turns else 0.0
        return moved, f, _turn_noise(self, mean.shape[1], dt_s)


def _arcs(turn: Floats, t: float) -> tuple[Complexes, Complexes, Complexes, Complexes, Complexes]:
    """Return e^{iwt}, its integrals from 0 to t of 1 and tau, and their derivatives by w.

    Near w = 0 the closed forms lose all their digits, so there the power series stands in.
    """
    x: Complexes = np.asarray(1j * turn * t, dtype=np.complex128)
    small = np.abs(x) < 1e-2
    safe = np.where(small, 1.0, x)
    e: Complexes = np.exp(x)
    es = np.exp(safe)
    s0: Complexes = np.where(small, 1 + x / 2 + x**2 / 6 + x**3 / 24, (es - 1) / safe)
    s1: Complexes = np.where(small, 0.5 + x / 3 + x**2 / 8 + x**3 / 30, (es * (safe - 1) + 1) / safe**2)
    s2: Complexes = np.where(
        small, 1 / 3 + x / 4 + x**2 / 10 + x**3 / 36, (es * (safe**2 - 2 * safe + 2) - 2) / safe**3
    )
    # d/dw of integral tau^k e^{iw tau} is i times the integral of tau^(k+1) e^{iw tau}
    return e, t * s0, t**2 * s1, 1j * t**2 * s1, 1j * t**3 * s2


@lru_cache(maxsize=256)
def _turn_noise(model: ConstantTurn, d: int, dt_s: float) -> Floats:
    q = np.zeros((d, d))
    place, speed = [0, 1], [2, 3]
    q[place, place] = model.acceleration_psd * dt_s**3 / 3
    q[place, speed] = q[speed, place] = model.acceleration_psd * dt_s**2 / 2
    q[speed, speed] = model.acceleration_psd * dt_s
    q[4, 4] = model.turn_rate_psd * dt_s
    q[5, 5] = model.jerk_psd * dt_s
    if model.static_psd:
        rest = np.arange(6, 6 + len(model.static_psd))
        q[rest, rest] = np.asarray(model.static_psd) * dt_s
    q.flags.writeable = False
    return q
