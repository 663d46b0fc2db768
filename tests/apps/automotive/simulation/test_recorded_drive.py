"""Recorded drives: written, read, refused, and played through all loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.automotive.app import app
from apps.automotive.braking.decide import Code
from apps.automotive.simulation.recorded import (
    DriveSource,
    RecordedDrive,
    drives_in,
    read_drive,
    write_drive,
)
from edgeai_core.clock import VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.sensors.replay import replay_loops

SAMPLES = Path(__file__).parents[4] / "data_samples" / "automotive" / "simulation"


def drive(ticks: int = 250, scenario: str = "country") -> RecordedDrive:
    states = np.zeros((ticks, 6))
    states[:, 0], states[:, 3] = np.arange(ticks) * 0.1, 10.0
    return RecordedDrive(scenario, 3, states)


def test_a_drive_comes_back_as_it_was_written_and_the_same_drive_gives_the_same_bytes(tmp_path: Path) -> None:
    write_drive(drive(), tmp_path / "a.npz")
    write_drive(drive(), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = read_drive(tmp_path / "a.npz")
    assert (back.scenario, back.seed) == ("country", 3)
    assert np.array_equal(back.states, drive().states)


def bad_files(folder: Path) -> dict[str, Path]:
    made = {"empty": b"", "text": b"x,y\n1,2\n", "cut": b""}
    for name, content in made.items():
        (folder / f"{name}.npz").write_bytes(content)
    write_drive(drive(), folder / "cut.npz")
    whole = (folder / "cut.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    broken = drive()
    broken.states[7, 2] = np.nan
    write_drive(broken, folder / "nan.npz")
    write_drive(RecordedDrive("moon", 1, drive().states), folder / "unknown.npz")
    write_drive(RecordedDrive("town", 1, np.zeros((5, 3))), folder / "shape.npz")
    np.savez(folder / "objects.npz", scenario="town", seed=1, states=np.array([{}], dtype=object))
    return {path.stem: path for path in folder.glob("*.npz")}


def test_a_file_that_is_no_drive_is_refused_by_name(tmp_path: Path) -> None:
    files = bad_files(tmp_path)
    assert len(files) == 7
    for path in files.values():
        with pytest.raises(InputError, match=path.name):
            read_drive(path)
    with pytest.raises(InputError, match="no recorded drive"):
        drives_in(tmp_path / "nothing")


def test_a_source_gives_every_state_once_in_time_and_ends_or_begins_anew(tmp_path: Path) -> None:
    write_drive(drive(250), tmp_path / "1.npz")
    write_drive(drive(120, "town"), tmp_path / "2.npz")
    clock = VirtualClock()
    source = DriveSource(tmp_path, repeat=False)
    source.open(clock)
    found = []
    while clock.now_ns() < 3.7e9:
        reading = source.read(0.3)
        if reading is not None:
            found.append((round(clock.now_ns() / 1e9, 3), reading.data))
    with pytest.raises(EndOfStream):
        source.read(0.3)
    assert [(at_s, each.scenario, each.begins, len(each.states)) for at_s, each in found] == [
        (0.0, "country", True, 100), (0.5, "country", False, 100), (1.5, "country", False, 50),
        (2.5, "town", True, 100), (3.0, "town", False, 20), (3.7, "town", False, 0),
    ]  # fmt: skip
    again = DriveSource(tmp_path / "2.npz", repeat=True)
    again.open(VirtualClock())
    begins = [reading.data.begins for _ in range(40) if (reading := again.read(0.3)) is not None]
    assert begins[:5] == [True, False, True, False, True]


def test_the_sample_drive_brakes_for_the_pedestrian_through_all_loops() -> None:
    config = app.config.model_validate({"simulation": {"camera_hz": 10}})
    assert app.inputs is not None
    config = app.inputs(config, {"simulation": str(SAMPLES)})
    specs = {f"automotive.{spec.name}": spec for spec in app.loops(config)}
    braked_s, cycles = None, dict.fromkeys(specs, 0)
    for name, cycle in replay_loops(specs, until_s=8.5):
        cycles[name] += 1
        codes = {condition.code for condition in cycle.decision.conditions or ()}
        if braked_s is None and Code.EMERGENCY_BRAKING in codes:
            braked_s = cycle.snapshot.now_ns / 1e9
            assert name == "automotive.braking"
    assert braked_s is not None
    assert 6.5 < braked_s < 8.5
    assert all(cycles.values())
