"""The tracker: births, coasting, deaths, crowds, classes; and measurements in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_core.fusion.association import assign, assign_in_turn
from edgeai_core.fusion.gating import chi_square_gate, squared_distances
from edgeai_core.fusion.history import History
from edgeai_core.fusion.imm import ModelSet
from edgeai_core.fusion.motion import ConstantVelocity
from edgeai_core.fusion.observation import Position
from edgeai_core.fusion.tracker import Lifecycle, Scan, Sensor, Tracker, TrackTable

VIEW = Position((0, 1), (0.2, 0.2), (0.0,) * 4, (0.0, 0.0, 5.0, 5.0))
SENSOR = Sensor("points", VIEW, 0.9, 1e-3, 1e-4)


def tracker(**life: float) -> Tracker:
    return Tracker(ModelSet((ConstantVelocity(2, 0.5),)), 4, Lifecycle(**life), classes=2)


def follow(rows: list[list[list[float]]], **life: float) -> list[TrackTable]:
    t = tracker(**life)
    table, tables = t.empty(0.0), []
    for k, points in enumerate(rows):
        table, _ = t.update(t.predict(table, 0.1 * k), Scan(0.1 * k, SENSOR, np.array(points).reshape(-1, 2)))
        tables.append(table)
    return tables


def test_what_is_seen_again_and_again_is_confirmed_and_keeps_its_number() -> None:
    tables = follow([[[k * 1.0, 0.0]] for k in range(10)])
    assert not tables[0].confirmed.any()
    assert tables[-1].confirmed.tolist() == [True]
    assert {table.id[0] for table in tables} == {1}
    assert tables[-1].belief.mean[0, 0, 2] == pytest.approx(10.0, abs=0.5)


def test_a_single_false_measurement_never_counts_and_is_forgotten() -> None:
    tables = follow([[[50.0, 50.0]], *[[]] * 20])
    assert not any(table.confirmed.any() for table in tables)
    assert len(tables[-1]) == 0


def test_a_track_coasts_through_a_gap_and_dies_of_a_long_one() -> None:
    seen = [[[k * 1.0, 0.0]] for k in range(15)]
    tables = follow([*seen, *[[]] * 4, *[[[k * 1.0, 0.0]] for k in range(19, 25)], *[[]] * 40], coast_s=1.5)
    assert tables[18].id.tolist() == [1]
    assert tables[24].id[0] == 1
    assert tables[18].existence[0] < tables[14].existence[0]
    assert len(tables[-1]) == 0


def test_two_that_cross_keep_their_numbers() -> None:
    rows = [[[k * 1.0, 5 - k * 0.5], [k * 1.0, -5 + k * 0.5]] for k in range(21)]
    tables = follow(rows)
    up = tables[5].id[np.argmax(tables[5].belief.mean[:, 0, 1])]
    down = tables[-1].id[np.argmin(tables[-1].belief.mean[:, 0, 1])]
    assert len(tables[-1]) == 2
    assert up == down


def test_what_looks_like_another_kind_is_another_thing() -> None:
    t = tracker()
    table = t.empty(0.0)
    car, person = np.array([[1.9, 0.1]]), np.array([[0.1, 1.9]])
    for k in range(8):
        points = np.array([[0.0, 0.0], [0.9, 0.0]])
        classes = np.concatenate([car, person])
        if k == 7:  # the person steps aside; alone in the middle, its kind says which of the two it is
            points, classes = np.array([[0.45, 0.0]]), person
        table, went = t.update(t.predict(table, 0.1 * k), Scan(0.1 * k, SENSOR, points, classes=classes))
    assert np.argmax(table.classes[went.row[0]]) == 1


def test_no_measurements_no_tracks_and_many_measurements_are_all_fine() -> None:
    assert len(follow([[]])[0]) == 0
    rng = np.random.default_rng(0)
    table = follow([rng.uniform(0, 100, (500, 2)).tolist() for _ in range(3)])[-1]
    assert np.isfinite(table.belief.mean).all()
    assert np.isfinite(table.log_odds).all()


@given(st.integers(0, 10_000))
def test_assignment_finds_what_no_exchange_can_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain = np.where(rng.random((6, 7)) < 0.5, rng.normal(1, 2, (6, 7)), -np.inf)
    rows, columns = assign(gain)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (gain[rows, columns] > 0).all()
    from scipy.optimize import linear_sum_assignment

    padded = np.concatenate([np.maximum(gain, 0), np.zeros((6, 6))], axis=1)
    i, j = linear_sum_assignment(padded, maximize=True)
    assert gain[rows, columns].sum() == pytest.approx(padded[i, j].sum())


def test_a_track_that_hardly_exists_takes_nothing_from_one_that_does() -> None:
    gain = np.array([[5.0, 4.0], [9.0, -np.inf]])
    rows, columns = assign_in_turn(gain, np.array([True, False]))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0)]


def test_gates_let_pass_what_they_promise() -> None:
    rng = np.random.default_rng(3)
    root = np.array([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.1, 0.2, 0.3]])
    off = (rng.normal(size=(50_000, 3)) @ root.T)[None]
    for k in (2, 3):
        s = (root @ root.T)[:k, :k]
        passed = squared_distances(off[..., :k], np.linalg.inv(s)[None]) < chi_square_gate(k, 0.99)
        assert passed.mean() == pytest.approx(0.99, abs=0.003)


@given(st.permutations(list(range(9))))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    rng = np.random.default_rng(5)
    scans = [
        Scan(0.1 * k, SENSOR, np.array([[k * 1.0, 0.0], [20.0, k * 0.5]]) + rng.normal(0, 0.1, (2, 2)))
        for k in range(9)
    ]
    straight, mixed = History(tracker(), 5.0), History(tracker(), 5.0)
    for scan in scans:
        straight.push(scan)
    for k in order:
        mixed.push(scans[k])
    a, b = straight.table, mixed.table
    assert a is not None
    assert b is not None
    assert np.array_equal(a.belief.mean, b.belief.mean)
    assert np.array_equal(a.log_odds, b.log_odds)


def test_a_late_scan_keeps_the_numbers_and_a_too_late_one_is_refused_and_counted() -> None:
    history = History(tracker(), memory_s=0.5)
    for k in (0, 1, 2, 3, 5, 6):
        history.push(Scan(0.1 * k, SENSOR, np.array([[k * 1.0, 0.0]])))
    assert history.table is not None
    before = history.table.id.tolist()
    assert history.push(Scan(0.4, SENSOR, np.array([[4.0, 0.0]]))) is not None
    assert history.table.id.tolist() == before
    assert history.push(Scan(0.05, SENSOR, np.array([[0.0, 0.0]]))) is None
    assert history.refused == 1
    ahead = history.at(1.0)
    assert ahead is not None
    assert ahead.belief.mean[0, 0, 0] == pytest.approx(10.0, abs=0.5)
