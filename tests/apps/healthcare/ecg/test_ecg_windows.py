"""Windows are sorted by their labels, and the rate of labelled VT is measured, by one rule for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.healthcare.ecg.annotations import OTHER, VF, VT, Header, Interval, Labels, labels_from
from apps.healthcare.ecg.rhythm import RATE_HZ
from apps.healthcare.ecg.windows import (
    KINDS,
    SLOW_VT,
    UNLABELLED,
    Record,
    by_bare_labels,
    is_slow,
    shares,
    stretch_rate_bpm,
    truth_of,
)


def share(**kinds: float) -> np.ndarray:
    row = np.zeros((1, len(KINDS)), dtype=np.float32)
    for name, value in kinds.items():
        row[0, KINDS.index(name.replace("_", " ").replace("SLOW", "slow"))] = value
    return row


def sorts(row: np.ndarray) -> list[str]:
    truth = truth_of(row)
    return [name for name, value in vars(truth).items() if value[0]]


@pytest.mark.parametrize(
    ("row", "sort"),
    [
        (share(VF=1.0), ["positive"]),
        (share(VT=0.5, VF=0.3, OTHER=0.2), ["positive"]),
        (share(VT=0.79, OTHER=0.21), ["mixed"]),
        (share(VT=0.01, OTHER=0.99), ["mixed"]),
        (share(OTHER=1.0), ["negative"]),
        (share(ASYS=1.0), ["negative"]),
        (share(OTHER=0.8, NOISE=0.2), ["negative"]),
        (share(OTHER=0.7, NOISE=0.3), ["noisy"]),
        (share(VT=0.5, NOISE=0.5), []),
        (share(SLOW_VT=0.1, OTHER=0.9), ["slow"]),
        (share(unlabelled=0.5, OTHER=0.5), []),
    ],
)
def test_windows_are_sorted_by_what_is_in_them(row: np.ndarray, sort: list[str]) -> None:
    assert sorts(row) == sort


@given(st.lists(st.integers(0, len(KINDS) - 1), min_size=20, max_size=200), st.integers(1, 20))
def test_shares_are_what_counting_gives_and_no_window_has_two_sorts(kinds: list[int], size: int) -> None:
    array = np.array(kinds, dtype=np.int8)
    starts = np.arange(0, len(array) - size + 1)
    found = shares(array, starts, size)
    for start in starts:
        counted = np.bincount(array[start : start + size], minlength=len(KINDS)) / size
        assert found[start] == pytest.approx(counted)
    truth = truth_of(found)
    assert (sum(value.astype(int) for value in vars(truth).values()) <= 1).all()


def labels(beats: list[float], rhythm: str = "(VT") -> Labels:
    marks = [(0.0, "+", rhythm), *((t, "V", "") for t in beats)]
    return labels_from(
        "atr", np.array([t for t, _, _ in marks]), [s for _, s, _ in marks], [n for *_, n in marks], 20
    )


def wave(rate_bpm: float, seconds: float = 20, leads: int = 2) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    beat = np.exp(4 * np.cos(2 * np.pi * rate_bpm / 60 * time_s))
    return np.tile((beat / beat.max())[:, None], (1, leads)).astype(np.float32)


def test_reference_beats_tell_the_rate_of_a_stretch() -> None:
    beats = labels([1.0 + 0.55 * i for i in range(20)])
    assert stretch_rate_bpm(Interval(0, 20, VT), beats, wave(200)) == pytest.approx(60 / 0.55)


@pytest.mark.parametrize("rate_bpm", [80, 110, 130, 180, 240, 300])
def test_without_beats_the_waves_tell_the_rate(rate_bpm: float) -> None:
    found = stretch_rate_bpm(Interval(0, 20, VT), labels([]), wave(rate_bpm))
    assert found == pytest.approx(rate_bpm, rel=0.04)


def test_a_rate_that_cannot_be_told_is_not_slow() -> None:
    assert stretch_rate_bpm(Interval(0, 1, VT), labels([0.5, 1.5]), wave(100)) is None
    assert stretch_rate_bpm(Interval(0, 0.1, VT), labels([]), wave(100)) is None
    assert not is_slow(None)
    assert is_slow(119.9)
    assert not is_slow(120.0)


def test_bare_labels_take_slow_vt_for_vt() -> None:
    slow = Interval(2, 8, VT)
    truth = labels([])
    kinds = np.full(round(20 * RATE_HZ), KINDS.index(OTHER), dtype=np.int8)
    kinds[250:1000] = KINDS.index(SLOW_VT)
    header = Header(Path("r1"), 250.0, 20.0, ("II",), (0,), (1.0,))
    rhythms = (Interval(0, 2, OTHER), slow, Interval(8, 20, OTHER))
    record = Record(
        header,
        Labels("atr", rhythms, "rhythm labels", truth.beat_s, (), ()),
        "r1",
        wave(100, leads=1),
        kinds,
        (slow,),
    )
    bare = by_bare_labels(record)
    assert set(record.kinds[250:1000]) == {KINDS.index(SLOW_VT)}
    assert set(bare.kinds[250:1000]) == {KINDS.index(VT)}
    assert UNLABELLED not in {KINDS[kind] for kind in bare.kinds}
    assert VF not in {KINDS[kind] for kind in bare.kinds}
