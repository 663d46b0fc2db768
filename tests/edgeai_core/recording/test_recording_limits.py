"""What a recording costs at most, and what it says of what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.automotive.messages import CameraImage
from edgeai_core.errors import InputError
from edgeai_core.recording.file import EXACT_TOPIC, Entry, RecordingFile, read_entries
from edgeai_core.recording.record import Arrived, Missing, from_bytes
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.sample import Sample
from edgeai_core.state import State

from .conftest import (
    CLOCK_NS,
    recording,
    run_recorded,
    wait_until,
    watch,
)


def test_a_loop_never_waits_for_a_recorder_and_what_is_dropped_is_said(state: State, tmp_path: Path) -> None:
    tap = RecordingTap(state.run, "toy", "watch", "{}", max_bytes=100_000)
    image = CameraImage(np.zeros((60, 80, 3), np.uint8))
    for number in range(50):  # nobody listens: 14 kB each, so 6 are kept
        tap.arrived("camera", Sample(image, number, number, number))
    assert tap.dropped == 44
    path = tmp_path / "run.mcap"
    with recording(state, path):
        wait_until(lambda: not tap._queue)
        tap.arrived("camera", Sample(image, 99, 99, 99))
        tap.close()
    records = [from_bytes(e.data) for e in read_entries(path) if e.topic.startswith(EXACT_TOPIC)]
    missing = [each for each in records if isinstance(each, Missing)]
    assert sum(each.count for each in missing) == 44
    assert "could not keep up" in missing[0].reason
    lines = [json.loads(e.data)["message"] for e in read_entries(path) if e.topic == "/log"]
    assert "44 records are missing: the recorder could not keep up" in lines


def test_what_cannot_be_recorded_is_named_and_the_rest_goes_on(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.mcap"
    with recording(state, path):
        tap = RecordingTap(state.run, "toy", "watch", "{}")
        tap.arrived("strange", Sample(object(), 1, 1))
        tap.arrived("camera", Sample(1.5, 2, 2))
        wait_until(lambda: not tap._queue)
        tap.arrived("camera", Sample(2.5, 3, 3))
        tap.close()
    records = [from_bytes(e.data) for e in read_entries(path) if e.topic.startswith(EXACT_TOPIC)]
    assert [each.data for each in records if isinstance(each, Arrived)] == [1.5, 2.5]
    assert "input strange cannot be recorded" in caplog.text


def test_a_recording_keeps_to_its_budget_and_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "small.mcap"
    file = RecordingFile(path, CLOCK_NS, budget_bytes=4_000_000)
    noise = np.random.default_rng(0).bytes(100_000)
    written = sum(file.write(Entry("/edgeai/a.b", CLOCK_NS + n, noise)) for n in range(100))
    file.close()
    assert file.full
    assert path.stat().st_size <= 4_000_000
    assert len(list(read_entries(path))) == written
    assert written > 20


def test_a_recording_takes_nothing_s_place_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    RecordingFile(path, 0).close()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="is there already"):
        RecordingFile(path, 0)


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.mcap", 0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file._writer.add_message = full  # type: ignore[method-assign]
    assert not file.write(Entry("/x", 1, b"1"))
    assert file.full
    assert not file.write(Entry("/x", 2, b"2"))
    file.close()


def test_a_recorder_that_starts_again_leaves_what_was_recorded_alone(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    for _ in range(2):
        with recording(state, path):
            run_recorded(state, replace(watch(3)))
    assert path.exists()
    assert (tmp_path / "run-2.mcap").exists()
