"""Machines that wear, with truth: a simulation for demonstrations and tests, and it says that it is one.

A motor drives a pump. Each machine has one way to fail: wear begins at some hour and grows until the machine fails.
Impacts, resonances and modulations follow P. McFadden and J. Smith, Journal of Sound and Vibration 96 (1984), and
R. Randall and J. Antoni, Mechanical Systems and Signal Processing 25 (2011); the amounts are made up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.bearing import BEARINGS, Bearing
from apps.manufacturing.maintenance.recording import Block

KINDS = ("outer_race", "inner_race", "ball", "imbalance", "misalignment", "cavitation")
"""Ways in which a simulated machine fails."""

AMBIENT_C = 22.0
_RESONANCE_HZ = 3400.0
_VANES = 5
_FAILED_MPS = 0.0071
"""Velocity, RMS, at which a machine shaken by its shaft fails, give or take: the edge of zone D of a medium machine
on a flexible support (ISO 20816-3)."""


@dataclass(frozen=True)
class Machine:
    """One machine and its fate. Hours are running hours; it fails at ``failure_h``, of ``kind``.

    ``growth`` says how much faster wear grows at the end than at ``onset_h``, where it begins.
    """

    name: str
    kind: str
    onset_h: float
    failure_h: float
    growth: float = 3.0
    speed_rpm: float = 1770.0
    seed: int = 0

    def wear(self, hours: float) -> float:
        """Return the wear: 0 up to the onset, 1 at the failure."""
        share = (hours - self.onset_h) / (self.failure_h - self.onset_h)
        if share <= 0:
            return 0.0
        return float(math.expm1(self.growth * share) / math.expm1(self.growth))

    def remaining_h(self, hours: float) -> float:
        """Return the hours that are left."""
        return max(0.0, self.failure_h - hours)


def draw_machine(number: int, kind: str | None = None, *, life_h: float = 1200.0) -> Machine:
    """Return machine ``number`` of a fleet without end: the same number gives the same machine."""
    rng = np.random.default_rng([31, number])
    chosen = kind or KINDS[int(rng.integers(len(KINDS)))]
    failure = life_h * float(rng.weibull(3.0) * 0.9 + 0.35)
    onset = failure * float(rng.uniform(0.35, 0.75))
    growth, speed = float(rng.uniform(1.5, 4.0)), float(rng.uniform(1450, 1790))
    return Machine(f"machine-{number}", chosen, onset, failure, growth, speed, number)


def measure(
    machine: Machine,
    hours: float,
    *,
    rate_hz: float = 25_600.0,
    duration_s: float = 1.0,
    channels: int = 3,
    bearing: Bearing = BEARINGS["6205"],
) -> Block:
    """Return what the sensors give at ``hours``: vibration in m/s^2 (radial, axial, tangential) and slow values."""
    rng = np.random.default_rng([machine.seed, round(hours * 3600)])
    rough = float(np.random.default_rng([machine.seed, 7]).uniform(0.7, 1.4))  # no two machines shake alike
    strength = float(
        np.random.default_rng([machine.seed, 8]).lognormal(0.0, 0.15)
    )  # nor fails at the same level
    wear = strength * machine.wear(hours)
    shaft_hz = machine.speed_rpm / 60 * float(rng.normal(1.0, 0.002))
    count = round(duration_s * rate_hz)
    times_s = np.arange(count) / rate_hz + float(rng.uniform(0, 10))
    turning = 2 * np.pi * shaft_hz * times_s
    vibration = np.empty((count, channels), dtype=np.float32)
    shaft = _shaft_mps(machine.kind, wear, rough)
    extra = _impacts(machine.kind, wear, rng, times_s, shaft_hz, rate_hz, bearing)
    for channel in range(channels):
        share = (1.0, 0.6, 0.8)[channel % 3]
        axial = channel % 3 == 1 and machine.kind == "misalignment"
        phase = channel * np.pi / 2
        signal = 0.35 * rough * rng.standard_normal(count)
        for order, velocity in shaft.items():
            amplitude = math.sqrt(2) * velocity * 2 * math.pi * order * shaft_hz
            signal += (1.4 if axial else share) * amplitude * np.sin(order * turning + phase * order)
        vibration[:, channel] = signal + share * extra
    pressure = 4.2 + 0.02 * float(rng.standard_normal())
    if machine.kind == "cavitation":
        pressure += -0.9 * wear + 0.15 * wear * float(rng.standard_normal())
    slow = {
        "hours": hours,
        "rpm": shaft_hz * 60,
        "temperature_c": AMBIENT_C + 24 * rough**0.3 + 28 * wear + 0.4 * float(rng.standard_normal()),
        "pressure_bar": pressure,
        "current_a": 11.0 * (1 + 0.1 * wear) + 0.05 * float(rng.standard_normal()),
    }
    return Block(vibration, slow, duration_s)


def lifetime(
    machine: Machine, every_h: float, *, rate_hz: float, duration_s: float, channels: int, play_s: float = 1.0
) -> Iterator[Block]:
    """Give a measurement every so many hours until the failure; each takes ``play_s`` to play."""
    hours = every_h
    while hours < machine.failure_h:
        block = measure(machine, hours, rate_hz=rate_hz, duration_s=duration_s, channels=channels)
        yield Block(block.vibration, block.slow, play_s)
        hours += every_h


def _shaft_mps(kind: str, wear: float, rough: float) -> dict[float, float]:
    """RMS velocities in m/s by order of the shaft."""
    orders = {1.0: 0.0009 * rough, 2.0: 0.0003 * rough, float(_VANES): 0.0002 * rough}
    if kind == "imbalance":
        orders[1.0] += _FAILED_MPS * wear
    elif kind == "misalignment":
        orders[2.0] += 0.75 * _FAILED_MPS * wear
        orders[1.0] += 0.3 * _FAILED_MPS * wear
        orders[3.0] = 0.25 * _FAILED_MPS * wear
    return orders


def _impacts(
    kind: str,
    wear: float,
    rng: np.random.Generator,
    times_s: NDArray[np.float64],
    shaft_hz: float,
    rate_hz: float,
    bearing: Bearing,
) -> NDArray[np.float64]:
    """What a damaged bearing or a cavitating pump adds, in m/s^2."""
    count = len(times_s)
    if kind == "cavitation":
        noise = rng.standard_normal(count)
        envelope = 1 + 0.6 * np.sin(2 * np.pi * _VANES * shaft_hz * times_s)
        bursts = np.repeat(rng.gamma(0.7, 1.5, count // 64 + 1), 64)[:count]
        return np.asarray(2.2 * wear * noise * envelope * bursts)
    if kind not in ("outer_race", "inner_race", "ball"):
        return np.zeros(count)
    lines = bearing.lines
    order = {"outer_race": lines.bpfo, "inner_race": lines.bpfi, "ball": 2 * lines.bsf}[kind]
    modulation = {"outer_race": 0.0, "inner_race": 1.0, "ball": lines.ftf}[kind]
    out = np.zeros(count)
    ring = np.arange(int(0.004 * rate_hz)) / rate_hz
    decay = np.exp(-ring / 0.0008) * np.sin(2 * np.pi * min(_RESONANCE_HZ, 0.35 * rate_hz) * ring)
    at_s = times_s[0] + float(rng.uniform(0, 1 / (order * shaft_hz)))
    while at_s < times_s[-1]:
        size = 1.0 + (0.8 * math.cos(2 * math.pi * modulation * shaft_hz * at_s) if modulation else 0.0)
        start = int((at_s - times_s[0]) * rate_hz)
        piece = decay[: count - start]
        out[start : start + len(piece)] += size * float(rng.normal(1.0, 0.15)) * piece
        at_s += (1 / (order * shaft_hz)) * float(rng.normal(1.0, 0.01))
    return 18.0 * wear * out
