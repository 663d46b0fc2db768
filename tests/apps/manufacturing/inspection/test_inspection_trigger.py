"""Parts announced by message: the frame after a trigger is that part's picture, and no other frame is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apps.manufacturing.config import ManufacturingConfig
from apps.manufacturing.inspection.routes import parts_router
from apps.manufacturing.inspection.trigger import MAX_WAITING, TOPIC, TriggeredSource, send_trigger
from edgeai_core.app import App
from edgeai_core.clock import Clock, VirtualClock
from edgeai_core.errors import EndOfStream, InputError
from edgeai_core.http.services import MountedApp
from edgeai_core.sample import Reading
from edgeai_core.sensors.picture import Picture
from edgeai_core.topics.datagram import DatagramSender, topic_folder
from tests.edgeai_core.http.conftest import Running


class Frames:
    """A camera that gives a frame each time it is asked, and ends after ``count``."""

    name = "camera"

    def __init__(self, clock: VirtualClock, count: int) -> None:
        self._clock, self._left, self.closed, self.silent = clock, count, False, False

    def open(self, clock: Clock) -> None:
        pass

    def read(self, timeout_s: float) -> Reading[Picture] | None:
        if self.silent:
            self._clock.sleep_until_ns(self._clock.now_ns() + int(timeout_s * 1e9))
            return None
        if not self._left:
            raise EndOfStream
        self._left -= 1
        self._clock.sleep_until_ns(self._clock.now_ns() + 30_000_000)
        return Reading(Picture(np.full((4, 4), self._left, np.uint8), "camera"), self._clock.now_ns())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def source(run: Path) -> Iterator[TriggeredSource]:
    clock = VirtualClock()
    made = TriggeredSource(Frames(clock, 40), run, patience_s=0.5)
    made.open(clock)
    yield made
    made.close()


def test_no_frame_counts_until_a_part_is_announced(source: TriggeredSource, run: Path) -> None:
    assert source.read(0.1) is None
    assert send_trigger(run, "A-1") == 1
    found = source.read(0.1)
    assert found is not None
    assert (found.data.name, found.sequence) == ("A-1", 1)
    assert source.read(0.1) is None


def test_two_parts_get_a_frame_each_in_the_order_in_which_they_came(
    source: TriggeredSource, run: Path
) -> None:
    send_trigger(run, "A-1")
    send_trigger(run, "A-2")
    first, second = source.read(0.1), source.read(0.1)
    assert first is not None
    assert second is not None
    assert [first.data.name, second.data.name] == ["A-1", "A-2"]
    assert first.time_ns != second.time_ns


def test_triggers_without_a_frame_show_as_lost_pictures(run: Path) -> None:
    clock = VirtualClock()
    camera = Frames(clock, 40)
    source = TriggeredSource(camera, run, patience_s=0.5)
    source.open(clock)
    try:
        camera.silent = True
        for number in range(MAX_WAITING + 3):
            send_trigger(run, f"A-{number}")
            assert source.read(0.0) is None
        camera.silent = False
        found = source.read(0.1)
        assert found is not None
        assert (found.data.name, found.sequence) == ("A-3", 4)
        clock.sleep_until_ns(10_000_000_000)
        assert source.read(0.1) is None
        send_trigger(run, "late")
        found = source.read(0.1)
        assert found is not None
        assert (found.data.name, found.sequence) == ("late", MAX_WAITING + 4)
    finally:
        source.close()


def test_what_is_no_trigger_is_counted_and_passed_over(source: TriggeredSource, run: Path) -> None:
    sender = DatagramSender(topic_folder(run, TOPIC))
    for payload in (b"", b"\xff\xff", b"\x81\xa4part\x01", b"\x93\x01\x02\x03"):
        sender.send(payload)
    sender.close()
    send_trigger(run, "A-1")
    found = source.read(0.1)
    assert found is not None
    assert found.data.name == "A-1"
    assert source.malformed == 4
    for name in ("", "x" * 101):
        with pytest.raises(InputError, match="1 to 100"):
            send_trigger(run, name)


def test_the_end_of_the_camera_is_the_end(run: Path) -> None:
    clock = VirtualClock()
    source = TriggeredSource(Frames(clock, 2), run)
    source.open(clock)
    with pytest.raises(EndOfStream):
        source.read(0.5)
    source.close()
    assert not list(topic_folder(run, TOPIC).iterdir())


def test_a_controller_announces_parts_over_http_and_is_told_when_no_loop_listens(tmp_path: Path) -> None:
    app = App(
        "manufacturing", "Parts", ManufacturingConfig, lambda config: (), router=lambda config: parts_router()
    )
    server = Running(tmp_path / "state", (MountedApp(app, ManufacturingConfig()),))
    try:
        with server.client("device") as client:
            alone = client.post("/v1/manufacturing/parts", json={"part": "A-1"})
            clock = VirtualClock()
            source = TriggeredSource(Frames(clock, 9), server.state.run)
            source.open(clock)
            heard = client.post("/v1/manufacturing/parts", json={"part": "A-1"})
            wrong = client.post("/v1/manufacturing/parts", json={"part": ""})
        found = source.read(0.05)
        source.close()
    finally:
        server.stop()
    assert (alone.status_code, heard.status_code, wrong.status_code) == (503, 202, 422)
    assert "waits for messages" in alone.text
    assert found is not None
    assert found.data.name == "A-1"
