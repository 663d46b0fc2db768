"""Ventricular beats counted: what is a couplet, a run, bigeminy, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.annotations import labels_from
from apps.healthcare.ecg.beat_class import CLASSES, Labelled
from apps.healthcare.ecg.ectopy import LONGEST_COUPLING_S, Ectopy, EctopyTracker
from apps.healthcare.ecg.ectopy_figures import RunCounts, run_figures, runs


def labelled(times_s: list[float], classes: str, probability: float = 0.9) -> Labelled:
    probabilities = np.full((len(classes), len(CLASSES)), (1 - probability) / 3)
    for row, kind in zip(probabilities, classes, strict=True):
        row[CLASSES.index(kind)] = probability
    return Labelled(np.array(times_s), tuple(classes), probabilities, np.zeros(len(classes)))


def after(classes: str, interval_s: float = 0.5) -> Ectopy:
    """What is known after beats at even intervals, the first at 1 s."""
    tracker = EctopyTracker()
    times_s = [1.0 + interval_s * i for i in range(len(classes))]
    tracker.push(labelled(times_s, classes))
    return tracker.at(times_s[-1])


def test_two_ventricular_beats_are_a_couplet_and_three_are_a_run_with_its_rate() -> None:
    assert after("NNVN") == Ectopy(per_minute=1, certainty=pytest.approx(0.9))
    assert after("NVV").couplet_s is None
    couplet = after("NVVN")
    assert (couplet.couplet_s, couplet.run_s, couplet.run_beats) == (2.0, None, 0)
    run = after("NVVVVN", 0.4)
    assert run.run_s == pytest.approx(1.0 + 4 * 0.4)
    assert run.run_beats == 4
    assert run.run_bpm == pytest.approx(150.0)
    assert run.couplet_s is None


def test_supraventricular_and_fusion_beats_end_a_run() -> None:
    for kind in "SF":
        assert after(f"VV{kind}VV").run_s is None


def test_every_second_beat_ventricular_is_bigeminy_from_the_third_pair_on() -> None:
    assert after("NVNV").bigeminy_s is None
    assert after("NVNVNV").bigeminy_s == pytest.approx(3.5)
    assert after("NNVNVNV").bigeminy_s is None
    assert after("VNVNVNV").bigeminy_s == pytest.approx(4.0)
    assert after("NVNVNVNV").bigeminy_s == pytest.approx(4.5)
    assert after("VNNVNNVNNV").bigeminy_s is None
    assert after("VNVNVVNVNV").bigeminy_s is None


def test_slow_escapes_are_neither_couplet_nor_run() -> None:
    assert after("VVV", LONGEST_COUPLING_S).run_beats == 3
    escapes = after("VVV", LONGEST_COUPLING_S + 0.01)
    assert (escapes.couplet_s, escapes.run_s, escapes.per_minute) == (None, None, 3)


def test_beats_across_a_lost_signal_are_no_neighbours() -> None:
    tracker = EctopyTracker()
    tracker.push(labelled([1.0, 1.4], "VV"))
    tracker.lost()
    tracker.push(labelled([1.8], "V"))
    assert tracker.at(2.0).run_s is None


def test_ventricular_beats_are_forgotten_after_a_minute() -> None:
    tracker = EctopyTracker()
    tracker.push(labelled([1.0, 2.0], "VN"))
    assert tracker.at(60.9).per_minute == 1
    assert tracker.at(61.0) == Ectopy()


@given(st.text("NSVF", max_size=60), st.data())
def test_what_is_known_does_not_depend_on_how_beats_came(classes: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(classes)))
    times_s = [0.5 * i for i in range(len(classes))]
    whole, parts = EctopyTracker(), EctopyTracker()
    whole.push(labelled(times_s, classes))
    parts.push(labelled(times_s[:cut], classes[:cut]))
    parts.push(labelled(times_s[cut:], classes[cut:]))
    assert whole.at(30.0) == parts.at(30.0)


def test_runs_are_counted_by_overlap_and_those_soon_after_each_other_are_one_alert() -> None:
    symbols = list("NVVVN" + "NVVN" + "NVVVVN")
    times_s = np.arange(len(symbols)) * 0.5
    labels = labels_from("atr", times_s, symbols, [""] * len(symbols), 10.0)
    said = labelled([*times_s.tolist(), 2000.0, 2000.5, 2001.0], "NNVVNNVVVNNVVNVVVV")
    counts = RunCounts.of("p", "r", said, labels, 0.5)
    assert (counts.annotated, counts.found, counts.called, counts.right, counts.alerts) == (2, 0, 2, 0, 2)
    exact = RunCounts.of("p", "r", labelled(times_s.tolist(), "".join(symbols)), labels, 0.5)
    assert (exact.annotated, exact.found, exact.called, exact.right, exact.alerts) == (2, 2, 2, 2, 1)
    figures = run_figures([counts, exact], "note")
    assert figures["pvc_run_sensitivity"].value == 0.5
    assert figures["pvc_run_ppv"].value == 0.5
    assert (figures["pvc_run_alerts_per_hour"].value, figures["pvc_run_alerts_per_hour"].n) == (3.0, 3)
    assert run_figures([], "")["pvc_run_ppv"].value is None


@given(st.text("NV", max_size=40))
def test_the_runs_of_figures_are_those_that_the_loop_tells(classes: str) -> None:
    times_s = [0.5 * i for i in range(len(classes))]
    tracker, told = EctopyTracker(), set()
    for at in range(len(classes)):
        tracker.push(labelled(times_s[at : at + 1], classes[at]))
        known = tracker.at(times_s[at])
        if known.run_s == times_s[at] and not classes[at + 1 :].startswith("V"):
            told.add(known.run_s)
    assert {end for _, end in runs(times_s, classes)} == told
