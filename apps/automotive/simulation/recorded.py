"""Recorded drives: where the car was, a hundred times a second. Everybody else follows from scenario and seed."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from apps.automotive.config import ScenarioName
from apps.automotive.messages import Floats
from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading

SUFFIX = ".npz"
RATE_HZ = 100
LONGEST_TICKS = 600 * RATE_HZ
_LARGEST_BYTES = 32_000_000
_STATES = 6
_AHEAD_NS = 500_000_000
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class RecordedDrive:
    """A drive on a named scenario: ``states`` (ticks, 6) are x, y, yaw, speed, acceleration and steering, SI units."""

    scenario: str
    seed: int
    states: Floats


@dataclass(frozen=True)
class Stretch:
    """The next second of a drive; ``begins``: it is the first one. The last of all is empty: the drive has ended."""

    scenario: str
    seed: int
    begins: bool
    states: Floats


def write_drive(drive: RecordedDrive, path: Path) -> None:
    """Write a drive; the same drive gives the same bytes."""
    arrays = {"scenario": np.array(drive.scenario), "seed": np.array(drive.seed), "states": drive.states}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def read_drive(path: Path) -> RecordedDrive:
    """Read a drive. Raises InputError for a file that is none, is damaged or too large."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path}: has more than {_LARGEST_BYTES // 1_000_000} MB; no drive is so long")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            scenario, seed = str(held["scenario"]), int(held["seed"])
            states = np.asarray(held["states"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no recorded drive, or is damaged ({error})") from error
    if states.ndim != 2 or states.shape[1] != _STATES or not 1 <= len(states) <= LONGEST_TICKS:
        raise InputError(f"{path}: states are {states.shape}; they must be (1 to {LONGEST_TICKS}, {_STATES})")
    if not np.isfinite(states).all() or seed < 0 or scenario not in get_args(ScenarioName):
        raise InputError(
            f"{path}: holds values that are no numbers, or an unknown scenario {scenario[:40]!r}"
        )
    states.flags.writeable = False
    return RecordedDrive(scenario, seed, states)


def drives_in(path: Path) -> tuple[Path, ...]:
    """Return a drive's file, or those of a folder by name. Raises InputError where there is none."""
    found = tuple(sorted(path.glob(f"*{SUFFIX}"))) if path.is_dir() else (path,)
    if not found or not found[0].is_file():
        raise InputError(f"{path}: no recorded drive (*{SUFFIX}) is there")
    return found


class DriveSource:
    """Plays drives one after the other, a second at a time, each half a second before it begins."""

    name = "drive"

    def __init__(self, path: Path, *, repeat: bool) -> None:
        self._repeat = repeat
        self._stretches = [
            Stretch(drive.scenario, drive.seed, at == 0, drive.states[at : at + RATE_HZ])
            for drive in map(read_drive, drives_in(path))
            for at in range(0, len(drive.states), RATE_HZ)
        ]
        self._end = replace(self._stretches[-1], begins=False, states=self._stretches[-1].states[:0])
        self._clock: Clock | None = None
        self._next, self._begins_ns = 0, 0

    def open(self, clock: Clock) -> None:
        """Begin with the first drive."""
        self._clock, self._next, self._begins_ns = clock, 0, clock.now_ns()

    def read(self, timeout_s: float) -> Reading[Stretch] | None:
        """Return the next second when it is nearly due. Raises EndOfStream after the last."""
        if self._clock is None:
            raise SensorError("the drive is read before it is opened")
        if self._next > len(self._stretches):
            raise EndOfStream("the drive is over")
        if self._repeat:
            self._next %= len(self._stretches)
        over = self._next == len(self._stretches)
        stretch = self._end if over else self._stretches[self._next]
        # the first of a drive comes on time: what was left of the one before ends with it
        due_ns = self._begins_ns - (0 if stretch.begins or over else _AHEAD_NS)
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            return None
        self._next += 1
        self._begins_ns += len(stretch.states) * _SECOND_NS // RATE_HZ
        return Reading(stretch)

    def close(self) -> None:
        """Nothing is held open."""
        self._clock = None
