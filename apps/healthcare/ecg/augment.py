"""What electrodes, amplifiers and people do to a window: made at random in training, so that the network has met it.

Needs torch (extra ``train``). The noises are kept at three levels: light enough to read the rhythm
through (the label stays), heavy enough that nobody could (the label becomes noise), and none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt
from torch import Tensor

from apps.healthcare.ecg.rhythm import BAND_HZ, LONG, RATE_HZ

NOISE_SAMPLES = 4000
"""Length of one stretch of noise: 32 s."""

REACH = round(1.2 * LONG)
"""So many samples, up to a window's end, are needed to play it up to 1.2 times as fast."""

MOTION_STRETCHES, MUSCLE_STRETCHES = 60, 20

LIGHT_NOISE_SHARE, HEAVY_NOISE_SHARE = 0.3, 0.06
PACING_SHARE = 0.1
CLIPPING_SHARE = 0.08
INVERSION_SHARE = 0.35


class Augmentation:
    """Draws from its own generator, so a seed gives the same windows; noise is made here or recorded.

    ``recorded``: stretches labelled noise, (samples, leads) mV, of training records only.
    """

    def __init__(self, recorded: Sequence[NDArray[np.float32]], seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        random = np.random.default_rng(seed)
        made: list[NDArray[np.floating]] = []
        made += [_motion(random) for _ in range(MOTION_STRETCHES)]
        made += [_muscle(random) for _ in range(MUSCLE_STRETCHES)]
        self._made = len(made)
        for stretch in recorded:
            for start in range(0, len(stretch) - NOISE_SAMPLES + 1, NOISE_SAMPLES):
                made.append(stretch[start : start + NOISE_SAMPLES, random.integers(stretch.shape[1])])
        self._noises = torch.from_numpy(np.stack(made).astype(np.float32))

    def __call__(self, ecg: Tensor, pace: Tensor, delicate: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, leads, REACH) mV -> (batch, leads, LONG) altered, and (batch,) bool: where only noise is seen now.

        ``pace``, (batch,) up to ``REACH / LONG``: how much faster a window shall run, about its end.
        ``delicate``, (batch,) bool, marks windows in which light noise has to be lighter: VF is easily hidden.
        """
        ecg = _at_pace(ecg, pace)
        batch, leads, samples = ecg.shape
        size = ecg.std(2, keepdim=True).clamp(min=0.02)
        time_s = torch.arange(samples) / RATE_HZ
        ecg = ecg + size * self._pacing(batch, leads, time_s)
        light = (self._uniform(batch, 1, 1) < LIGHT_NOISE_SHARE) * self._uniform(batch, leads, 1)
        limit = torch.where(delicate[:, None, None], 0.4, 0.8)
        ecg = ecg + size * light * limit * self._noise(batch, leads, samples, recorded=True)
        ecg = ecg + size * self._hum(batch, leads, time_s)
        heavy = self._uniform(batch) < HEAVY_NOISE_SHARE
        load = heavy[:, None, None] * self._uniform(batch, leads, 1, low=2.5, high=6.0)
        ecg = ecg + size * load * self._noise(batch, leads, samples, recorded=False)
        rail = size * self._uniform(batch, leads, 1, low=0.8, high=2.5)
        clipped = torch.maximum(torch.minimum(ecg, rail), -rail)
        ecg = torch.where(self._uniform(batch, leads, 1) < CLIPPING_SHARE, clipped, ecg)
        size = self._uniform(batch, 1, 1, low=-0.6, high=0.6) + self._uniform(
            batch, leads, 1, low=-0.3, high=0.3
        )
        sign = torch.where(self._uniform(batch, leads, 1) < INVERSION_SHARE, -1.0, 1.0)
        return ecg * torch.exp(size) * sign, heavy

    def chance(self, count: int, share: float) -> Tensor:
        """(count,) bool, true with the given probability."""
        return self._uniform(count) < share

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=self._generator) * (high - low) + low

    def _pacing(self, batch: int, leads: int, time_s: Tensor) -> Tensor:
        """Spikes of a pacemaker at 54 to 114 a minute with the amplifier's recovery, in some windows.

        A pacemaker goes on pacing through VF; its spikes must not pass for beats.
        """
        rate_hz = self._uniform(batch, 1, 1, low=0.9, high=1.9)
        phase = time_s * rate_hz + self._uniform(batch, 1, 1)
        since_s = (phase - phase.floor()) / rate_hz
        spike = (since_s < 0.017) * self._uniform(batch, 1, 1, low=1, high=5)
        recovery = torch.exp(-since_s / self._uniform(batch, 1, 1, low=0.02, high=0.15))
        shape = spike - recovery * self._uniform(batch, 1, 1, low=0, high=2)
        sign = torch.where(self._uniform(batch, leads, 1) < 0.5, -1.0, 1.0)
        here = self._uniform(batch, 1, 1) < PACING_SHARE
        return here * shape * sign * self._uniform(batch, leads, 1, low=0.3, high=1)

    def _noise(self, batch: int, leads: int, samples: int, *, recorded: bool) -> Tensor:
        count = len(self._noises) if recorded else self._made
        which = torch.randint(count, (batch, leads, 1), generator=self._generator)
        start = torch.randint(NOISE_SAMPLES - samples, (batch, 1, 1), generator=self._generator)
        noise = self._noises[which, start + torch.arange(samples)]
        noise = noise - noise.mean(2, keepdim=True)
        return noise / (noise.std(2, keepdim=True) + 1e-3)

    def _hum(self, batch: int, leads: int, time_s: Tensor) -> Tensor:
        """Breathing, a tone (what is left of mains, or of another device) and white noise."""
        turn = 2 * math.pi
        breath_hz = self._uniform(batch, 1, 1, low=0.15, high=0.6)
        breath = torch.sin(turn * (breath_hz * time_s + self._uniform(batch, leads, 1)))
        tone_hz = self._uniform(batch, 1, 1, low=15, high=60)
        tone = torch.sin(turn * (tone_hz * time_s + self._uniform(batch, 1, 1)))
        white = torch.randn(batch, leads, len(time_s), generator=self._generator)
        return (
            (self._uniform(batch, 1, 1) < 0.4) * self._uniform(batch, leads, 1) ** 3 * breath
            + (self._uniform(batch, 1, 1) < 0.15) * 0.3 * self._uniform(batch, leads, 1) ** 2 * tone
            + (self._uniform(batch, 1, 1) < 0.4) * 0.4 * self._uniform(batch, leads, 1) ** 2 * white
        )


def _at_pace(ecg: Tensor, pace: Tensor) -> Tensor:
    """(batch, leads, REACH) -> (batch, leads, LONG): the end of each window, played faster or slower."""
    back = torch.arange(LONG - 1, -1, -1)[None] * pace[:, None]
    at = ((REACH - 1) - back).clamp(0, REACH - 1.001)
    below = at.floor().long()
    share = (at - below)[:, None]
    index = below[:, None].expand(-1, ecg.shape[1], -1)
    return ecg.gather(2, index) * (1 - share) + ecg.gather(2, index + 1) * share


def _motion(random: np.random.Generator) -> NDArray[np.float64]:
    """An electrode that moves: slow noise in bursts, its wander, and steps where it slips."""
    corner = butter(1, random.uniform(1, 8), fs=RATE_HZ, output="sos")
    noise = np.asarray(sosfilt(corner, random.standard_normal(NOISE_SAMPLES)))
    noise = np.cumsum(noise) * random.choice([0.0, 0.05, 0.2]) + 3 * noise
    noise *= _bursts(random, 40, 0.6)
    steps = np.zeros(NOISE_SAMPLES)
    steps[random.integers(0, NOISE_SAMPLES, 15)] = 8 * noise.std() * random.standard_normal(15)
    return _in_band(noise + np.cumsum(steps) * random.choice([0.0, 1.0]))


def _muscle(random: np.random.Generator) -> NDArray[np.float64]:
    """Muscle: noise from 5 or more hertz up, in bursts."""
    band = butter(2, [random.uniform(5, 15), 50], "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(band, random.standard_normal(NOISE_SAMPLES))) * _bursts(random, 60, 1.0)


def _bursts(random: np.random.Generator, count: int, shape: float) -> NDArray[np.float64]:
    at = np.linspace(0, NOISE_SAMPLES, count)
    return np.asarray(np.interp(np.arange(NOISE_SAMPLES), at, random.gamma(shape, 1, count)))


def _in_band(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    band = butter(2, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(band, noise))
