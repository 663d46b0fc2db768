"""Where vital signs come from: CSV files, the simulated bedside, what was posted; at the pace of the loop's clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from apps.healthcare.simulation.bedside import Moment, play_bedside
from apps.healthcare.simulation.heart import Heart
from apps.healthcare.simulation.patients import Course
from apps.healthcare.vitals.analysis import Wave
from apps.healthcare.vitals.csvfile import open_csv
from apps.healthcare.vitals.observations import ObservationStore
from apps.healthcare.vitals.signs import Measurement, Origin, Sign
from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading

CHARTED_LOOKBACK_S = 12 * 3600.0
"""A loop that starts takes what was posted for its patient in so long."""

_POLL_S = 1.0


@dataclass(frozen=True)
class BedsideChunk:
    """What a monitor gave up to one moment: values, and waveforms whose last samples are of that moment."""

    measurements: tuple[Measurement, ...]
    waves: tuple[Wave, ...] = ()
    recording: str = ""
    simulated: bool = False


Play = Callable[[int], Iterator[tuple[float, BedsideChunk]]]
"""Opens a recording that begins at a moment of the clock, in nanoseconds: chunks, each with the moment of its end
since the recording's start, in seconds.
"""


class BedsideSource:
    """Plays a recording: each chunk when it is due on the loop's clock; ``repeat`` begins again for ever."""

    name = "bedside"

    def __init__(self, play: Play, *, repeat: bool = False) -> None:
        self._play = play
        self._repeat = repeat
        self._clock: Clock | None = None
        self._chunks: Iterator[tuple[float, BedsideChunk]] = iter(())
        self._next: tuple[float, BedsideChunk] | None = None
        self._start_ns = self._end_ns = 0
        self._given = 0

    def check(self) -> None:
        """Open the recording once. Raises InputError where it cannot be played."""
        next(self._play(0), None)

    def open(self, clock: Clock) -> None:
        """Start now. Raises InputError for a file that cannot be played."""
        self._clock = clock
        self._begin(clock.now_ns())

    def read(self, timeout_s: float) -> Reading[BedsideChunk] | None:
        """Return the next chunk when it is due; None where it is not due in time. Raises EndOfStream, InputError."""
        if self._clock is None:
            raise SensorError("the bedside is read before it is opened")
        if self._next is None:
            if not self._repeat or not self._given:
                raise EndOfStream
            self._begin(self._end_ns)
            if self._next is None:
                raise EndOfStream
        end_s, chunk = self._next
        due_ns = self._start_ns + round(end_s * 1e9)
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        self._clock.sleep_until_ns(min(due_ns, patience_ns))
        if due_ns > patience_ns:
            return None
        self._given += 1
        self._end_ns = due_ns
        self._next = next(self._chunks, None)
        return Reading(chunk, due_ns)

    def close(self) -> None:
        """Let go of the recording."""
        self._chunks = iter(())
        self._next = None

    def _begin(self, at_ns: int) -> None:
        self._chunks = self._play(at_ns)
        self._next = next(self._chunks, None)
        self._start_ns = self._end_ns = at_ns
        self._given = 0


class ObservationSource:
    """What was posted for one patient, in the order of its arrival; a start takes up what is still of use.

    The store is the queue: what a post was answered for is read from there also after a restart.
    """

    name = "observations"

    def __init__(self, path: Path, patient: str, wall_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._patient = patient
        self._wall_s = wall_s

    def open(self, clock: Clock) -> None:
        """Start with what is not older than ``CHARTED_LOOKBACK_S``. Raises SensorError."""
        self._clock = clock
        self._last = 0
        self._store: ObservationStore | None = None
        self._waiting: list[tuple[int, float, tuple[Measurement, ...]]] = []

    def read(self, timeout_s: float) -> Reading[BedsideChunk] | None:
        """Return the next observation, None where none came in time. Raises SensorError."""
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        while not self._waiting:
            self._look()
            if self._waiting:
                break
            now_ns = self._clock.now_ns()
            if now_ns >= patience_ns:
                return None
            self._clock.sleep_until_ns(min(patience_ns, now_ns + int(_POLL_S * 1e9)))
        number, taken_s, measurements = self._waiting.pop(0)
        age_s = max(0.0, self._wall_s() - taken_s)
        time_ns = self._clock.now_ns() - round(age_s * 1e9)
        return Reading(BedsideChunk(measurements), time_ns, sequence=number)

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _look(self) -> None:
        if self._store is None:
            if not self._path.exists():
                return
            self._store = ObservationStore(self._path)
        since_s = self._wall_s() - CHARTED_LOOKBACK_S
        found = self._store.after(self._last, self._patient, since_s)
        if found:
            self._last = found[-1][0]
            self._waiting = found


def simulated_bedside(course: str, seed: int | None, heart: Heart | None = None) -> Play:
    """Return a simulated patient as a recording. Without a seed no two are alike.

    With ``heart`` the pulse is that heart's, and the recording has its name: who sees the same heart's ECG may compare.
    """
    chosen = time.time_ns() % 2**31 if seed is None else seed

    def play(at_ns: int) -> Iterator[tuple[float, BedsideChunk]]:
        beats = None if heart is None else partial(heart.between, at_ns)
        for moment in play_bedside(cast("Course", course), chosen, heart=beats):
            yield moment.end_s, chunk_of(moment, course if heart is None else heart.name)

    return play


def csv_bedside(path: Path) -> Play:
    """Return a CSV file, or the .csv files of a folder one after the other, as a recording.

    Raises InputError where there is none.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no recording in this folder (*.csv)")
    if not files[0].is_file():
        raise InputError(
            f"{path}: {'is no file' if path.exists() else 'no such file'}; name a .csv of vital signs, or a folder"
        )

    def play(at_ns: int) -> Iterator[tuple[float, BedsideChunk]]:
        start_s = 0.0
        for file in files:
            end_s = 0.0
            for end_s, measurements, waves, simulated in open_csv(file):
                yield start_s + end_s, BedsideChunk(measurements, waves, file.stem, simulated)
            start_s += end_s

    return play


def chunk_of(moment: Moment, recording: str) -> BedsideChunk:
    """Return half a second of the simulated bedside as a chunk."""
    values = [
        Measurement(Sign(sign), value, Origin.MONITOR)
        for sign, value in moment.values.items()
        if not math.isnan(value)
    ]
    values += [Measurement(Sign(sign), value, Origin.CHARTED) for sign, value in moment.charted.items()]
    waves = tuple(Wave(name, samples, rate_hz) for name, (samples, rate_hz) in moment.waves.items())
    return BedsideChunk(tuple(values), waves, recording, simulated=True)
