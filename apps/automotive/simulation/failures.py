"""What goes wrong between a sensor and the loop that reads it: delay, jitter, and failures on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar, cast

import numpy as np

from apps.automotive.messages import CameraImage, Odometry, PointCloud, RadarScan

T = TypeVar("T")


class FailureKind(StrEnum):
    """How a sensor fails. What ``amount`` means is said beside each."""

    LOST = "lost"  # nothing comes
    FROZEN = "frozen"  # the last data come again and again, with new stamps
    LATE = "late"  # everything comes so many seconds later, with the stamps of its measurement
    JITTER = "jitter"  # everything comes up to so many seconds later
    DROPOUT = "dropout"  # a reading is lost with this probability
    BIAS = (
        "bias"  # camera: pixels to the right; lidar and radar: metres further; odometry: rad/s more yaw rate
    )
    NOISE = "noise"  # camera: grey levels; lidar and radar: metres; odometry: rad/s; standard deviations


@dataclass(frozen=True)
class Failure:
    """A failure of one sensor (``camera``, ``lidar``, ``radar`` or ``odometry``) for a time, in seconds of the run."""

    sensor: str
    kind: FailureKind
    amount: float = 0.0
    from_s: float = 0.0
    until_s: float = float("inf")


@dataclass(frozen=True)
class Arrival(Generic[T]):
    """A reading on its way: measured at ``time_s``, there at ``arrives_s``."""

    time_s: float
    arrives_s: float
    data: T


@dataclass(frozen=True)
class _Sent(Generic[T]):
    """What is under way: ``data`` may still be in the making, and ``harm`` comes to it at the end of the way."""

    time_s: float
    arrives_s: float
    data: T | Future[T]
    harm: tuple[Failure, ...]


class Channel(Generic[T]):
    """The way from one sensor: readings go in when they are measured, and come out when they arrive, in order."""

    def __init__(
        self,
        sensor: str,
        rng: np.random.Generator,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        failures: Sequence[Failure] = (),
    ) -> None:
        self._failures = tuple(each for each in failures if each.sensor == sensor)
        self._rng = rng
        self._delay_s, self._jitter_s = delay_s, jitter_s
        self._waiting: deque[_Sent[T]] = deque()
        self._last: T | Future[T] | None = None

    def push(self, time_s: float, data: T | Future[T]) -> None:
        """Send a reading on its way, through whatever fails at that moment. It must be made when it arrives."""
        delay_s = self._delay_s + self._jitter_s * self._rng.random()
        frozen = False
        harm: list[Failure] = []
        for failure in self._failures:
            if not failure.from_s <= time_s < failure.until_s:
                continue
            match failure.kind:
                case FailureKind.LOST:
                    return
                case FailureKind.DROPOUT:
                    if self._rng.random() < failure.amount:
                        return
                case FailureKind.FROZEN:
                    frozen = True
                case FailureKind.LATE:
                    delay_s += failure.amount
                case FailureKind.JITTER:
                    delay_s += failure.amount * self._rng.random()
                case FailureKind.BIAS | FailureKind.NOISE:
                    harm.append(failure)
        if frozen and self._last is not None:
            data = self._last
        self._last = data
        arrives_s = time_s + delay_s
        if self._waiting:  # one wire: nothing overtakes
            arrives_s = max(arrives_s, self._waiting[-1].arrives_s)
        self._waiting.append(_Sent(time_s, arrives_s, data, tuple(harm)))

    def due(self, now_s: float) -> list[Arrival[T]]:
        """Return what has arrived by now, each once; waits for what is still in the making."""
        out = []
        while self._waiting and self._waiting[0].arrives_s <= now_s:
            sent = self._waiting.popleft()
            data = sent.data.result() if isinstance(sent.data, Future) else sent.data
            for failure in sent.harm:
                if failure.kind is FailureKind.BIAS:
                    data = cast(T, _biased(data, failure.amount))
                else:
                    data = cast(T, _noisy(data, failure.amount, self._rng))
            out.append(Arrival(sent.time_s, sent.arrives_s, data))
        return out


def _biased(data: object, amount: float) -> object:
    match data:
        case CameraImage():
            return CameraImage(_read_only(np.roll(data.pixels, round(amount), axis=1)))
        case PointCloud():
            shifted = data.xyz_m + np.array([amount, 0.0, 0.0], dtype=np.float32)
            return replace(data, xyz_m=_read_only(shifted))
        case RadarScan():
            return replace(data, range_m=_read_only(data.range_m + amount))
        case Odometry():
            return replace(data, yaw_rate_radps=data.yaw_rate_radps + amount)
    raise TypeError(f"no bias is known for {type(data).__name__}")


def _noisy(data: object, amount: float, rng: np.random.Generator) -> object:
    match data:
        case CameraImage():
            grain = rng.standard_normal(data.pixels.shape, dtype=np.float32) * amount
            return CameraImage(_read_only(np.clip(data.pixels + grain, 0, 255).astype(np.uint8)))
        case PointCloud():
            grain = rng.standard_normal(data.xyz_m.shape, dtype=np.float32) * np.float32(amount)
            return replace(data, xyz_m=_read_only(data.xyz_m + grain))
        case RadarScan():
            noise = rng.normal(0, amount, (2, len(data.range_m)))
            return replace(
                data,
                range_m=_read_only(np.maximum(data.range_m + noise[0], 0.1)),
                range_rate_mps=_read_only(data.range_rate_mps + noise[1]),
            )
        case Odometry():
            return replace(data, yaw_rate_radps=data.yaw_rate_radps + float(rng.normal(0, amount)))
    raise TypeError(f"no noise is known for {type(data).__name__}")


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
