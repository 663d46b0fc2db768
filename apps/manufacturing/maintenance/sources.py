"""Where measurements come from: files and the simulation, played at the pace of the loop's clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from apps.manufacturing.maintenance.columns import Columns
from apps.manufacturing.maintenance.csvfile import open_csv
from apps.manufacturing.maintenance.cyclefile import is_cycle_file, open_cycles
from apps.manufacturing.maintenance.npzfile import open_npz
from apps.manufacturing.maintenance.recording import Block, MachineChunk, Recording
from apps.manufacturing.simulation.machines import draw_machine, lifetime
from edgeai_core.errors import InputError
from edgeai_core.sensors.player import Player, Timed

SUFFIXES = (".npz", ".csv", ".txt", ".xz")


def machine_player(
    recordings: Sequence[Callable[[], Recording]],
    *,
    name: str = "machine",
    chunk_s: float = 0.1,
    repeat: bool = False,
) -> Player[MachineChunk]:
    """Return a source that plays recordings in chunks, each due with its last sample; a burst is never cut."""
    return Player(name, [partial(_chunks, each, chunk_s) for each in recordings], repeat=repeat)


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


def _chunks(opener: Callable[[], Recording], chunk_s: float) -> Generator[Timed[MachineChunk], None, None]:
    with closing(opener()) as recording:
        first, start_s = 0, 0.0
        for block in recording.blocks:
            count = len(block.vibration)
            duration_s = block.duration_s or (count / recording.rate_hz if recording.rate_hz else 1.0)
            # A burst is whole; a row of slow quantities comes once.
            whole = recording.bursts or not recording.rate_hz
            pieces = 1 if whole else max(1, round(duration_s / chunk_s))
            edges = np.linspace(0, count, pieces + 1).round().astype(int).tolist()
            for number, (begin, end) in enumerate(pairwise(edges), 1):
                samples = np.array(block.vibration[begin:end], np.float32)
                samples.flags.writeable = False
                chunk = MachineChunk(
                    samples,
                    recording.rate_hz,
                    recording.channels,
                    dict(block.slow),
                    first + begin,
                    recording.name,
                    recording.bursts,
                    recording.simulated,
                )
                yield Timed(round((start_s + duration_s * number / pieces) * 1e9), chunk)
            first += count
            start_s += duration_s
