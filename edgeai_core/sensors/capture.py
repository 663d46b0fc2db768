"""The worker of a camera: ``python -m edgeai_core.sensors.capture DEVICE`` writes frames to its output until it ends.

Run by ``CameraSource``. What a camera driver does to this process, it does to no other.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from edgeai_core.sensors.camera import HEADER, MAGIC


def capture(device: str, out: int) -> int:
    """Grab and write frames; return the exit code. A file is played at its own pace, and ends."""
    import cv2

    cv2.utils.logging.setLogLevel(0)
    played = Path(device).is_file()
    camera = cv2.VideoCapture(int(device) if device.isdigit() else device)
    if not camera.isOpened():
        sys.stderr.write("cannot be opened: is it there, connected, and not in use by another program?\n")
        return 1
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    rate_hz = camera.get(cv2.CAP_PROP_FPS)
    period_ns = int(1e9 / rate_hz) if played and 0 < rate_hz < 1000 else 0
    due_ns = time.monotonic_ns()
    while True:
        if period_ns:
            time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            due_ns += period_ns
        if not camera.grab():
            if played:
                return 0
            sys.stderr.write("the camera gives no more frames\n")
            return 1
        time_ns = time.monotonic_ns()
        ok, frame = camera.retrieve()
        if not ok or frame is None or frame.dtype.name != "uint8":
            continue
        height, width = frame.shape[:2]
        channels = 1 if frame.ndim == 2 else frame.shape[2]
        _write(out, HEADER.pack(MAGIC, time_ns, height, width, channels) + frame.tobytes())


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


if __name__ == "__main__":
    try:
        sys.exit(capture(sys.argv[1], sys.stdout.fileno()))
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
