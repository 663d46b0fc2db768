"""Verdicts, the control chart, the camera's watch and the tally."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.manufacturing.inspection.decide import Code, Cusum, PartResult, condition, verdict_of
from apps.manufacturing.inspection.watch import CameraWatch, Counter, StillPart
from apps.manufacturing.simulation.line import Scenario, line_part


@given(st.floats(0, 1))
def test_a_part_passes_only_above_the_pass_quality(quality: float) -> None:
    verdict, confidence = verdict_of(quality, 0.95)
    assert verdict == ("pass" if quality > 0.95 else "reject")
    assert 0 <= confidence <= 1


def test_a_quality_that_is_no_number_does_not_pass() -> None:
    assert verdict_of(math.nan, 0.95)[0] == "reject"


def test_a_condition_says_what_to_do() -> None:
    for code in Code:
        found = condition(code, "line-1")
        assert found.subject == "line-1"
        assert found.title
        assert found.evidence["action"]


def run(chart: Cusum, rate: float, parts: int, seed: int) -> list[Cusum]:
    charts = []
    for rejected in np.random.default_rng(seed).random(parts) < rate:
        chart = chart.after(bool(rejected))
        charts.append(chart)
    return charts


def test_the_chart_finds_a_rate_that_has_tripled_and_seldom_speaks_before() -> None:
    delays = [
        next((n for n, c in enumerate(run(Cusum(0.02), 0.06, 2000, s)) if c.alarm), 2000) for s in range(40)
    ]
    assert np.median(delays) < 250
    in_control = sum(any(c.alarm for c in run(Cusum(0.02), 0.02, 1000, seed)) for seed in range(40))
    assert in_control <= 12


def test_the_chart_comes_back_when_the_rate_does() -> None:
    chart = run(Cusum(0.02), 0.5, 100, 0)[-1]
    assert chart.alarm
    assert not run(chart, 0.0, 400, 0)[-1].alarm


def part(number: int, verdict: str) -> PartResult:
    return PartResult(number, f"p{number}", verdict, 0.5, 0.5, (), number * 0.5)  # type: ignore[arg-type]


def test_the_tally_counts_yield_pace_and_runs() -> None:
    counter = Counter(0.02)
    for number, verdict in enumerate(["pass", "reject", "reject", "cannot tell", "reject", "pass", "reject"]):
        counter.count(part(number, verdict))
    tally = counter.tally
    assert (tally.parts, tally.passed, tally.rejected, tally.not_judged, tally.run_of_rejects) == (
        7,
        2,
        4,
        1,
        1,
    )
    assert tally.yield_share == pytest.approx(2 / 6)
    assert tally.cycle_time_s == pytest.approx(0.5)
    assert tally.parts_per_hour == pytest.approx(7200)


def test_what_could_not_be_judged_neither_ends_nor_lengthens_a_run() -> None:
    counter = Counter(0.02)
    for number, verdict in enumerate(["reject", "cannot tell", "reject"]):
        counter.count(part(number, verdict))
    assert counter.tally.run_of_rejects == 2


def test_every_ailment_of_the_simulated_camera_is_told_and_is_over_when_it_is() -> None:
    watch, last = CameraWatch(), None
    seen: dict[str, set[Code]] = {}
    for number in range(120):
        made = line_part(Scenario.CAMERA, number, 3)
        pixels = last if made.ailment == "frozen" and last is not None else made.part.pixels
        last = pixels
        seen.setdefault(made.ailment, set()).update(watch.look(pixels))
    assert seen["dark"] == {Code.CAMERA_DARK}
    assert Code.CAMERA_BLURRED in seen["blurred"]
    assert Code.CAMERA_FROZEN in seen["frozen"]
    assert Code.CAMERA_MOVED in seen["moved"]
    assert not set(watch.look(line_part(Scenario.SHIFT, 1, 3).part.pixels)) - {Code.CAMERA_MOVED}


def test_a_line_that_is_well_ails_nothing() -> None:
    watch = CameraWatch()
    assert not [code for n in range(60) for code in watch.look(line_part(Scenario.SHIFT, n, 4).part.pixels)]


def test_a_part_before_a_free_running_camera_is_looked_at_once_when_it_lies_still() -> None:
    still, belt = StillPart(), np.full((224, 224), 38, np.uint8)
    part_pixels = line_part(Scenario.SHIFT, 0, 1).part.pixels
    half = np.where(np.arange(224) < 112, part_pixels, belt).astype(np.uint8)
    frames = [
        belt,
        belt,
        belt,
        half,
        part_pixels,
        part_pixels,
        part_pixels,
        part_pixels,
        half,
        belt,
        belt,
        belt,
    ]
    assert [number for number, frame in enumerate(frames) if still.arrived(frame)] == [6]
