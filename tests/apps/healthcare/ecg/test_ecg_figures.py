"""Figures of windows and beats, counted by hand on a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.healthcare.ecg.annotations import OTHER, VF, Header, Labels
from apps.healthcare.ecg.beat_figures import BeatCounts, beat_figures
from apps.healthcare.ecg.rhythm import CLASSES, LONG, WINDOWS, Reading
from apps.healthcare.ecg.scores import HOP, Scores, fit_readings
from apps.healthcare.ecg.window_figures import window_figures, window_rows
from apps.healthcare.ecg.windows import KINDS, Record
from edgeai_core.errors import InputError

READINGS = {window: Reading(1.0, 0.0, 0.5) for window in WINDOWS}


def scored(name: str, kind: str, odds: list[float], folder: str = "db") -> Scores:
    """A record of one kind throughout, whose windows have the given log-odds of VF."""
    count = len(odds)
    samples = (count - 1) * HOP + LONG
    record = Record(
        Header(Path(folder) / name, 250.0, samples / 125, ("II",), (0,), (1.0,)),
        Labels("atr", (), "rhythm labels", np.empty(0), (), ()),
        name,
        np.zeros((samples, 1), dtype=np.float32),
        np.full(samples, KINDS.index(kind), dtype=np.int8),
        (),
    )
    logits = np.full((count, len(CLASSES)), -30.0, dtype=np.float32)
    logits[:, CLASSES.index(OTHER)] = 0
    logits[:, CLASSES.index(VF)] = odds
    flat = np.zeros(count, dtype=bool)
    return Scores(
        record, np.arange(count) * HOP, dict.fromkeys(WINDOWS, logits), dict.fromkeys(WINDOWS, flat)
    )


def test_sensitivity_and_specificity_are_pooled_and_by_record() -> None:
    scores = [
        scored("a", VF, [3, 3, 3, -3]),
        scored("b", VF, [3, 3]),
        scored("c", OTHER, [-3, -3, -3, -3, 3]),
        scored("d", "NOISE", [3, -3]),
        scored("e", "slow VT", [-3]),
    ]
    figures = window_figures([(each, READINGS) for each in scores])
    assert (figures["vfvt_4s_sensitivity"].value, figures["vfvt_4s_sensitivity"].n) == (
        pytest.approx(5 / 6),
        6,
    )
    assert (figures["vfvt_2s_specificity"].value, figures["vfvt_2s_specificity"].n) == (pytest.approx(0.8), 5)
    assert figures["vfvt_4s_sensitivity_mean_of_db_records"].value == pytest.approx((0.75 + 1) / 2)
    assert (figures["noise_alarm_rate"].value, figures["noise_alarm_rate"].n) == (0.5, 2)
    assert figures["noise_share"].value == pytest.approx(2 / 14)
    assert figures["slow_vt_alarm_rate"].value == 0.0
    interval = figures["vfvt_4s_sensitivity"]
    assert interval.low is not None
    assert interval.low <= 5 / 6 <= (interval.high or 0)
    rows = {(row["record"], row["window"]): row for row in window_rows([(each, READINGS) for each in scores])}
    assert rows["a", "4s"]["missed"] == 1
    assert rows["c", "2s"]["false_calls"] == 1


def test_figures_without_positive_windows_are_none_and_say_why() -> None:
    figures = window_figures([(scored("c", OTHER, [-3, 3]), READINGS)])
    assert figures["vfvt_4s_sensitivity"].value is None
    assert figures["vfvt_4s_sensitivity"].note
    assert figures["vfvt_4s_specificity"].value == 0.5


def test_no_record_at_all_gives_figures_without_values() -> None:
    assert window_figures([])["vfvt_4s_sensitivity"].value is None


def test_readings_are_fitted_to_the_wanted_specificity() -> None:
    random = np.random.default_rng(0)
    healthy = scored("c", OTHER, random.normal(-4, 1, 1000).tolist())
    ill = scored("a", VF, random.normal(1, 1, 200).tolist())
    reading = fit_readings([healthy, ill])["4s"]
    probabilities = reading.probabilities(healthy.logits["4s"], healthy.flat["4s"])
    assert reading.positive(probabilities).mean() == pytest.approx(0.021, abs=0.002)


def test_readings_need_both_kinds() -> None:
    with pytest.raises(InputError, match="both kinds are needed"):
        fit_readings([scored("c", OTHER, [0.0, 1.0])])


def test_beats_are_pooled_and_the_worst_record_named() -> None:
    figures = beat_figures([BeatCounts("p1", "r1", 90, 10, 0, 0.5), BeatCounts("p2", "r2", 10, 0, 10, 0.25)])
    assert figures["qrs_sensitivity"].value == pytest.approx(100 / 110)
    assert figures["qrs_ppv"].value == pytest.approx(100 / 110)
    assert figures["qrs_worst_record_f1"].value == pytest.approx(20 / 30)
    assert "r2" in figures["qrs_worst_record_f1"].note
    assert figures["qrs_seconds"].value == 0.75


def test_without_annotated_beats_there_are_no_figures_of_beats() -> None:
    assert beat_figures([])["qrs_f1"].value is None
