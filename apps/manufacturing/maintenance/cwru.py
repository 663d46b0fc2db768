"""The bearing recordings of Case Western Reserve University as stretches to learn from and be judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.manufacturing.maintenance.bearing import BEARINGS, BearingEvidence
from apps.manufacturing.maintenance.damage import Case
from apps.manufacturing.maintenance.npzfile import number, read_arrays
from apps.manufacturing.maintenance.preprocess import Preprocessor, Stretch
from apps.manufacturing.maintenance.recording import GRAVITY_MPS2, MachineChunk
from apps.manufacturing.maintenance.vibration import indicators
from edgeai_core.app import Progress
from edgeai_core.errors import InputError
from edgeai_core.metrics.evaluation import DataRef

BEARING = BEARINGS["6205"]
FAULTS = ("normal", "ball", "inner_race", "outer_race")
LICENCE = "none stated"
ORIGIN = "https://engineering.case.edu/bearingdatacenter"


@dataclass(frozen=True)
class BearingFile:
    """One recording: drive-end acceleration (n,) in m/s^2. ``bearing`` names the physical bearing."""

    name: str
    acceleration: NDArray[np.float64]
    rate_hz: float
    rpm: float
    load_hp: int
    fault: str
    size_inch: float

    @property
    def bearing(self) -> str:
        """Kind and size of the damage: one physical bearing each."""
        return f"{self.fault} {self.size_inch:g}"


def read_folder(folder: Path) -> list[BearingFile]:
    """Read every ``.npz`` of a folder. Raises InputError that names the file and what is wrong."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: holds no .npz recording")
    return [read_file(path) for path in paths]


def read_file(path: Path) -> BearingFile:
    """Read one recording with its labels. Raises InputError."""
    arrays = read_arrays(path)
    steps, fault = arrays.get("de"), str(arrays.get("fault", ""))
    if steps is None or steps.ndim != 1 or steps.dtype.kind not in "if" or len(steps) < 1000:
        raise InputError(f"{path}: `de` is no row of samples")
    if fault not in FAULTS:
        raise InputError(f"{path}: `fault` is {fault!r}; it is one of {', '.join(FAULTS)}")
    rpm, rate_hz = number(path, arrays, "rpm"), number(path, arrays, "fs")
    if not 60 <= rpm <= 30_000 or not 2_000 <= rate_hz <= 200_000:
        raise InputError(f"{path}: {rpm:g} rpm at {rate_hz:g} samples a second; are `rpm` and `fs` right?")
    size = number(path, arrays, "size_inch", 0.0) if fault != "normal" else 0.0
    acceleration = steps.astype(np.float64) * number(path, arrays, "de_scale") * GRAVITY_MPS2
    load = round(number(path, arrays, "load_hp", 0.0))
    return BearingFile(path.stem, acceleration, rate_hz, rpm, load, fault, size)


def stretches(file: BearingFile, *, burst: bool = False) -> Iterator[Stretch]:
    """Cut a recording into stretches as the loop does; a ``burst`` is one."""
    chunk = MachineChunk(
        file.acceleration.astype(np.float32)[:, None],
        file.rate_hz,
        ("drive end",),
        {"rpm": file.rpm},
        recording=file.name,
        burst=burst,
    )
    yield from Preprocessor().push(chunk)


def cases_of(file: BearingFile, *, fresh: bool = False) -> list[Case]:
    """Return a case per second of a recording; the evidence is that of all its past, or of the second alone."""
    evidence = BearingEvidence(BEARING)
    found: list[Case] = []
    bands: list[NDArray[np.float64]] = []
    for stretch in stretches(file):
        if not stretch.usable.any():
            continue
        if fresh:
            evidence.reset()
            bands = []
        evidence.push(stretch.vibration, stretch.rate_hz, file.rpm / 60)
        seen = indicators(stretch, file.rpm / 60)
        assert seen is not None
        bands.append(seen.bands)
        mean = np.mean(bands, axis=0)
        found.append(Case(evidence.prominences(), mean, file.fault, file.bearing, file.name))
    return found


def all_cases(files: Sequence[BearingFile], progress: Progress) -> dict[str, list[Case]]:
    """Return the cases of every recording, by name."""
    found = {}
    for done, file in enumerate(files, start=1):
        found[file.name] = cases_of(file)
        progress("listening", done, len(files))
    return found


def data_ref(files: Sequence[BearingFile]) -> DataRef:
    """Say what was judged."""
    counts = {
        "recordings": len(files),
        "bearings": len({file.bearing for file in files}),
        "seconds": round(sum(len(file.acceleration) / file.rate_hz for file in files)),
    }
    return DataRef("CWRU bearing data", LICENCE, counts)
