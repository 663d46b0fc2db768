"""Parts announced by message: a camera's frames become one picture for each trigger, named as the part it announces."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

from edgeai_core.clock import Clock
from edgeai_core.errors import InputError, SensorError
from edgeai_core.loop.spec import Source
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import Picture
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender, topic_folder
from edgeai_core.topics.message import decode, encode

TOPIC = "manufacturing.inspection.trigger"

MAX_NAME = 100
"""Characters of a part's name."""

MAX_WAITING = 32
"""So many triggers may wait for their frames; the oldest are lost, and counted, when more come."""

_LOOK_S = 0.02


def send_trigger(run: Path, part: str) -> int:
    """Announce a part to the loops of this device whose state's folder of sockets is ``run``; return how many heard.

    Raises InputError for a name that is empty or too long.
    """
    if not 0 < len(part) <= MAX_NAME:
        raise InputError(f"a part's name has 1 to {MAX_NAME} characters, not {len(part)}")
    sender = DatagramSender(topic_folder(run, TOPIC))
    try:
        return sender.send(encode({"part": part}))
    finally:
        sender.close()


class TriggeredSource:
    """A camera of which only the frames count that follow a trigger: the first one that is grabbed after it.

    The sequence counts triggers, so one that got no frame in ``patience_s`` shows as a lost picture.
    Errors and the end of the stream are the camera's.
    """

    def __init__(self, camera: Source[Picture], run: Path, *, patience_s: float = 2.0) -> None:
        self.name = camera.name
        self.malformed = 0
        self._camera, self._run, self._patience_ns = camera, run, int(patience_s * 1e9)
        self._receiver: DatagramReceiver | None = None
        self._waiting: deque[tuple[int, int, str]] = deque(maxlen=MAX_WAITING)
        self._triggers = 0

    def open(self, clock: Clock) -> None:
        """Open the camera and begin to listen."""
        self._clock = clock
        self._receiver = DatagramReceiver(topic_folder(self._run, TOPIC))
        try:
            self._camera.open(clock)
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        """Return the picture of the next part that was announced; None where none was, or it is still to come."""
        until_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        while True:
            self._listen()
            left_s = max(0.0, (until_ns - self._clock.now_ns()) / 1e9)
            frame = self._camera.read(min(left_s, _LOOK_S))
            found = None if frame is None else self._answered(frame)
            if found is not None or left_s <= _LOOK_S:
                return found

    def close(self) -> None:
        """Let go of the camera and of the socket."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
        self._waiting.clear()
        self._camera.close()

    def _listen(self) -> None:
        if self._receiver is None:
            raise SensorError(f"{self.name}: is read before it was opened")
        now_ns = self._clock.now_ns()
        while (payload := self._receiver.receive()) is not None:
            try:
                part = decode(payload, arrays=False)["part"]
            except (InputError, KeyError, TypeError):
                part = None
            if not isinstance(part, str) or not 0 < len(part) <= MAX_NAME:
                self.malformed += 1
                continue
            self._triggers += 1
            self._waiting.append((now_ns, self._triggers, part))
        while self._waiting and now_ns - self._waiting[0][0] > self._patience_ns:
            self._waiting.popleft()

    def _answered(self, frame: Reading[Picture]) -> Reading[Picture] | None:
        time_ns = self._clock.now_ns() if frame.time_ns is None else frame.time_ns
        if not self._waiting or time_ns < self._waiting[0][0]:
            return None
        _, number, part = self._waiting.popleft()
        return Reading(replace(frame.data, name=part), time_ns, number)
