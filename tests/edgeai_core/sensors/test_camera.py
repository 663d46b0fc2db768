"""Cameras in a process of their own: frames with their time, and no hang whatever the process does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeai_core.clock import MonotonicClock
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.sample import Reading
from edgeai_core.sensors.camera import CameraSource, CommandSource
from edgeai_core.sensors.picture import Picture

HEIGHT, WIDTH = 12, 16

WRITES = (
    "import sys,time; o=sys.stdout.buffer\nfor n in range({n}): o.write(bytes([n])*{size}); o.flush()\n{then}"
)


def program(n: int, then: str = "") -> list[str]:
    return [sys.executable, "-c", WRITES.format(n=n, size=HEIGHT * WIDTH * 3, then=then)]


def until(read: Callable[[float], Reading[Picture] | None]) -> Reading[Picture]:
    for _ in range(600):
        reading = read(0.1)
        if reading is not None:
            return reading
    raise AssertionError("nothing came")


def test_frames_of_a_program_come_whole_and_then_it_is_over() -> None:
    source = CommandSource("camera", program(2), HEIGHT, WIDTH)
    source.open(MonotonicClock())
    try:
        frames = [until(source.read) for _ in range(2)]
        assert [int(each.data.pixels[0, 0, 0]) for each in frames] == [0, 1]
        assert frames[0].data.pixels.shape == (HEIGHT, WIDTH, 3)
        assert not frames[0].data.pixels.flags.writeable
        with pytest.raises(EndOfStream):
            until(source.read)
    finally:
        source.close()


def test_a_program_that_falls_silent_is_an_error_and_is_killed_and_can_be_opened_again() -> None:
    source = CommandSource("camera", program(1, "time.sleep(600)"), HEIGHT, WIDTH, frame_timeout_s=0.2)
    for _ in range(2):
        source.open(MonotonicClock())
        until(source.read)
        began_s = time.monotonic()
        with pytest.raises(SensorError, match="no frame for"):
            until(source.read)
        source.close()
        assert time.monotonic() - began_s < 30


def test_a_read_honours_its_timeout_while_nothing_comes() -> None:
    source = CommandSource("camera", [sys.executable, "-c", "import time; time.sleep(600)"], HEIGHT, WIDTH)
    source.open(MonotonicClock())
    assert source.read(0.05) is None
    source.close()


def test_what_a_program_said_last_is_the_reason() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such sensor')"]
    source = CommandSource("camera", command, HEIGHT, WIDTH)
    source.open(MonotonicClock())
    with pytest.raises(SensorError, match="no such sensor"):
        until(source.read)
    source.close()


def test_a_program_that_does_not_exist_is_an_error() -> None:
    source = CommandSource("camera", ["/no/such/program"], HEIGHT, WIDTH)
    with pytest.raises(SensorError, match="does not start"):
        source.open(MonotonicClock())


def test_a_video_file_is_played_with_the_age_of_its_frames_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 100.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for number in range(3):
        writer.write(np.full((48, 64, 3), 60 * number + 20, np.uint8))
    writer.release()
    source = CameraSource("camera", str(path))
    source.open(MonotonicClock())
    try:
        frames = [until(source.read) for _ in range(3)]
        assert frames[0].data.pixels.shape == (48, 64, 3)
        times = [each.time_ns or 0 for each in frames]
        assert times == sorted(times)
        assert 0 < times[-1] <= time.monotonic_ns()
        with pytest.raises(EndOfStream):
            until(source.read)
    finally:
        source.close()


def test_a_camera_that_is_not_there_says_so_without_the_password() -> None:
    source = CameraSource("camera", "rtsp://user:secret@127.0.0.1:1/stream")
    source.open(MonotonicClock())
    try:
        with pytest.raises(SensorError, match="cannot be opened") as caught:
            until(source.read)
        assert "secret" not in str(caught.value)
    finally:
        source.close()
