"""A run recorded as MCAP plays again in place of the line's camera and of the machine's sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.manufacturing.app import app
from apps.manufacturing.config import ManufacturingConfig
from apps.manufacturing.maintenance.recording import MachineChunk
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.recording.file import EXACT_TOPIC, Entry, RecordingFile
from edgeai_core.recording.record import Ended, Record, arrival, to_buffers
from edgeai_core.recording.source import from_recording
from edgeai_core.sample import Sample
from edgeai_core.sensors.picture import Picture

SECOND_NS = 1_000_000_000


def recorded(path: Path, loop: str, source: str, data: list[Any]) -> Path:
    records: list[Record] = [
        arrival(source, Sample(each, n * SECOND_NS, n * SECOND_NS, n)) for n, each in enumerate(data, start=1)
    ]
    file = RecordingFile(path, 0)
    for record in [*records, Ended(source, 9 * SECOND_NS)]:
        assert file.write(Entry(EXACT_TOPIC + loop, 1, b"".join(bytes(each) for each in to_buffers(record))))
    file.close()
    return path


def played(loop: str, path: Path) -> list[Any]:
    """Return what the loop's one input is fed from a recorded run."""
    spec = next(each for each in app.loops(ManufacturingConfig()) if each.name == loop)
    (source,) = from_recording(spec, "manufacturing", path).build().sources
    source.open(VirtualClock())
    out = []
    try:
        while True:
            reading = source.read(1.0)
            if reading is not None:
                out.append(reading)
    except EndOfStream:
        source.close()
        return out


def test_pictures_of_a_recorded_run_are_inspected_again(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [Picture(random.integers(0, 255, (40, 30), np.uint8), f"part {n}") for n in range(3)]
    path = recorded(tmp_path / "run.mcap", "manufacturing.inspection", "camera", pictures)
    found = played("inspection", path)
    assert [each.data.name for each in found] == ["part 0", "part 1", "part 2"]
    assert np.array_equal(found[2].data.pixels, pictures[2].pixels)
    assert [each.sequence for each in found] == [1, 2, 3]


def test_vibration_of_a_recorded_run_is_analysed_again(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    chunks = [
        MachineChunk(
            random.normal(0, 1, (256, 2)).astype(np.float32),
            25_600.0,
            ("radial", "axial"),
            {"rpm": 1500.0},
            n * 256,
        )
        for n in range(2)
    ]
    path = recorded(tmp_path / "run.mcap", "manufacturing.maintenance", "machine", chunks)
    found = played("maintenance", path)
    assert np.array_equal(found[1].data.vibration, chunks[1].vibration)
    assert found[1].data.slow["rpm"] == 1500.0
    assert found[1].data.channels == ("radial", "axial")


def test_a_recording_of_something_else_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = recorded(tmp_path / "run.mcap", "toy.watch", "camera", [1])
    for loop in ("inspection", "maintenance"):
        with pytest.raises(InputError, match="holds nothing of"):
            played(loop, path)
