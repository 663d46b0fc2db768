"""Cameras in a process of their own: one that hangs is killed and started anew, and nobody else waits for it."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from edgeai_core.clock import Clock
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import MAX_PIXELS, Picture, frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER = struct.Struct("<4sqIII")
"""Before every frame that our own worker writes: MAGIC, monotonic nanoseconds, height, width, channels."""

MAGIC = b"EDGF"

START_S = 15.0
"""A camera may take so long to its first frame: network cameras wait for a key frame."""

_LAST_WORDS = 2000


class CameraSource:
    """Frames of a camera that OpenCV opens: an index (``"0"``), a file, or a URL (``rtsp://``).

    The worker stamps each frame when it has been grabbed, on the clock of this machine, so its age is known here.
    ``read`` raises SensorError where no frame came for ``frame_timeout_s`` (``START_S`` for the first), or the worker
    ended; the core then closes the source, waits, and opens it again, longer each time. A file ends as a stream does.
    """

    def __init__(self, name: str, device: str, *, frame_timeout_s: float = 2.0) -> None:
        self.name = name
        self._device = device
        command = [sys.executable, "-m", "edgeai_core.sensors.capture", device]
        self._worker = _Worker(command, f"camera {_hidden(device)}", frame_timeout_s)
        self._sequence = 0

    def open(self, clock: Clock) -> None:
        """Start the worker."""
        self._worker.start()

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the next frame, with the time at which it was grabbed."""
        worker = self._worker
        if not worker.fill(HEADER.size, timeout_s):
            return None
        magic, time_ns, height, width, channels = HEADER.unpack_from(worker.buffer)
        if magic != MAGIC or not 0 < height * width <= MAX_PIXELS or channels not in (1, 3):
            raise SensorError(f"{worker.what}: its worker wrote something that is no frame")
        size = HEADER.size + height * width * channels
        if not worker.fill(size, timeout_s):
            return None
        pixels = _pixels(worker.take(size)[HEADER.size :], height, width, channels)
        self._sequence += 1
        return Reading(Picture(pixels, self.name), time_ns, self._sequence)

    def close(self) -> None:
        """Kill the worker."""
        self._worker.stop()


class CommandSource:
    """Frames that a program writes to its output as raw blue-green-red bytes: ffmpeg or gst-launch, for CSI cameras.

    It is started as a list of arguments, without a shell, and must write frames of ``height`` x ``width``. A frame's
    time is that of its last byte. Errors and restarts are those of ``CameraSource``.
    """

    def __init__(
        self, name: str, command: Sequence[str], height: int, width: int, *, frame_timeout_s: float = 2.0
    ) -> None:
        self.name = name
        self._shape = (height, width)
        self._worker = _Worker(list(command), f"camera program {command[0]}", frame_timeout_s)
        self._sequence = 0

    def open(self, clock: Clock) -> None:
        """Start the program."""
        self._clock = clock
        self._worker.start()

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the next frame."""
        height, width = self._shape
        size = height * width * 3
        if not self._worker.fill(size, timeout_s):
            return None
        pixels = _pixels(self._worker.take(size), height, width, 3)
        self._sequence += 1
        return Reading(Picture(pixels, self.name), self._clock.now_ns(), self._sequence)

    def close(self) -> None:
        """Kill the program."""
        self._worker.stop()


class _Worker:
    """A child process and the bytes it has written."""

    def __init__(self, command: list[str], what: str, frame_timeout_s: float) -> None:
        self.what = what
        self.buffer = bytearray()
        self._command, self._frame_timeout_s = command, frame_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._words = b""

    def start(self) -> None:
        """Start the child. Raises SensorError where that is impossible."""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise SensorError(f"{self.what}: {self._command[0]} does not start: {error.strerror}") from error
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        self.buffer.clear()
        self._words = b""
        self._began = self._heard = time.monotonic()
        self._first = True

    def fill(self, size: int, timeout_s: float) -> bool:
        """Read until the buffer holds ``size`` bytes or the time is over. Raises SensorError, EndOfStream."""
        process = self._process
        if process is None:
            raise SensorError(f"{self.what}: not open")
        assert process.stdout is not None
        assert process.stderr is not None
        until = time.monotonic() + timeout_s
        while len(self.buffer) < size:
            left = until - time.monotonic()
            ready, _, _ = select.select([process.stdout, process.stderr], [], [], max(left, 0.0))
            if process.stderr in ready and not self._listen(process.stderr):
                ready = [each for each in ready if each is process.stdout]
            if process.stdout in ready:
                block = os.read(process.stdout.fileno(), 1 << 20)
                if not block:
                    self._ended(process)
                self.buffer += block
                self._heard = time.monotonic()
                continue
            self._complain_of_silence()
            if left <= 0:
                return False
        return True

    def take(self, size: int) -> bytes:
        """Remove the first ``size`` bytes and return them."""
        frame = bytes(self.buffer[:size])
        del self.buffer[:size]
        self._first = False
        return frame

    def stop(self) -> None:
        """Kill the child with all it has started, and reap it."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _listen(self, stream: IO[bytes]) -> bool:
        try:
            words = os.read(stream.fileno(), 1 << 14)
        except BlockingIOError:
            return True
        self._words = (self._words + words)[-_LAST_WORDS:]
        if not words:
            time.sleep(0.001)  # closed: the output's end follows
        return bool(words)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            code = -1
        if code == 0 and not self.buffer and not self._first:
            raise EndOfStream
        assert process.stderr is not None
        try:
            self._words += os.read(process.stderr.fileno(), 1 << 14)
        except (BlockingIOError, OSError):
            pass
        said = self._words.decode("utf-8", "replace").strip().splitlines()
        raise SensorError(f"{self.what} ended ({code}): {said[-1] if said else 'it said nothing'}")

    def _complain_of_silence(self) -> None:
        limit_s = max(START_S, self._frame_timeout_s) if self._first else self._frame_timeout_s
        silent_s = time.monotonic() - self._heard
        if silent_s > limit_s:
            raise SensorError(f"{self.what}: no frame for {silent_s:.1f} s; started anew")


def _pixels(raw: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    import numpy as np

    shape = (height, width) if channels == 1 else (height, width, channels)
    return frozen(np.frombuffer(raw, np.uint8).reshape(shape))


def _hidden(device: str) -> str:
    """A URL without the name and password in it: what is said of a camera is logged."""
    scheme, found, rest = device.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else device
