"""What a loop promises when things go wrong, and what it counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.clock import Clock, MonotonicClock, VirtualClock
from edgeai_core.decision import Condition, Decision, Priority
from edgeai_core.errors import ConfigError, EndOfStream, InputError
from edgeai_core.loop.cycle import Cycle, FaultKind
from edgeai_core.loop.degradation import DegradationLadder
from edgeai_core.loop.loop import LARGEST_RUN_OF_EXCEPTIONS, Loop, LoopGaveUp
from edgeai_core.loop.schedule import Schedule
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Degradation, Every, Input, LoopSpec, On, Parts
from edgeai_core.loop.statistics import (
    LoopStatistics,
    bucket_of,
    bucket_upper_ns,
    read_progress,
    read_statistics,
)
from edgeai_core.sample import Reading
from edgeai_core.sensors.replay import Recorder, replay_recorded

SECOND_NS = 1_000_000_000
NUMBER: Input[int] = Input("number", history="new", depth=64)
SAFE = Decision("safe", conditions=None)


class Counting:
    name = "number"

    def __init__(self, until: int) -> None:
        self.until = until

    def open(self, clock: Clock) -> None:
        self.next = 0

    def read(self, timeout_s: float) -> Reading[int]:
        self.next += 1
        if self.next > self.until:
            raise EndOfStream
        return Reading(self.next, sequence=self.next)

    def close(self) -> None: ...


def spec_of(
    step: Any, fallback: Any = None, until: int = 5, deadline_s: float = 10.0, **more: Any
) -> LoopSpec[str]:
    fall = fallback or (lambda snapshot, fault: Decision(f"fallback {fault.kind}", conditions=None))
    return LoopSpec(
        "toy",
        more.pop("trigger", On(NUMBER)),
        (NUMBER,),
        lambda: Parts((Counting(until),), step, fall),
        deadline_s,
        SAFE,
        **more,
    )


class Keeping:
    def __init__(self) -> None:
        self.cycles: list[Cycle[Any]] = []

    def put(self, cycle: Cycle[Any]) -> None:
        self.cycles.append(cycle)


def run(spec: LoopSpec[str], **more: Any) -> list[Cycle[Any]]:
    sink = Keeping()
    Loop(spec, spec.build(), MonotonicClock(), sinks=[sink], **more).run()
    return sink.cycles


def test_an_exception_in_the_step_is_answered_by_the_fallback_and_named_with_its_place() -> None:
    def step(snapshot: Snapshot) -> Decision[str]:
        raise ValueError("no such thing")

    cycle = run(spec_of(step, until=1))[0]
    assert cycle.decision.output == "fallback exception"
    assert cycle.fault is not None
    assert "ValueError at test_loop.py:" in cycle.fault.message
    assert "no such thing" in cycle.fault.message


def test_when_even_the_fallback_fails_the_safe_decision_holds() -> None:
    def broken(*_: object) -> Decision[str]:
        raise RuntimeError

    assert run(spec_of(broken, broken, until=1))[0].decision is SAFE


def test_a_late_decision_gives_up_its_output_but_its_conditions_count() -> None:
    condition = Condition("HOT", "oven", Priority.HIGH)

    def step(snapshot: Snapshot) -> Decision[str]:
        return Decision("late", (condition,))

    cycle = run(spec_of(step, until=1, deadline_s=1e-9))[0]
    assert cycle.decision.output == "fallback overrun"
    assert cycle.conditions_of.conditions == (condition,)
    assert cycle.fault is not None
    assert cycle.fault.kind is FaultKind.OVERRUN


def test_a_step_that_fails_again_and_again_ends_the_loop_so_that_it_is_built_anew() -> None:
    calls = []

    class Slowly(Counting):
        def read(self, timeout_s: float) -> Reading[int]:
            while len(calls) < self.next:  # one item a cycle, so that each failure is a cycle of its own
                pass
            return super().read(timeout_s)

    def step(snapshot: Snapshot) -> Decision[str]:
        calls.append(1)
        raise ValueError

    spec = spec_of(step)
    parts = Parts((Slowly(10**6),), step, lambda s, f: SAFE)
    with pytest.raises(LoopGaveUp, match="20 times in a row"):
        Loop(spec, parts, MonotonicClock()).run()
    assert len(calls) == LARGEST_RUN_OF_EXCEPTIONS


def test_a_recorded_live_run_replays_to_the_same_decisions() -> None:
    def build_step() -> Any:
        total = [0]

        def step(snapshot: Snapshot) -> Decision[str]:
            total[0] += sum(sample.data for sample in snapshot[NUMBER].samples)
            return Decision(
                f"{snapshot.number} {total[0]} {snapshot.now_ns - snapshot.release_ns} {snapshot[NUMBER]}"
            )

        return step

    def spec() -> LoopSpec[str]:
        step = build_step()
        return LoopSpec(
            "toy",
            Every(500.0),
            (NUMBER,),
            lambda: Parts((Counting(3000),), step, lambda s, f: Decision(f"fallback {f.kind}")),
            0.0005,
            SAFE,
        )

    recorder, sink = Recorder(), Keeping()
    live = spec()
    Loop(live, live.build(), MonotonicClock(), sinks=[sink, recorder], tap=recorder).run()
    again = list(replay_recorded(spec(), recorder.arrivals, recorder.moments))
    assert [c.decision for c in again] == [c.decision for c in sink.cycles]
    assert [c.late for c in again] == [c.late for c in sink.cycles]


def test_an_input_that_nobody_makes_is_refused_at_the_start_by_name() -> None:
    spec = LoopSpec(
        "toy", Every(1.0), (NUMBER,), lambda: Parts((), lambda s: SAFE, lambda s, f: SAFE), 1.0, SAFE
    )
    with pytest.raises(ConfigError, match="nothing makes input 'number'"):
        Loop(spec, spec.build(), MonotonicClock())


@pytest.mark.parametrize(("start_within_s", "late"), [(None, True), (15.0, False)])
def test_a_loop_waits_for_its_first_input_as_long_as_it_declares(
    start_within_s: float | None, late: bool
) -> None:
    clock = VirtualClock()
    spec = spec_of(lambda snapshot: Decision("step"), start_within_s=start_within_s)
    loop = Loop(spec, spec.build(), clock, fed={"number"})
    for second in (0.5, 1.0):
        clock.sleep_until_ns(int(second * SECOND_NS))
        assert loop.starting
    clock.sleep_until_ns(int(14.9 * SECOND_NS))
    assert loop.starting is not late
    clock.sleep_until_ns(int(15.1 * SECOND_NS))
    assert not loop.starting


@given(rate_hz=st.floats(0.01, 5000), stalls=st.lists(st.floats(0, 10), max_size=30))
def test_releases_stay_on_the_grid_and_missed_ones_are_counted_never_caught_up(
    rate_hz: float, stalls: list[float]
) -> None:
    schedule = Schedule(rate_hz, 1000)
    now_ns, missed_all = 1000, 0
    for taken, stall_s in enumerate(stalls):
        now_ns = max(now_ns + int(stall_s * SECOND_NS), schedule.next_release_ns)
        release_ns, missed = schedule.take(now_ns)
        missed_all += missed
        assert release_ns <= now_ns < schedule.next_release_ns
        assert abs(release_ns - 1000 - (taken + missed_all) * SECOND_NS / rate_hz) < 2 + now_ns * 1e-6


def test_a_schedule_does_not_drift_in_a_year_of_cycles_at_360_hz() -> None:
    schedule = Schedule(360.0, 0)
    year_ns = 365 * 86400 * SECOND_NS
    release_ns, _ = schedule.take(year_ns)
    assert release_ns == year_ns


def test_a_loop_steps_down_when_it_overruns_and_comes_back_later_at_every_relapse() -> None:
    ladder = DegradationLadder([Degradation("half rate", after=2, within_s=1.0, back_after_s=5.0)])
    second = SECOND_NS
    assert [ladder.note(t, True) for t in (0, 2 * second)] == [0, 0]
    assert ladder.note(2 * second + 1, True) == 1
    assert ladder.names == ("half rate",)
    assert ladder.note(7 * second, False) == 1
    assert ladder.note(7 * second + 2, False) == 0
    ladder.note(8 * second, True)
    assert ladder.note(8 * second, True) == 1
    assert ladder.note(17 * second, False) == 1
    assert ladder.note(18 * second, False) == 0


@given(value_ns=st.integers(0, 2**40))
def test_a_histogram_is_exact_to_an_eighth(value_ns: int) -> None:
    upper_ns = bucket_upper_ns(bucket_of(value_ns))
    assert value_ns <= upper_ns <= max(value_ns * 1.125, 16)
    assert value_ns == 0 or bucket_of(value_ns - 1) <= bucket_of(value_ns)


def test_statistics_are_readable_by_another_process_while_the_loop_runs(tmp_path: Path) -> None:
    path = tmp_path / "run" / "app.toy.stats"

    def step(snapshot: Snapshot) -> Decision[str]:
        with snapshot.stages.stage("count"):
            return Decision("ok")

    spec = spec_of(step, until=40, deadline_s=5.0)
    statistics = LoopStatistics(spec, "app", path)
    cycles = run(spec, statistics=statistics)
    code = (
        "import json, sys, pathlib; from edgeai_core.loop.statistics import *;"
        "print(json.dumps(read_statistics(pathlib.Path(sys.argv[1]))))"
    )
    import json

    read = json.loads(
        subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True).stdout
    )
    assert read["cycles"] == len(cycles) == statistics.progress - read["idle_wakes"]
    assert read["app"] == "app"
    assert read["stage_count_us"]["count"] == len(cycles)
    assert read["duration_us"]["p50"] <= read["duration_us"]["p99"] <= read["duration_us"]["max"]
    assert read["ended"] is True
    assert read_progress(path) == statistics.progress


def test_a_file_that_is_no_statistics_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.stats").write_bytes(b"hello")
    with pytest.raises(InputError, match="is not a loop's statistics file"):
        read_statistics(tmp_path / "x.stats")
    assert read_progress(tmp_path / "missing.stats") is None


def test_a_virtual_clock_never_goes_back() -> None:
    clock = VirtualClock(5)
    clock.sleep_until_ns(3)
    assert clock.now_ns() == 5


def test_the_loop_imports_without_numpy_and_pydantic() -> None:
    code = (
        "import sys, edgeai_core.loop.loop, edgeai_core.app, edgeai_core.decision;"
        "print([m for m in ('numpy', 'pydantic', 'scipy', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
