"""Topics between processes: the newest output, its age, and honest gaps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.errors import ConfigError, EndOfStream, SensorError
from edgeai_core.loop.cycle import Cycle
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.sample import View
from edgeai_core.topics.datagram import DatagramReceiver, DatagramSender
from edgeai_core.topics.live import LivePublisher, LiveReceiver, LiveSink
from edgeai_core.topics.local import LocalTopic
from edgeai_core.topics.topic import TopicSink, TopicSource


@dataclass(frozen=True)
class Speed:
    value_mps: float


CLOCK = MonotonicClock()


def cycle(
    value: float, ages_ns: Mapping[str, int | None], live: Mapping[str, object] | None = None
) -> Cycle[Speed]:
    views = {name: View[Any]((), age) for name, age in ages_ns.items()}
    snapshot = Snapshot(1, 1_000_000_000, 1_000_000_500, 0, views)
    return Cycle("fusion", snapshot, Decision(Speed(value), live=live or {}), 1_000_000_600, 1_000_001_600)


def test_an_output_arrives_as_its_own_dataclass_with_the_age_of_what_it_stands_on(tmp_path: Path) -> None:
    source = TopicSource(tmp_path, "car.fusion", Speed)
    source.open(CLOCK)
    with closing(TopicSink(tmp_path, "car", "fusion")) as sink:
        sink.put(cycle(3.0, {"camera": 400, "lidar": 100}))
    reading = source.read(5.0)
    source.close()
    assert reading is not None
    assert reading.data == Speed(3.0)
    assert reading.time_ns == 1_000_000_100


def test_messages_lost_on_the_way_show_as_a_gap_and_a_restart_as_a_counter_that_falls(tmp_path: Path) -> None:
    source = TopicSource(tmp_path, "car.fusion", Speed)
    first = TopicSink(tmp_path, "car", "fusion")
    first.put(cycle(0.0, {}))
    source.open(CLOCK)
    first.put(cycle(1.0, {}))
    first.close()
    with closing(TopicSink(tmp_path, "car", "fusion")) as again:
        for value in range(8):
            again.put(cycle(value, {}))
    counters = []
    while (reading := source.read(0.0)) is not None:
        counters.append(reading.sequence or 0)
    source.close()
    assert counters[1] < counters[0]
    assert [b - a for a, b in itertools.pairwise(counters[1:])] == [1] * (len(counters) - 2)


def test_a_slow_subscriber_never_holds_up_the_loop(tmp_path: Path) -> None:
    source = TopicSource(tmp_path, "car.fusion", Speed)
    source.open(CLOCK)
    sink = TopicSink(tmp_path, "car", "fusion")
    for value in range(5000):
        sink.put(cycle(value, {}))
    assert sink.dropped > 0
    got = 0
    while source.read(0.0) is not None:
        got += 1
    source.close()
    sink.close()
    assert got + sink.dropped == 5000


def test_a_loop_that_nobody_hears_costs_no_encoding_and_a_dead_subscriber_is_swept_away(
    tmp_path: Path,
) -> None:
    dead = DatagramReceiver(tmp_path)
    dead._socket.close()  # as if its process had been killed: the name stays, the owner is gone
    sender = DatagramSender(tmp_path)
    assert sender.send(b"x") == 0
    assert list(tmp_path.glob("*.sock")) == []
    sender.close()


def test_folders_too_long_for_a_socket_address_work_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30) / ("deep" * 20)
    receiver = DatagramReceiver(deep)
    sender = DatagramSender(deep)
    assert sender.send(b"hello") == 1
    assert receiver.receive(5.0) == b"hello"
    receiver.close()
    assert list(deep.iterdir()) == []
    sender.close()


def test_a_subscriber_that_comes_later_is_found(tmp_path: Path) -> None:
    sender = DatagramSender(tmp_path / "topic")
    assert sender.send(b"nobody") == 0
    receivers = [DatagramReceiver(tmp_path / "topic") for _ in range(3)]
    assert sender.send(b"all") == 3
    assert [each.receive(5.0) for each in receivers] == [b"all"] * 3
    for each in receivers:
        each.close()
    assert sender.send(b"gone") == 0
    sender.close()


def test_a_foreign_datagram_is_a_sensor_error_that_names_the_topic(tmp_path: Path) -> None:
    source = TopicSource(tmp_path, "car.fusion", Speed)
    with pytest.raises(SensorError, match="before it was opened"):
        source.read(0.0)
    source.open(CLOCK)
    with closing(DatagramSender(tmp_path / "topics" / "car.fusion")) as sender:
        sender.send(b"\xc1 not msgpack")
    with pytest.raises(SensorError, match=r"car\.fusion"):
        source.read(5.0)
    source.close()


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "x" * 200])
def test_a_topic_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a topic"):
        TopicSource(tmp_path, name, Speed)


def test_loops_of_one_process_meet_without_copies() -> None:
    topic = LocalTopic[Speed]("car.fusion")
    early, late = topic.source(depth=2), topic.source()
    early.open(CLOCK)
    topic.publish(Speed(0.0))
    late.open(CLOCK)
    topic.put(cycle(1.0, {}))
    topic.publish(Speed(2.0), time_ns=9)
    got = [early.read(1.0), early.read(1.0)]
    assert [each.sequence for each in got if each] == [2, 3]
    assert early.read(0.0) is None
    first = late.read(1.0)
    assert first is not None
    assert (first.data, first.time_ns) == (Speed(1.0), 1_000_000_500)
    topic.end()
    late.read(1.0)
    with pytest.raises(EndOfStream):
        late.read(1.0)
    early.close()
    late.close()


def test_live_values_reach_every_watcher_with_arrays_ready_for_json(tmp_path: Path) -> None:
    import numpy as np

    watchers = [LiveReceiver(tmp_path), LiveReceiver(tmp_path)]
    publisher = LivePublisher(tmp_path)
    assert publisher.publish("car.fusion/strip", {"samples": np.arange(6.0).reshape(2, 3)}, 5)
    for watcher in watchers:
        message = watcher.receive(5.0)
        assert message is not None
        assert message.topic == "car.fusion/strip"
        assert message.time_ns == 5
        assert message.data == {"samples": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]}
        assert watcher.receive() is None
        watcher.close()
    assert not publisher.publish("car.fusion/strip", 1, 6)
    publisher.close()


def test_a_live_value_too_large_or_strange_is_counted_and_dropped(tmp_path: Path) -> None:
    watcher = LiveReceiver(tmp_path)
    publisher = LivePublisher(tmp_path)
    assert not publisher.publish("a", b"x" * 300_000, 0)
    assert not publisher.publish("a", object(), 0)
    assert publisher.refused == 2
    with closing(DatagramSender(tmp_path / "live")) as sender:
        sender.send(b"\xc1")
    assert publisher.publish("a", 1, 0)
    message = watcher.receive(5.0)
    assert message is not None
    assert message.data == 1
    assert watcher.malformed == 1
    watcher.close()
    publisher.close()


def test_a_loop_shows_its_live_values_always_and_its_tile_ten_times_a_second(tmp_path: Path) -> None:
    watcher = LiveReceiver(tmp_path)
    sink = LiveSink("car", "fusion", LivePublisher(tmp_path))
    for _ in range(3):
        sink.put(cycle(2.0, {"camera": 2_000_000}, live={"strip": [1, 2]}))
    messages = []
    while (message := watcher.receive()) is not None:
        messages.append(message)
    watcher.close()
    sink.close()
    assert [m.topic for m in messages].count("car.fusion/strip") == 3
    tiles = [m.data for m in messages if m.topic == "car.fusion/cycle"]
    assert tiles == [
        {
            "number": 1,
            "level": 0,
            "fault": None,
            "age_ms": 2.0,
            "duration_ms": 0.001,
            "decision": {"value_mps": 2.0},
        }
    ]
