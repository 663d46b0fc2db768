"""Five kinds of loops, each of which must sit well in the contracts before its vertical exists."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edgeai_core.clock import Clock, MonotonicClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import EndOfStream, SensorError
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, On, Parts, Stream
from edgeai_core.sample import Reading
from edgeai_core.sensors.replay import replay, replay_loops

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Output:
    text: str = ""
    number: float = 0.0


SAFE = Decision(Output("safe"), conditions=None)


class Scripted:
    """A source that delivers (due_s, data) at its due time, measured ``delay_s`` earlier."""

    def __init__(
        self, name: str, script: list[tuple[float, Any]], delay_s: float = 0.0, count: int = 1
    ) -> None:
        self.name = name
        self._script = script
        self._delay_ns = int(delay_s * SECOND_NS)
        self._count = count

    def open(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns = clock.now_ns()
        self._left: Iterator[tuple[float, Any]] = iter(self._script)
        self._sequence = 0

    def read(self, timeout_s: float) -> Reading[Any] | None:
        item = next(self._left, None)
        if item is None:
            raise EndOfStream
        due_ns = self._start_ns + round(item[0] * SECOND_NS)
        self._clock.sleep_until_ns(due_ns)
        self._sequence += self._count
        return Reading(item[1], due_ns - self._delay_ns, self._sequence, self._count)

    def close(self) -> None:
        pass


class Sinking:
    """A sink that keeps cycles and stops the loop after ``enough``."""

    def __init__(self, enough: int = 10**9) -> None:
        self.cycles: list[Cycle[Any]] = []
        self.enough = enough
        self.loop: Loop | None = None

    def put(self, cycle: Cycle[Any]) -> None:
        self.cycles.append(cycle)
        if self.loop is not None and len(self.cycles) >= self.enough:
            self.loop.stop()


def fallback(snapshot: Snapshot, fault: Fault) -> Decision[Output]:
    return Decision(Output(f"fallback {fault.kind}"), conditions=None)


def test_chunks_at_360_hz_with_a_hop_of_half_a_second_are_seen_once_each_and_in_order() -> None:
    chunk = 36
    signal = np.arange(3600)
    ecg: Input[np.ndarray] = Input("ecg", history="new", depth=20, max_age_s=2.0)
    script = [((i + 1) * 0.1, signal[i * chunk : (i + 1) * chunk]) for i in range(100)]
    seen: list[np.ndarray] = []

    def step(snapshot: Snapshot) -> Decision[Output]:
        seen.extend(sample.data for sample in snapshot[ecg].samples)
        return Decision(Output(number=float(sum(len(s.data) for s in snapshot[ecg].samples))))

    spec = LoopSpec(
        "ecg",
        Every(2.0),
        (ecg,),
        lambda: Parts((Scripted("ecg", script, count=chunk),), step, fallback),
        0.5,
        SAFE,
    )
    cycles = list(replay(spec))
    np.testing.assert_array_equal(np.concatenate(seen), signal)
    assert {cycle.decision.output.number for cycle in cycles} == {180.0}
    assert all(cycle.fault is None for cycle in cycles)
    assert [cycle.snapshot.release_ns for cycle in cycles] == [SECOND_NS // 2 * n for n in range(1, 21)]


def perception(lidar_until_s: float) -> tuple[LoopSpec[Output], Input[int]]:
    camera: Input[int] = Input("camera")
    lidar: Input[int] = Input("lidar", max_age_s=0.25)
    radar: Input[int] = Input("radar", history="new", depth=8, required=False)
    script = {
        "camera": [(n / 30 + 0.050, n) for n in range(60)],
        "lidar": [(n / 10 + 0.020, n) for n in range(int(lidar_until_s * 10))],
        "radar": [(n / 20 + 0.005, n) for n in range(40)],
    }

    def build() -> Parts[Output]:
        return Parts(
            (
                Scripted("camera", script["camera"], delay_s=0.050),
                Scripted("lidar", script["lidar"], delay_s=0.020),
                Scripted("radar", script["radar"], delay_s=0.005),
            ),
            lambda snapshot: Decision(Output("fused", snapshot[camera].data)),
            fallback,
        )

    return LoopSpec("perception", On(camera), (camera, lidar, radar), build, 1 / 30, SAFE), lidar


def test_camera_lidar_and_radar_with_different_rates_and_delays_are_joined_by_their_times() -> None:
    spec, lidar = perception(lidar_until_s=2.0)
    radar = spec.inputs[2]
    cycles = [cycle for cycle in replay(spec) if cycle.fault is None]
    assert len(cycles) >= 59
    assert sorted(s.data for c in cycles for s in c.snapshot[radar].samples) == list(range(40))
    for cycle in cycles:
        age_ns = cycle.snapshot[lidar].age_ns
        assert age_ns is not None
        assert 20_000_000 <= age_ns <= 130_000_000
        assert cycle.data_time_ns <= cycle.snapshot.now_ns - 50_000_000


def test_a_stale_lidar_is_named_with_its_age_its_maker_and_the_likely_cause() -> None:
    spec, _ = perception(lidar_until_s=1.0)
    stale = [
        cycle.fault for cycle in replay(spec) if cycle.fault is not None and cycle.snapshot.now_ns > SECOND_NS
    ]
    assert stale
    assert all(fault.kind is FaultKind.STALE and fault.input == "lidar" for fault in stale)
    assert stale[0].age_ns is not None
    assert stale[0].age_ns > 250_000_000
    assert "limit 0.25 s" in stale[0].message
    assert "source Scripted" in stale[0].message


def test_parts_release_the_loop_when_they_come_and_a_silent_line_still_shows_life() -> None:
    part: Input[int] = Input("part", history="new", depth=16)
    gate = threading.Event()

    class Line:
        name = "part"

        def open(self, clock: Clock) -> None:
            self.left = [1, 2, 3]

        def read(self, timeout_s: float) -> Reading[int] | None:
            if not self.left:
                raise EndOfStream
            if self.left == [3] and not gate.wait(timeout_s):
                return None
            return Reading(self.left.pop(0))

        def close(self) -> None: ...

    def step(snapshot: Snapshot) -> Decision[Output]:
        rejected = [sample.data for sample in snapshot[part].samples]
        return Decision(
            Output(number=len(rejected)),
            tuple(Condition("REJECT", f"part-{n}", Priority.MEDIUM) for n in rejected),
        )

    spec = LoopSpec(
        "inspection", On(part, idle_s=0.01), (part,), lambda: Parts((Line(),), step, fallback), 1.0, SAFE
    )
    sink = Sinking()
    loop = Loop(spec, spec.build(), MonotonicClock(), sinks=[sink])
    idle = loop.statistics.note_idle

    def note_idle() -> None:
        idle()
        if sum(c.decision.output.number for c in sink.cycles) == 2:
            gate.set()  # the third part comes only once the loop has woken without one

    loop.statistics.note_idle = note_idle  # type: ignore[method-assign]
    loop.run()
    subjects = [c.subject for cycle in sink.cycles for c in cycle.decision.conditions or ()]
    assert subjects == ["part-1", "part-2", "part-3"]
    assert loop.statistics.summary()["idle_wakes"] >= 1  # type: ignore[operator]


class Studies:
    """A durable source: what is not committed comes again when it is opened anew."""

    name = "study"

    def __init__(self, items: dict[int, str]) -> None:
        self.uncommitted = dict(items)

    def open(self, clock: Clock) -> None:
        self.left = sorted(self.uncommitted.items())

    def read(self, timeout_s: float) -> Reading[str] | None:
        if not self.left:
            raise EndOfStream
        sequence, text = self.left.pop(0)
        return Reading(text, sequence=sequence)

    def close(self) -> None: ...

    def commit(self, sequence: int) -> None:
        del self.uncommitted[sequence]


class Ledger:
    """A journal seen from the loop; it cannot write at first."""

    def __init__(self, failures: int = 0) -> None:
        self.attempts: dict[int, int] = {}
        self.rows: list[tuple[int, str]] = []
        self.failures = failures

    def attempt(self, source: str, sequence: int) -> int:
        self.attempts[sequence] = self.attempts.get(sequence, 0) + 1
        return self.attempts[sequence]

    def commit(self, cycle: Cycle[Any], source: str, sequence: int) -> bool:
        if self.failures:
            self.failures -= 1
            return False
        self.rows.append((sequence, cycle.decision.output.text))
        return True


def study_loop(source: Studies, ledger: Ledger, bad: str = "") -> Loop:
    study: Input[str] = Input("study", history="one")

    def step(snapshot: Snapshot) -> Decision[Output]:
        if snapshot[study].data == bad:
            raise ValueError("cannot be read")
        return Decision(Output(f"read {snapshot[study].data}"))

    spec = LoopSpec(
        "triage", On(study, idle_s=0.01), (study,), lambda: Parts((source,), step, fallback), 60.0, SAFE
    )
    return Loop(spec, spec.build(), MonotonicClock(), ledger=ledger)


def test_of_studies_none_is_lost_and_each_is_committed_once_also_when_the_journal_is_full_for_a_while() -> (
    None
):
    source, ledger = Studies({n: f"s{n}" for n in range(1, 6)}), Ledger(failures=3)
    study_loop(source, ledger).run()
    assert ledger.rows == [(n, f"read s{n}") for n in range(1, 6)]
    assert source.uncommitted == {}


def test_a_study_that_makes_the_step_fail_is_refused_after_three_attempts_and_the_next_ones_are_read() -> (
    None
):
    source, ledger = Studies({1: "good", 2: "bad", 3: "good"}), Ledger()
    study_loop(source, ledger, bad="bad").run()
    assert [sequence for sequence, _ in ledger.rows] == [1, 2, 3]
    assert ledger.rows[1][1] == "fallback exception"
    assert ledger.attempts == {1: 1, 2: 4, 3: 1}
    assert source.uncommitted == {}


def test_studies_are_replayed_without_a_journal_each_once_and_in_order() -> None:
    study: Input[str] = Input("study", history="one")
    source = Studies({1: "a", 2: "b", 3: "c"})
    spec = LoopSpec(
        "triage",
        On(study),
        (study,),
        lambda: Parts((source,), lambda s: Decision(Output(f"read {s[study].data}")), fallback),
        1.0,
        SAFE,
    )
    assert [cycle.decision.output.text for cycle in replay(spec)] == ["read a", "read b", "read c"]


def test_a_durable_input_without_a_journal_is_refused_at_the_start() -> None:
    study: Input[str] = Input("study", history="one")
    spec = LoopSpec(
        "triage", On(study), (study,), lambda: Parts((Studies({}),), lambda s: SAFE, fallback), 1.0, SAFE
    )
    with pytest.raises(Exception, match="needs a journal"):
        Loop(spec, spec.build(), MonotonicClock())


def test_a_loop_of_250_hz_keeps_its_schedule_beside_a_busy_thread_and_sees_polled_topics_whole() -> None:
    tracks: Input[int] = Input(
        "automotive.perception", history="new", depth=1024, polled=True, max_age_s=60.0
    )
    published: list[int] = []

    class Topic:
        name = "automotive.perception"

        def open(self, clock: Clock) -> None: ...

        def read(self, timeout_s: float) -> Reading[int] | None:
            assert timeout_s == 0
            return Reading(published.pop(0)) if published else None

        def close(self) -> None: ...

    busy = threading.Event()

    def burn() -> None:
        while not busy.is_set():
            sum(range(1000))

    seen: list[int] = []
    sent = iter(range(10**6))

    def step(snapshot: Snapshot) -> Decision[Output]:
        seen.extend(sample.data for sample in snapshot[tracks].samples)
        published.extend([next(sent), next(sent)])
        return Decision(Output(number=len(seen)))

    published.append(next(sent))
    spec = LoopSpec("braking", Every(250.0), (tracks,), lambda: Parts((Topic(),), step, fallback), 10.0, SAFE)
    sink = Sinking(enough=50)
    loop = sink.loop = Loop(spec, spec.build(), MonotonicClock(), sinks=[sink])
    thread = threading.Thread(target=burn)
    thread.start()
    loop.run()
    busy.set()
    thread.join()
    releases = [cycle.snapshot.release_ns for cycle in sink.cycles]
    assert {(b - a) % 4_000_000 for a, b in itertools.pairwise(releases)} == {0}
    assert all(cycle.start_ns >= cycle.snapshot.release_ns for cycle in sink.cycles)
    assert seen == list(range(len(seen)))
    missed = loop.statistics.summary()["missed_releases"]
    assert (releases[-1] - releases[0]) // 4_000_000 + 1 <= len(releases) + missed  # type: ignore[operator]


def test_loops_that_meet_over_a_topic_replay_together() -> None:
    number: Input[int] = Input("number", history="new", depth=4)
    topic: Input[Output] = Input("toy.first")
    first = LoopSpec(
        "first",
        On(number),
        (number,),
        lambda: Parts(
            (Scripted("number", [(0.1 * n, n) for n in range(5)]),),
            lambda snapshot: Decision(Output(number=2.0 * snapshot[number].data)),
            fallback,
        ),
        0.1,
        SAFE,
    )
    second = LoopSpec(
        "second",
        On(topic),
        (topic,),
        lambda: Parts(
            (), lambda snapshot: Decision(Output(number=snapshot[topic].data.number + 1)), fallback
        ),
        0.1,
        SAFE,
    )
    got = [
        (key, c.decision.output.number) for key, c in replay_loops({"toy.first": first, "toy.second": second})
    ]
    assert [n for key, n in got if key == "toy.second"] == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_a_loop_whose_releasing_stream_falls_silent_goes_on_with_the_others_in_a_replay_too() -> None:
    camera: Input[int] = Input("toy.world/camera", max_age_s=0.2)
    lidar: Input[int] = Input("toy.world/lidar", required=False)

    def world_step(snapshot: Snapshot) -> Decision[Output]:
        streams = {"lidar": (Reading(snapshot.number),)}
        if snapshot.now_ns < 450_000_000:
            streams["camera"] = (Reading(snapshot.number),)
        return Decision(Output(number=0.0), streams=streams)

    published = {name: Stream(int, 64, 4) for name in ("camera", "lidar")}
    world = LoopSpec(
        "world", Every(10.0), (), lambda: Parts((), world_step, fallback), 0.1, SAFE, streams=published
    )
    sees = LoopSpec(
        "sees", On(camera, idle_s=0.1), (camera, lidar),
        lambda: Parts((), lambda _: Decision(Output()), fallback), 0.1, SAFE,
    )  # fmt: skip
    cycles = [
        (cycle.snapshot.now_ns // 10_000_000, cycle.snapshot.silent, cycle.data_time_ns // 10_000_000)
        for key, cycle in replay_loops({"toy.world": world, "toy.sees": sees}, until_s=1.0)
        if key == "toy.sees"
    ]
    assert [at for at, silent, _ in cycles if silent is None] == [0, 10, 20, 30, 40]
    # from when the last picture is too old: what it decides stands on the lidar
    assert [(at, data) for at, silent, data in cycles if silent == "toy.world/camera"] == [
        (70, 70), (80, 80), (90, 90), (100, 100)
    ]  # fmt: skip


def test_a_source_that_fails_is_opened_again_and_its_next_sample_says_so() -> None:
    level: Input[int] = Input("level", history="new", depth=8)
    opened: list[int] = []

    class Shaky:
        name = "level"

        def open(self, clock: Clock) -> None:
            opened.append(1)
            self.left = [10 * len(opened)]

        def read(self, timeout_s: float) -> Reading[int]:
            if self.left:
                return Reading(self.left.pop())
            if len(opened) == 2:
                raise EndOfStream
            raise SensorError("the cable is out")

        def close(self) -> None: ...

    seen: list[tuple[int, bool]] = []

    def step(snapshot: Snapshot) -> Decision[Output]:
        seen.extend((sample.data, sample.restarted) for sample in snapshot[level].samples)
        return Decision(Output())

    spec = LoopSpec("tank", On(level), (level,), lambda: Parts((Shaky(),), step, fallback), 1.0, SAFE)
    Loop(spec, spec.build(), MonotonicClock()).run()
    assert seen == [(10, False), (20, True)]
