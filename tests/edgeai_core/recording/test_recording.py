"""A recorded run: complete, replayed to the last bit, honest about what it lacks, and never in a loop's way."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.automotive.messages import BrakeCommand, BrakeStage, CameraImage
from edgeai_core.clock import MonotonicClock, VirtualClock
from edgeai_core.decision import Decision
from edgeai_core.errors import ConfigError, EndOfStream, InputError
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Stream
from edgeai_core.process.child import run_loop
from edgeai_core.recording.file import EXACT_TOPIC, Entry, ReadState, read_entries
from edgeai_core.recording.record import Arrived, Decided, Missing, build, from_bytes, to_buffers, type_name
from edgeai_core.recording.replay import Verdict, recorded_config, replay_recording
from edgeai_core.recording.source import RecordedSource, from_recording
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.sample import Reading
from edgeai_core.sensors.replay import replay
from edgeai_core.state import State
from edgeai_core.topics.stream import RingSink, RingSource

from .conftest import (
    CAMERA,
    NAME,
    TOY,
    Config,
    recording,
    run_recorded,
    wait_until,
    watch,
)


@given(
    st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(), st.binary(), st.none()),
    st.integers(0, 2**60),
    st.one_of(st.none(), st.integers(-(2**50), 2**50)),
)
def test_whatever_arrives_is_the_same_after_it_was_recorded(
    data: Any, at_ns: int, sequence: int | None
) -> None:
    record = Arrived("camera", at_ns, at_ns, sequence, 3, True, type_name(data), data)
    assert from_bytes(b"".join(to_buffers(record))) == record


def test_arrays_keep_type_shape_and_layout_and_lie_where_fresh_ones_do() -> None:
    image = CameraImage(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)[:, ::-1])
    record = Arrived("camera", 1, 1, 1, 1, False, type_name(image), [image, np.zeros((0, 3)), np.ones(3)])
    back = from_bytes(b"".join(bytes(each) for each in to_buffers(record)))
    assert isinstance(back, Arrived)
    got = build(record.type, back.data[0])
    np.testing.assert_array_equal(got.pixels, image.pixels)
    assert not got.pixels.flags.writeable
    assert got.pixels.ctypes.data % 64 == 0
    assert back.data[1].shape == (0, 3)


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:Popen", "apps.automotive.messages:np", "apps.none:X"]
)
def test_a_recording_can_name_only_records_of_the_core_and_of_apps(name: str) -> None:
    with pytest.raises(InputError, match="names"):
        build(name, {})


def test_a_record_that_is_cut_or_foreign_is_refused() -> None:
    whole = b"".join(to_buffers(Missing(1, "", 0)))
    for data in (b"", whole[:-1], whole + b"x", whole.replace(b"missing", b"mission")):
        with pytest.raises(InputError):
            from_bytes(data)


# -- a run


def test_a_recorded_run_replays_to_the_last_bit(recorded: Path) -> None:
    verdict = Verdict()
    steps = list(replay_recording(recorded, {NAME: watch()}, verdict))
    assert verdict.equal
    assert str(verdict) == f"the replay equals the live decisions: {len(steps)} cycles, none differs"
    assert steps[-1].cycle.decision.output.deceleration_mps2 > 100.0
    assert steps[-1].cycle.decision.conditions
    assert sum(len(step.cycle.snapshot[CAMERA].samples) for step in steps) == 40
    assert recorded_config(recorded, TOY) == Config()


@pytest.mark.parametrize("recorded_input", [True, False])
def test_a_loop_that_receives_what_names_people_leaves_nothing_in_a_recording(
    state: State, tmp_path: Path, recorded_input: bool
) -> None:
    path = tmp_path / "run.mcap"
    camera = replace(CAMERA, recorded=recorded_input)
    spec = replace(watch(), inputs=(camera,), trigger=On(camera))
    with recording(state, path):
        run_loop(TOY, spec, state, recorded=Config().model_dump_json())
    topics = {entry.topic for entry in read_entries(path, ReadState())} if path.exists() else set()
    assert (f"/edgeai/{NAME}" in topics) is recorded_input


def test_a_changed_step_is_found_and_the_first_moment_named(recorded: Path) -> None:
    verdict = Verdict()
    steps = list(replay_recording(recorded, {NAME: watch(limit=1e9)}, verdict))
    assert not verdict.equal
    first = next(step for step in steps if not step.same)
    assert verdict.first_s == first.time_s
    assert first.cycle.decision.output.stage is BrakeStage.NONE
    assert first.live.output["stage"] == "full"
    assert f"first at {first.time_s:.3f} s" in str(verdict)


def test_people_see_pictures_decisions_and_alerts_and_a_picture_is_named_a_preview(recorded: Path) -> None:
    state = ReadState()
    seen: dict[str, list[Entry]] = {}
    for entry in read_entries(recorded, state):
        seen.setdefault(entry.topic, []).append(entry)
    assert state.whole
    assert state.metadata["version"]
    picture = seen["/toy.watch/camera/preview"][0]
    assert picture.schema == "foxglove.CompressedImage"
    assert picture.lossy
    message = json.loads(picture.data)
    assert base64.b64decode(message["data"])[:3] == b"\xff\xd8\xff"
    assert message["timestamp"]["sec"] == picture.publish_ns // 10**9
    assert len(seen["/toy.watch/camera/preview"]) == 40
    output = json.loads(seen["/toy.watch"][-1].data)
    assert output["stage"] == "full"
    assert "time_to_collision_s" not in output  # a number that JSON does not know
    (line,) = [json.loads(each.data) for each in seen["/log"]]
    assert line["message"] == "BRIGHT (camera, high) It is bright"
    assert line["level"] == 5


def test_the_file_is_an_mcap_that_the_published_reader_opens_by_its_index(recorded: Path) -> None:
    from mcap.reader import make_reader

    with recorded.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        schemas = {schema.name: schema.encoding for schema in summary.schemas.values()}
        assert schemas["foxglove.CompressedImage"] == "jsonschema"
        assert sum(1 for _ in reader.iter_messages(topics=["/toy.watch/camera/preview"])) == 40


def test_a_file_cut_anywhere_reads_up_to_its_last_whole_chunk(recorded: Path, tmp_path: Path) -> None:
    data = recorded.read_bytes()
    cut = tmp_path / "cut.mcap"
    counts = []
    for share in (0.15, 0.4, 0.6, 0.8, 0.97):
        cut.write_bytes(data[: int(len(data) * share)])
        verdict = Verdict()
        counts.append(len(list(replay_recording(cut, {NAME: watch()}, verdict))))
        assert verdict.cut
        assert not verdict.different
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_damaged_chunk_is_skipped_and_said(recorded: Path, tmp_path: Path) -> None:
    data = bytearray(recorded.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(data)
    state = ReadState()
    assert 0 < len(list(read_entries(damaged, state))) < len(list(read_entries(recorded)))
    assert state.damaged == 1


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not an mcap at all", b"\x89MCAP0\r\n" + b"\xff" * 100):
        path = tmp_path / "x.mcap"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.mcap"):
            recorded_config(path, TOY)


def test_a_restart_of_a_loop_begins_its_state_anew_in_the_replay_too(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with recording(state, path):
        for _ in range(2):
            run_recorded(state, watch(10))
    verdict = Verdict()
    list(replay_recording(path, {NAME: watch(10)}, verdict))
    assert verdict.equal
    assert verdict.midway == []


def test_loops_that_meet_over_a_stream_replay_each_by_itself(state: State, tmp_path: Path) -> None:
    """A loop plays a camera into shared memory; another, released by it, sees and remembers every picture."""
    topic = Input[CameraImage]("toy.sim/image", history="new", depth=50)

    def play(snapshot: Snapshot) -> Decision[BrakeCommand]:
        pixels = np.full((60, 80, 3), snapshot.number % 256, np.uint8)
        images = (Reading(CameraImage(pixels), snapshot.now_ns, snapshot.number),)
        return Decision(BrakeCommand(snapshot.now_ns, BrakeStage.NONE, 0.0), streams={"image": images})

    def sim_parts() -> Parts[BrakeCommand]:
        return Parts((), play, lambda snapshot, fault: play(snapshot))

    def see_parts() -> Parts[BrakeCommand]:
        total = 0

        def step(snapshot: Snapshot) -> Decision[BrakeCommand]:
            nonlocal total
            total += sum(int(sample.data.pixels.sum()) for sample in snapshot[topic].samples)
            return Decision(BrakeCommand(snapshot.now_ns, BrakeStage.NONE, float(total)))

        source = RingSource(state.run, "toy.sim/image", CameraImage)
        return Parts((source,), step, lambda snapshot, fault: step(snapshot))

    safe = Decision(BrakeCommand(0, BrakeStage.FULL, 9.0))
    streams = {"image": Stream(CameraImage, 20_000)}
    specs = {
        "toy.sim": LoopSpec("sim", Every(50), (), sim_parts, 10.0, safe, streams=streams),
        "toy.see": LoopSpec("see", On(topic), (topic,), see_parts, 10.0, safe),
    }
    path = tmp_path / "run.mcap"
    with recording(state, path), closing(RingSink(state.run, "toy", "sim", streams)) as sink:
        loops, taps = {}, {}
        for name, spec in specs.items():
            taps[name] = tap = RecordingTap(state.run, "toy", spec.name, "{}")
            loops[name] = Loop(spec, spec.build(), MonotonicClock(), sinks=[sink, tap], tap=tap)
        threads = [threading.Thread(target=loop.run) for loop in reversed(loops.values())]
        for thread in threads:
            thread.start()
        wait_until(lambda: loops["toy.see"].statistics.progress >= 20)
        for loop in loops.values():
            loop.stop()
        for thread in threads:
            thread.join()
        for tap in taps.values():
            tap.close()
    verdict = Verdict()
    seen = {step.loop for step in replay_recording(path, specs, verdict)}
    assert seen == set(specs)
    assert verdict.equal
    assert any(entry.topic == "/toy.sim/image/preview" for entry in read_entries(path))


def exact(entry: Entry) -> Any:
    return from_bytes(entry.data) if entry.topic.startswith(EXACT_TOPIC) else None


def played(source: RecordedSource, clock: VirtualClock) -> Iterator[tuple[int, Reading[Any]]]:
    try:
        while True:
            reading = source.read(1.0)
            if reading is not None:
                yield clock.now_ns(), reading
    except EndOfStream:
        return


def test_a_recorded_input_plays_again_as_a_source_with_its_distances_in_time(recorded: Path) -> None:
    clock = VirtualClock(5_000)
    source = RecordedSource(recorded, NAME, "camera")
    source.check()
    source.open(clock)
    readings = list(played(source, clock))
    source.close()
    live = [
        r
        for e in read_entries(recorded)
        if isinstance(r := from_bytes(e.data) if not e.schema else None, Arrived)
    ]
    assert [each.sequence for _, each in readings] == list(range(1, 41))
    assert [at - readings[0][0] for at, _ in readings] == [each.at_ns - live[0].at_ns for each in live]
    first = readings[0][1]
    assert first.time_ns == live[0].time_ns - live[0].at_ns + 5_000
    np.testing.assert_array_equal(
        first.data.pixels, np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    )
    with pytest.raises(InputError, match="holds nothing of input 'lidar'"):
        RecordedSource(recorded, NAME, "lidar").check()


def test_a_loop_is_fed_from_a_recorded_run_and_decides_what_it_decided(recorded: Path) -> None:
    live = [r.output for e in read_entries(recorded) if isinstance(r := exact(e), Decided)]
    cycles = list(replay(from_recording(watch(count=0), "toy", recorded)))
    assert cycles[-1].decision.output.deceleration_mps2 == live[-1]["deceleration_mps2"]
    assert sum(len(cycle.snapshot[CAMERA].samples) for cycle in cycles) == 40


def test_a_recording_without_this_loop_and_a_durable_input_are_refused(recorded: Path) -> None:
    other = replace(watch(), name="other")
    with pytest.raises(InputError, match=r"holds nothing of camera of loop toy\.other"):
        from_recording(other, "toy", recorded)
    study = replace(CAMERA, history="one", depth=1)
    studies = replace(watch(), trigger=On(study), inputs=(study,))
    with pytest.raises(ConfigError, match="durable"):
        from_recording(studies, "toy", recorded)
