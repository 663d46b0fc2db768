"""A recorded run: complete, replayed to the last bit, honest about what it lacks, and never in a loop's way."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from apps.automotive.messages import BrakeCommand, BrakeStage, CameraImage
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.lifecycle import Change
from edgeai_core.alerts.walltime import now
from edgeai_core.app import App
from edgeai_core.clock import Clock, MonotonicClock, VirtualClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import ConfigError, EndOfStream, InputError
from edgeai_core.loop.cycle import Fault
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Stream
from edgeai_core.process.child import run_loop
from edgeai_core.recording import channels, foxglove
from edgeai_core.recording.evidence import EvidenceLimits, EvidenceRing
from edgeai_core.recording.file import EXACT_TOPIC, Entry, ReadState, RecordingFile, read_entries
from edgeai_core.recording.record import Arrived, Decided, Missing, build, from_bytes, to_buffers, type_name
from edgeai_core.recording.recorder import Recorder
from edgeai_core.recording.replay import Verdict, recorded_config, replay_recording
from edgeai_core.recording.shown import Shown
from edgeai_core.recording.source import RecordedSource, from_recording
from edgeai_core.recording.tap import RecordingTap
from edgeai_core.sample import Reading, Sample
from edgeai_core.sensors.replay import replay
from edgeai_core.state import State, evidence_of
from edgeai_core.topics.stream import RingSink, RingSource

CAMERA = Input[CameraImage]("camera", history="new", depth=50)
NAME = "toy.watch"
CLOCK_NS = 1_700_000_000_000_000_000


class Config(BaseModel):
    limit: float = 100.0


class Pictures:
    """A camera that delivers a fixed number of pictures as fast as they are read."""

    name = "camera"

    def __init__(self, count: int, turn: threading.Semaphore) -> None:
        self._count = count
        self._turn = turn

    def open(self, clock: Clock) -> None:
        self._number = 0
        self._clock = clock

    def read(self, timeout_s: float) -> Reading[CameraImage] | None:
        if self._number == self._count:
            raise EndOfStream
        if not self._turn.acquire(timeout=timeout_s):
            return None
        self._number += 1
        pixels = np.random.default_rng(self._number).integers(0, 255, (60, 80, 3), np.uint8)
        return Reading(CameraImage(pixels), self._clock.now_ns(), self._number)

    def close(self) -> None:
        pass


def watch(count: int = 40, limit: float = 100.0) -> LoopSpec[BrakeCommand]:
    """A loop with a memory: its output depends on every picture since the start, and a cycle follows each."""

    def build_parts() -> Parts[BrakeCommand]:
        mean = 0.0
        turn = threading.Semaphore(1)

        def step(snapshot: Snapshot) -> Decision[BrakeCommand]:
            nonlocal mean
            for sample in snapshot[CAMERA].samples:
                mean = 0.9 * mean + 0.1 * float(np.mean(sample.data.pixels, dtype=np.float32))
                turn.release()
            bright = mean > limit
            conditions = (Condition("BRIGHT", "camera", Priority.HIGH, "It is bright"),) if bright else ()
            stage = BrakeStage.FULL if bright else BrakeStage.NONE
            return Decision(
                BrakeCommand(snapshot.now_ns, stage, mean, time_to_collision_s=float("nan")), conditions
            )

        def fallback(snapshot: Snapshot, fault: Fault) -> Decision[BrakeCommand]:
            return Decision(BrakeCommand(snapshot.now_ns, BrakeStage.FULL, 9.0), None)

        return Parts((Pictures(count, turn),), step, fallback)

    safe = Decision(BrakeCommand(0, BrakeStage.FULL, 9.0))
    return LoopSpec("watch", On(CAMERA), (CAMERA,), build_parts, 1.0, safe)


def show_image(image: CameraImage, time_ns: int) -> Mapping[str, Shown]:
    return {"": foxglove.compressed_image(image.pixels, time_ns, "camera")}


TOY = App(
    "toy",
    "a toy",
    Config,
    lambda config: [watch(limit=config.limit)],
    channels=lambda: {CameraImage: show_image},
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "load_app", lambda name: TOY)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state").create()


@contextmanager
def recording(state: State, file: Path | None, **limits: Any) -> Iterator[Recorder]:
    recorder = Recorder(state, file, **limits)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.stop()
        thread.join()


def run_recorded(state: State, spec: LoopSpec[Any]) -> None:
    tap = RecordingTap(state.run, "toy", spec.name, Config().model_dump_json())
    Loop(spec, spec.build(), MonotonicClock(), sinks=[tap], tap=tap).run()
    tap.close()
    assert tap.dropped == 0


@pytest.fixture
def recorded(state: State, tmp_path: Path) -> Path:
    path = tmp_path / "run.mcap"
    with recording(state, path):
        run_recorded(state, watch())
    return path


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- records


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


# -- limits


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


# -- evidence


def raise_alert(state: State, alert_id: str, priority: Priority = Priority.HIGH) -> None:
    condition = Condition("BRIGHT", alert_id, priority, "It is bright")
    journal = Journal(state.journal, device="here")
    journal.append([Change(True, "toy", "watch", condition, now(), alert_id, by="toy.watch")])
    journal.close()


def test_the_time_around_a_critical_alert_is_kept_under_the_alert_s_id(state: State) -> None:
    Journal(state.journal, device="here").close()
    limits = EvidenceLimits(before_s=60, after_s=60)
    with recording(state, None, evidence=limits):
        run_recorded(state, watch(20))
        raise_alert(state, "low-one", Priority.LOW)
        raise_alert(state, "first")
        wait_until(lambda: evidence_of(state.evidence, "first") is not None)
        run_recorded(state, watch(5))
        raise_alert(state, "second")
        wait_until(lambda: evidence_of(state.evidence, "second") is not None)
    first, second = (evidence_of(state.evidence, each) for each in ("first", "second"))
    assert first is not None
    assert second is not None
    assert first.samefile(second)  # one stretch of time, kept once
    assert evidence_of(state.evidence, "low-one") is None
    assert evidence_of(state.evidence, "../journal") is None
    state_of_file = ReadState()
    entries = list(read_entries(first, state_of_file))
    assert state_of_file.metadata["alert"] == "first"
    assert sum(entry.topic == "/toy.watch/camera/preview" for entry in entries) == 25
    verdict = Verdict()
    list(replay_recording(first, {NAME: watch()}, verdict))
    assert verdict.equal


def test_evidence_keeps_the_previews_of_large_pictures_and_its_replay_says_what_is_missing(
    state: State,
) -> None:
    Journal(state.journal, device="here").close()
    image = CameraImage(np.zeros((300, 300, 3), np.uint8))
    with recording(state, None, evidence=EvidenceLimits(before_s=60, after_s=60)):
        tap = RecordingTap(state.run, "toy", "watch", "{}")
        tap.arrived("camera", Sample(image, 1, 1, 1))
        tap.close()
        raise_alert(state, "one")
        wait_until(lambda: evidence_of(state.evidence, "one") is not None)
    path = evidence_of(state.evidence, "one")
    assert path is not None
    entries = list(read_entries(path))
    assert [entry.lossy for entry in entries if "camera" in entry.topic] == [True]
    assert path.stat().st_size < 30_000
    verdict = Verdict()
    list(replay_recording(path, {NAME: watch()}, verdict))
    assert verdict.missing == 1


def entry(second: float, size: int = 1000) -> Entry:
    return Entry("/edgeai/toy.watch", CLOCK_NS + int(second * 1e9), bytes(size))


def finish(ring: EvidenceRing, second: float) -> None:
    """Let the ring write what waits, which it does a little at a time, and close what is complete."""
    while ring._open:
        ring.tick(CLOCK_NS + int(second * 1e9))


def test_an_alert_that_is_raised_again_keeps_the_evidence_of_its_first_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = EvidenceRing(tmp_path / "evidence", 0, EvidenceLimits(before_s=10, after_s=2))
    ring.add(entry(1))
    path = ring.alert("a", CLOCK_NS + int(1e9), [], {})
    finish(ring, 10)
    ring.add(entry(20))
    assert ring.alert("a", CLOCK_NS + int(20e9), [], {}) == path
    assert not ring._open
    assert path is not None
    assert [(each.log_ns - CLOCK_NS) // 10**9 for each in read_entries(path)] == [1]
    assert not caplog.records or all(each.levelname != "ERROR" for each in caplog.records)


def test_evidence_holds_its_window_its_memory_and_its_disk(tmp_path: Path) -> None:
    limits = EvidenceLimits(before_s=10, after_s=2, memory_bytes=1_000_000, disk_bytes=8_000_000)
    ring = EvidenceRing(tmp_path / "evidence", 0, limits)
    for second in range(30):
        ring.add(entry(second))
    path = ring.alert("a", CLOCK_NS + int(29e9), [], {})
    for second in (30, 31):
        ring.add(entry(second))
    finish(ring, 32)
    assert path is not None
    times = [(each.log_ns - CLOCK_NS) // 10**9 for each in read_entries(path)]
    assert times == [*range(19, 30), 30, 31]
    for second in range(60, 70):
        ring.add(entry(second, 300_000))
    assert ring._bytes <= 1_000_000
    for number in range(40):
        at_s = 100.0 + 10 * number
        ring.add(Entry("/x", CLOCK_NS + int(at_s * 1e9), np.random.default_rng(number).bytes(300_000)))
        ring.alert(f"n{number}", CLOCK_NS + int(at_s * 1e9), [], {})
        finish(ring, at_s + 5)
    files = list((tmp_path / "evidence").iterdir())
    assert sum(each.stat().st_size for each in files) <= 8_000_000
    assert evidence_of(tmp_path / "evidence", "n39") is not None
    assert evidence_of(tmp_path / "evidence", "a") is None


def test_a_recorder_that_starts_again_leaves_what_was_recorded_alone(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    for _ in range(2):
        with recording(state, path):
            run_recorded(state, replace(watch(3)))
    assert path.exists()
    assert (tmp_path / "run-2.mcap").exists()
