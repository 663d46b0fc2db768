"""Where measurements come from: files and the simulation, played at the pace of the loop's clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np

from apps.manufacturing.maintenance.columns import Columns
from apps.manufacturing.maintenance.csvfile import open_csv
from apps.manufacturing.maintenance.cyclefile import is_cycle_file, open_cycles
from apps.manufacturing.maintenance.npzfile import open_npz
from apps.manufacturing.maintenance.recording import Block, MachineChunk, Recording
from apps.manufacturing.simulation.machines import draw_machine, lifetime
from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, InputError, SensorError
from edgeai_core.sample import Reading

SUFFIXES = (".npz", ".csv", ".txt", ".xz")


class MachineSource:
    """Plays recordings one after the other: a chunk comes when its last sample is due on the loop's clock.

    So a live run goes at real speed and a replay on a virtual clock as fast as it can, with the same stamps. A burst
    is never cut. ``repeat`` begins again with the first recording for ever. The sequence counts chunks.
    """

    def __init__(
        self,
        recordings: Sequence[Callable[[], Recording]],
        *,
        name: str = "machine",
        chunk_s: float = 0.1,
        repeat: bool = False,
    ) -> None:
        if not recordings:
            raise ValueError("no recording to play")
        self._name = name
        self._openers = tuple(recordings)
        self._chunk_s = chunk_s
        self._repeat = repeat
        self._clock: Clock | None = None
        self._start_ns = 0
        self._chunks: Iterator[tuple[MachineChunk, int]] = iter(())
        self._recording: Recording | None = None
        self._next: tuple[MachineChunk, int] | None = None
        self._given = 0

    @property
    def name(self) -> str:
        """The name that inputs refer to."""
        return self._name

    def check(self) -> None:
        """Open every recording once. Raises InputError for the first that cannot be played."""
        for opener in self._openers:
            opener().close()

    def open(self, clock: Clock) -> None:
        """Start with the first recording now. Raises InputError for a file that cannot be played."""
        self._chunks = self._play()
        self._next = next(self._chunks, None)
        self._given = 0
        self._start_ns = clock.now_ns()
        self._clock = clock

    def read(self, timeout_s: float) -> Reading[MachineChunk] | None:
        """Return the next chunk when it is due; None where it is not due in time.

        Raises EndOfStream after the last, InputError where a file turns out damaged.
        """
        if self._clock is None:
            raise SensorError(f"source {self._name!r} is read before it is opened")
        if self._next is None:
            self._next = next(self._chunks, None)
        if self._next is None:
            raise EndOfStream(f"{self._name}: the last recording is over")
        chunk, due_ns = self._next[0], self._start_ns + self._next[1]
        patience_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        if due_ns > patience_ns:
            self._clock.sleep_until_ns(patience_ns)
            return None
        self._clock.sleep_until_ns(due_ns)
        self._next = None
        self._given += 1
        return Reading(chunk, time_ns=due_ns, sequence=self._given - 1)

    def close(self) -> None:
        """Let go of the file that is open."""
        self._clock = None
        self._next = None
        self._let_go()

    def _play(self) -> Generator[tuple[MachineChunk, int], None, None]:
        """Give every chunk, and when it is due: nanoseconds after the start."""
        start_s = 0.0
        while True:
            before_s = start_s
            for opener in self._openers:
                recording = self._recording = opener()
                first = 0
                for block in recording.blocks:
                    count = len(block.vibration)
                    duration_s = block.duration_s or (count / recording.rate_hz if recording.rate_hz else 1.0)
                    pieces = 1 if recording.bursts else max(1, round(duration_s / self._chunk_s))
                    edges = np.linspace(0, count, pieces + 1).round().astype(int).tolist()
                    for number in range(pieces):
                        samples = np.array(block.vibration[edges[number] : edges[number + 1]], np.float32)
                        samples.flags.writeable = False
                        chunk = MachineChunk(
                            samples,
                            recording.rate_hz,
                            recording.channels,
                            dict(block.slow),
                            first + edges[number],
                            recording.name,
                            recording.bursts,
                            recording.simulated,
                        )
                        yield chunk, round((start_s + duration_s * (number + 1) / pieces) * 1e9)
                        if not recording.rate_hz:
                            break  # a row of slow quantities comes once
                    first += count
                    start_s += duration_s
                self._let_go()
            if not self._repeat or start_s == before_s:
                return

    def _let_go(self) -> None:
        if self._recording is not None:
            self._recording.close()
            self._recording = None


def recordings_at(path: Path, columns: Columns) -> tuple[Callable[[], Recording], ...]:
    """Return openers for what lies at ``path``: a file or a folder of files, in the order of their names.

    ``.npz`` (vibration), ``.csv`` with columns named in ``columns``, or a table of cycles in the layout of C-MAPSS
    (``.txt``, ``.txt.xz``), each unit of which is a recording. Raises InputError where there is none of them.
    """
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        files = [each for each in found if each.suffix not in (".txt", ".xz") or is_cycle_file(each)]
        if not files:
            raise InputError(f"{path}: no recording in this folder (*.npz, *.csv or cycles as *.txt)")
        return tuple(opener for each in files for opener in recordings_at(each, columns))
    if not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return (lambda: open_npz(path),)
    if suffix == ".csv":
        return (lambda: open_csv(path, columns),)
    if suffix in (".txt", ".xz"):
        return open_cycles(path)
    raise InputError(f"{path}: no recording; .npz, .csv and .txt (or .txt.xz) can be played")


def open_simulation(
    number: int, kind: str | None, *, rate_hz: float, channels: int, every_h: float, burst_s: float
) -> Recording:
    """Open a simulated machine, from new to failed; a measurement every ``every_h`` hours."""

    def blocks() -> Iterator[Block]:
        machine = draw_machine(number, kind)
        yield from lifetime(machine, every_h, rate_hz=rate_hz, duration_s=burst_s, channels=channels)

    names = ("radial", "axial", "tangential")[:channels]
    return Recording(f"simulated {number}", rate_hz, names, blocks(), bursts=True, simulated=True)
