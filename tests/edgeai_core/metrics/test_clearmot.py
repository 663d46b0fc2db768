"""CLEAR MOT and its averages over recall, on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_core.metrics.clearmot import Scene, averages, clear_mot, recall_thresholds


def scene(
    truth: list[tuple[int, int]],
    tracks: list[tuple[int, int, float]],
    pairs: list[tuple[int, int, float]],
    truth_ignored: tuple[int, ...] = (),
    track_ignored: tuple[int, ...] = (),
) -> Scene:
    """Truth rows (frame, id), track rows (frame, id, score), pairs (truth row, track row, similarity)."""
    t, k, p = np.array(truth).reshape(-1, 2), np.array(tracks).reshape(-1, 3), np.array(pairs).reshape(-1, 3)
    return Scene(
        t[:, 0].astype(int), t[:, 1].astype(int), np.isin(np.arange(len(t)), truth_ignored),
        k[:, 0].astype(int), k[:, 1].astype(int), k[:, 2].astype(float), np.isin(np.arange(len(k)), track_ignored),
        p[:, 0].astype(int), p[:, 1].astype(int), p[:, 2].astype(float),
    )  # fmt: skip


def test_misses_false_rows_and_switches_are_counted() -> None:
    # one car over five frames: track 1, track 1, missed, track 2, track 2; and a false box
    truth = [(f, 7) for f in range(5)]
    tracks = [(0, 1, 1.0), (1, 1, 1.0), (3, 2, 1.0), (4, 3, 1.0), (4, 9, 1.0)]
    counts = clear_mot([scene(truth, tracks, [(0, 0, 0.8), (1, 1, 0.6), (3, 2, 0.7), (4, 3, 0.5)])])
    # after the miss the number may differ; from frame 3 to frame 4 it may not
    assert (counts.truth, counts.found, counts.missed, counts.false, counts.switches) == (5, 4, 1, 1, 1)
    assert counts.mota == pytest.approx(1 - 3 / 5)
    assert counts.motp == pytest.approx(0.65)


def test_ignored_truth_is_neither_found_nor_missed_and_ignored_tracks_are_not_false() -> None:
    truth, tracks = [(0, 1), (0, 2), (1, 1)], [(0, 1, 1.0), (0, 5, 1.0), (1, 1, 1.0)]
    counts = clear_mot(
        [scene(truth, tracks, [(0, 0, 0.9), (2, 2, 0.9)], truth_ignored=(1,), track_ignored=(1,))]
    )
    assert (counts.truth, counts.missed, counts.false) == (2, 0, 0)
    assert counts.mota == 1.0


def test_rivals_are_matched_so_that_most_are_found() -> None:
    truth, tracks = [(0, 1), (0, 2)], [(0, 1, 1.0), (0, 2, 1.0)]
    counts = clear_mot([scene(truth, tracks, [(0, 0, 0.9), (0, 1, 0.3), (1, 0, 0.4)])])
    assert (counts.found, counts.false) == (2, 0)
    assert counts.similarity == pytest.approx(0.7)


def test_an_ignored_row_between_two_tracks_forgives_the_switch() -> None:
    truth, tracks = [(f, 1) for f in range(4)], [(0, 1, 1.0), (1, 1, 1.0), (2, 2, 1.0), (3, 2, 1.0)]
    pairs = [(i, i, 0.9) for i in range(4)]
    assert clear_mot([scene(truth, tracks, pairs)]).switches == 1
    assert clear_mot([scene(truth, tracks, pairs, truth_ignored=(1,))]).switches == 0


def test_perfect_tracks_score_one_at_every_recall() -> None:
    rng = np.random.default_rng(0)
    truth = [(f, i) for i in range(40) for f in range(10)]
    tracks = [(f, i, float(s)) for i, s in enumerate(rng.normal(size=40)) for f in range(10)]
    result = averages([scene(truth, tracks, [(i, i, 0.8) for i in range(400)])])
    assert result.samota == 1.0
    assert result.best.mota == 1.0
    assert result.amotp == pytest.approx(0.8)
    assert result.amota == pytest.approx(sum(k / 40 for k in range(1, 41)) / 40, abs=0.01)


def test_a_track_is_kept_or_dropped_as_a_whole_by_its_mean_score() -> None:
    truth, tracks = [(0, 1), (1, 1)], [(0, 1, 0.2), (1, 1, 0.8)]
    one = [scene(truth, tracks, [(0, 0, 0.9), (1, 1, 0.9)])]
    assert clear_mot(one, 0.5).found == 2
    assert clear_mot(one, 0.51).found == 0


def test_nothing_at_all_is_no_error() -> None:
    empty = scene([], [], [])
    assert averages([empty]).samota == 0.0
    assert recall_thresholds([empty]) == []
    assert clear_mot([scene([(0, 1)], [], [])]).missed == 1
