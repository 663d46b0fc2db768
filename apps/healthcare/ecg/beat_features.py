"""What a beat is like beside the beats before it: its timing, and its shape against the patient's own usual beat."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.healthcare.ecg.beats import MAX_LATENCY_S, Beats
from apps.healthcare.ecg.preprocess import WORKING_RATE_HZ, Clean

LONGEST_WAIT_S = 2.0
"""A beat is described when the next one is known, at the latest so long after it: a longer interval counts as this."""

MAX_DELAY_S = LONGEST_WAIT_S + MAX_LATENCY_S
"""A beat is described at most so long after its R peak."""

WAVE_HZ = 125.0
BEFORE_S, AFTER_S = 0.32, 0.44
WAVE_SAMPLES = round((BEFORE_S + AFTER_S) * WAVE_HZ)
"""A beat's wave, around its R peak."""

REMEMBERED = 48
"""The usual beat is sought among so many."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_AT = round(BEFORE_S * WAVE_HZ)


def _span(start_s: float, end_s: float) -> slice:
    return slice(_AT + round(start_s * WAVE_HZ), _AT + round(end_s * WAVE_HZ))


_P, _QRS, _T = _span(-0.26, -0.07), _span(-0.10, 0.12), _span(0.14, 0.42)
_WIDE = _span(-0.16, 0.20)
_SHIFTED = np.arange(-3, 4)[:, None] + np.arange(
    _QRS.start, _QRS.stop
)  # the QRS as much as 24 ms early and late
_ALIKE = 0.9
_EARLY = 0.88
_LEAST_REMEMBERED = 3
_SLOPE_SHARE = 0.2
_LEAST_MV = 0.02


@dataclass(frozen=True)
class Described:
    """Beats (k,) with what is known of each.

    ``rhythm`` (k, RHYTHM_FEATURES): logarithms of intervals over the patient's usual ones, and how irregular
    these are. ``shape`` (k, SHAPE_FEATURES): the leads' features pooled. ``waves`` (k, leads, 2, WAVE_SAMPLES):
    the beat and the patient's usual beat, in mV.
    """

    times_s: Doubles
    rhythm: Floats
    shape: Floats
    waves: Floats

    def __len__(self) -> int:
        return len(self.times_s)

    def __getitem__(self, chosen: slice) -> Described:
        return Described(self.times_s[chosen], self.rhythm[chosen], self.shape[chosen], self.waves[chosen])

    @classmethod
    def none(cls, leads: int) -> Described:
        """No beats."""
        return cls(
            np.empty(0),
            np.empty((0, RHYTHM_FEATURES), np.float32),
            np.empty((0, SHAPE_FEATURES), np.float32),
            np.empty((0, leads, 2, WAVE_SAMPLES), np.float32),
        )


class BeatDescriber:
    """Describes beats as they come, each with one interval of look-ahead, at most ``MAX_DELAY_S`` late.

    Leads are told apart by their place only; any number may come.
    """

    def __init__(self, leads: int) -> None:
        self._leads = leads
        self._signal = np.empty((0, leads))
        self._first = 0
        self._waiting: deque[float] = deque()
        self._times_s: deque[float] = deque(maxlen=64)
        self._rr: deque[float] = deque(maxlen=60)
        self._waves = np.zeros((0, leads, WAVE_SAMPLES))
        self._units = np.zeros((0, leads, _QRS.stop - _QRS.start))
        self._alike = np.zeros((0, 0))
        self._ratios = np.zeros((0, 2))

    def push(self, beats: Beats, clean: Clean, now_s: float) -> Described:
        """Take new beats and the clean samples up to ``now_s``; give what can be described now.

        Leads that are off say nothing; where all are, beats are forgotten undescribed.
        """
        if not len(self._signal):
            self._first = clean.first_index
        self._signal = np.concatenate([self._signal, clean.samples_mv])
        usable = np.flatnonzero(~clean.lead_off)
        out = []
        if len(usable):
            self._waiting.extend(beats.times_s.tolist())
            while (ready := self._ready(now_s)) is not None:
                self._waiting.popleft()
                out.append(self._describe(*ready, usable))
        else:
            self._waiting.clear()
            self._times_s.clear()
        self._forget(now_s)
        if not out:
            return Described.none(len(usable))
        times, rhythm, shape, waves = zip(*out, strict=True)
        return Described(
            np.array(times),
            np.array(rhythm, dtype=np.float32),
            np.array(shape, dtype=np.float32),
            np.array(waves, dtype=np.float32),
        )

    def _ready(self, now_s: float) -> tuple[float, float] | None:
        """The first waiting beat and the interval after it, where both are known."""
        if not self._waiting:
            return None
        at_s = self._waiting[0]
        if self._first + len(self._signal) < round((at_s + AFTER_S) * WORKING_RATE_HZ) + 4:
            return None
        if len(self._waiting) > 1:
            return at_s, min(self._waiting[1] - at_s, LONGEST_WAIT_S)
        return (at_s, LONGEST_WAIT_S) if now_s - at_s >= MAX_DELAY_S else None

    def _forget(self, now_s: float) -> None:
        """Let go of the signal that no beat, known or still to be found, lies in."""
        oldest_s = (self._waiting[0] if self._waiting else now_s - MAX_LATENCY_S) - BEFORE_S - 0.1
        drop = min(math.floor(oldest_s * WORKING_RATE_HZ) - self._first, len(self._signal))
        if drop > WORKING_RATE_HZ:
            self._signal = self._signal[drop:].copy()
            self._first += drop

    def _describe(
        self, at_s: float, post_s: float, usable: NDArray[np.intp]
    ) -> tuple[float, Doubles, Doubles, Floats]:
        wave = self._wave(at_s)
        pre_s = min(at_s - self._times_s[-1], LONGEST_WAIT_S) if self._times_s else math.nan
        self._times_s.append(at_s)
        if math.isfinite(pre_s):
            self._rr.append(pre_s)
        unit = _unit(wave[:, _QRS])
        alike = np.einsum("kls,ls->k", self._units[:, usable], unit[usable]) / len(usable)
        members = self._usual()
        usual = self._waves[members].mean(axis=0) if len(members) else wave
        rhythm, ratios = self._rhythm_features(pre_s, post_s, alike)
        features = _lead_features(
            wave[usable],
            usual[usable],
            self._waves[members][:, usable, _P],
            (self._waves[-1] if len(self._waves) else wave)[usable],
        )
        self._remember(wave, unit, alike, ratios)
        both = np.stack([wave[usable], usual[usable]], axis=1).astype(np.float32)
        return at_s, rhythm, _pooled(features), both

    def _wave(self, at_s: float) -> Doubles:
        places = (
            at_s * WORKING_RATE_HZ
            - self._first
            + (np.arange(WAVE_SAMPLES) - _AT) * (WORKING_RATE_HZ / WAVE_HZ)
        )
        places = np.clip(places, 0, len(self._signal) - 1.001)
        whole = places.astype(np.intp)
        part = (places - whole)[:, None]
        wave = (1 - part) * self._signal[whole] + part * self._signal[whole + 1]
        ordered = np.sort(wave, axis=0)
        return np.asarray((wave - ordered[len(ordered) // 2]).T)

    def _usual(self) -> NDArray[np.intp]:
        """The remembered beats that look like the commonest one; premature beats have less of a say in which it is."""
        if len(self._waves) < _LEAST_REMEMBERED:
            return np.empty(0, np.intp)
        weights = np.where(self._ratios[:, 0] < math.log(_EARLY), 0.3, 1.0)
        close = np.where(self._alike > _ALIKE, 1.0, 0.0) @ weights + 1e-3 * (self._alike @ weights)
        medoid = int(np.argmax(close * weights))
        return np.flatnonzero((self._alike[medoid] > _ALIKE) & (weights >= weights[medoid]))

    def _rhythm_features(
        self, pre_s: float, post_s: float, alike: Doubles
    ) -> tuple[Doubles, tuple[float, float]]:
        rr = np.array(self._rr)
        if len(rr) < 2:
            return np.zeros(RHYTHM_FEATURES), (0.0, 0.0)
        (local,) = _ranked(rr[-10:], 0.5)
        lower, usual, upper = _ranked(rr, 0.2, 0.5, 0.8)
        recent = np.log(rr[-5:-1][::-1] / usual)
        recent = np.concatenate([recent, np.zeros(4 - len(recent))])
        steps = np.abs(np.diff(np.log(rr)))
        pre, post = math.log(pre_s / usual), math.log(post_s / usual)
        near = alike > _ALIKE
        seen = near.sum()
        ratios = self._ratios[near]
        return np.array(
            [
                pre,
                post,
                math.log(pre_s / local),
                math.log(post_s / local),
                math.log(pre_s / upper),
                math.log(post_s / upper),
                math.log(pre_s / lower),
                math.log(pre_s / post_s),
                math.log((pre_s + post_s) / (2 * usual)),
                *recent,
                math.log(usual),
                math.log(pre_s),
                *_ranked(steps, 0.5),
                *_ranked(steps[-10:], 0.5),
                math.log(upper / usual),
                math.log(lower / usual),
                float((steps > 0.1).mean()),
                seen / max(1, len(alike)),
                float(ratios[:, 0].mean()) if seen else 0.0,
                float(ratios[:, 1].mean()) if seen else 0.0,
                *(_ranked(alike, 0.7) if len(alike) else (1.0,)),
                len(rr) / 60,
            ]
        ), (pre, post)

    def _remember(self, wave: Doubles, unit: Doubles, alike: Doubles, ratios: tuple[float, float]) -> None:
        n = len(self._waves)
        grown = np.ones((n + 1, n + 1))
        grown[:n, :n], grown[n, :n], grown[:n, n] = self._alike, alike, alike
        keep = slice(max(0, n + 1 - REMEMBERED), None)
        self._alike = grown[keep, keep]
        self._waves = np.concatenate([self._waves, wave[None]])[keep]
        self._units = np.concatenate([self._units, unit[None]])[keep]
        self._ratios = np.concatenate([self._ratios, np.array([ratios])])[keep]


RHYTHM_FEATURES = 25
LEAD_FEATURES = 17
SHAPE_FEATURES = 3 * LEAD_FEATURES
P_ALIKE = 2 * LEAD_FEATURES + 7
"""The place, in a beat's shape, of how alike the usual beats' P waves are, in the lead in which they are most."""


def _ranked(values: Doubles, *shares: float) -> tuple[float, ...]:
    """The values that so large a share of all is below, without interpolation."""
    ordered = np.sort(values)
    return tuple(float(ordered[min(int(share * len(ordered)), len(ordered) - 1)]) for share in shares)


def _unit(values: Doubles) -> Doubles:
    centred = values - values.sum(axis=-1, keepdims=True) / values.shape[-1]
    length = np.sqrt((centred * centred).sum(axis=-1, keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6))


def _correlation(a: Doubles, b: Doubles) -> Doubles:
    return np.asarray((_unit(a) * _unit(b)).sum(axis=-1))


def _lead_features(wave: Doubles, usual: Doubles, p_waves: Doubles, before: Doubles) -> Doubles:
    """Features of each lead (leads, LEAD_FEATURES) from waves (leads, WAVE_SAMPLES)."""
    own = wave[:, _QRS]
    energy = np.maximum(((usual[:, _QRS]) ** 2).sum(axis=1), 1e-4)
    shifted = usual[:, _SHIFTED]
    best = _correlation(own[:, None], shifted).max(axis=1)
    residual = ((own[:, None] - shifted) ** 2).sum(axis=2).min(axis=1)
    size, usual_size = (np.maximum(np.ptp(each[:, _QRS], axis=1), _LEAST_MV) for each in (wave, usual))
    width, usual_width = _width(wave), _width(usual)
    sharp, usual_sharp = _sharpness(wave), _sharpness(usual)
    top, low = own.max(axis=1), own.min(axis=1)
    skew = (top + low) / size
    usual_skew = (usual[:, _QRS].max(axis=1) + usual[:, _QRS].min(axis=1)) / usual_size
    p_own, p_usual = wave[:, _P], usual[:, _P]
    p_centred = p_own - p_own.mean(axis=1, keepdims=True)
    p_usual_centred = p_usual - p_usual.mean(axis=1, keepdims=True)
    steady = _correlation(p_waves, p_usual[None]).mean(axis=0) if len(p_waves) else np.zeros(len(wave))
    t_own = wave[:, _T]
    return np.stack(
        [
            best,
            np.log(residual / energy + 1e-3),
            np.log(size / usual_size),
            _correlation(wave, usual),
            _correlation(t_own, usual[:, _T]),
            _correlation(p_own, p_usual),
            np.log(((p_centred - p_usual_centred) ** 2).sum(axis=1) / energy + 1e-4),
            steady,
            np.ptp(p_usual, axis=1) / usual_size,
            width,
            np.log(width / usual_width),
            np.log(sharp),
            np.log(sharp / usual_sharp),
            skew,
            np.abs(skew - usual_skew),
            _correlation(own, before[:, _QRS]),
            (t_own.mean(axis=1) - p_own.mean(axis=1)) / size * np.sign(skew),
        ],
        axis=1,
    )


def _width(waves: Doubles) -> Doubles:
    """How long a wave is steep, s (leads,)."""
    slope = np.abs(waves[:, _WIDE.start + 1 : _WIDE.stop + 1] - waves[:, _WIDE.start - 1 : _WIDE.stop - 1])
    steep = slope > _SLOPE_SHARE * np.maximum(slope.max(axis=1, keepdims=True), 1e-6)
    first = steep.argmax(axis=1)
    last = steep.shape[1] - 1 - steep[:, ::-1].argmax(axis=1)
    return np.asarray((last - first + 1) / WAVE_HZ)


def _sharpness(waves: Doubles) -> Doubles:
    """Root of the energy of a QRS's slope over its own."""
    own = waves[:, _WIDE]
    centred = own - own.mean(axis=1, keepdims=True)
    return np.asarray(
        np.sqrt(((np.diff(own, axis=1) ** 2).sum(axis=1) + 1e-8) / ((centred**2).sum(axis=1) + 1e-6))
    )


def _pooled(features: Doubles) -> Doubles:
    return np.concatenate([features.mean(axis=0), features.min(axis=0), features.max(axis=0)])
