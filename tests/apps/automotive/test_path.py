"""Paths and their Frenet frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.automotive.path import Path, boxes_overlap, wrap
from edgeai_core.errors import InputError


def arc(radius_m: float, angle_rad: float = 1.5) -> Path:
    at = np.linspace(0.0, angle_rad, 200)
    return Path(radius_m * np.sin(at), radius_m * (1 - np.cos(at)))


@given(st.floats(-20.0, 180.0), st.floats(-6.0, 6.0), st.floats(60.0, 500.0))
def test_a_place_beside_a_path_comes_back_as_it_went(s_m: float, d_m: float, radius_m: float) -> None:
    path = arc(radius_m)
    inside = min(s_m, path.length_m * 0.95)
    x, y, _ = path.to_ground(inside, d_m)
    s, d = path.to_frenet(x, y)
    assert float(s[0]) == pytest.approx(inside, abs=0.03)
    assert float(d[0]) == pytest.approx(d_m, abs=0.02)


def test_a_bend_has_its_curvature_and_heading() -> None:
    path = arc(100.0)
    assert float(path.curvature(70.0)) == pytest.approx(0.01, rel=0.02)
    assert float(path.yaw(70.0)) == pytest.approx(0.7, abs=0.01)
    assert path.length_m == pytest.approx(150.0, rel=0.001)


def test_beyond_its_ends_a_path_goes_straight_on() -> None:
    path = Path([0.0, 10.0], [0.0, 0.0])
    x, y, yaw = path.to_ground(np.array([-5.0, 25.0]), np.array([1.0, 2.0]))
    assert x == pytest.approx([-5.0, 25.0], abs=1e-5)
    assert y == pytest.approx([1.0, 2.0])
    assert yaw.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("x", "y"), [([0.0], [0.0]), ([0.0, 0.0], [1.0, 1.0]), ([0.0, math.nan], [0.0, 1.0]), ([0.0, 1.0], [0.0])]
)
def test_what_is_no_path_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(InputError, match="a path needs"):
        Path(x, y)


@given(st.floats(-50.0, 50.0))
def test_angles_come_back_into_one_turn(angle_rad: float) -> None:
    turned = float(wrap(angle_rad))
    assert -math.pi <= turned <= math.pi
    assert math.cos(turned) == pytest.approx(math.cos(angle_rad), abs=1e-6)


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(-3.2, 3.2), st.floats(-3.2, 3.2))
def test_boxes_overlap_exactly_where_points_of_one_lie_in_the_other(
    x: float, y: float, yaw_a: float, yaw_b: float
) -> None:
    found = boxes_overlap(
        (0.0, 0.0, yaw_a, 4.0, 2.0),
        np.array([x]),
        np.array([y]),
        np.array([yaw_b]),
        np.array([5.0]),
        np.array([1.0]),
    )
    grid = np.stack(np.meshgrid(np.linspace(-2.5, 2.5, 60), np.linspace(-0.5, 0.5, 20)), axis=-1).reshape(
        -1, 2
    )
    cos, sin = math.cos(yaw_b), math.sin(yaw_b)
    points = np.stack(
        [x + cos * grid[:, 0] - sin * grid[:, 1], y + sin * grid[:, 0] + cos * grid[:, 1]], axis=1
    )
    cos, sin = math.cos(yaw_a), math.sin(yaw_a)
    along, across = cos * points[:, 0] + sin * points[:, 1], cos * points[:, 1] - sin * points[:, 0]
    if ((np.abs(along) < 2.0) & (np.abs(across) < 1.0)).any():
        assert found[0]
    if ((np.abs(along) > 2.2) | (np.abs(across) > 1.2)).all():
        assert not found[0] or (np.hypot(along, across) < 4.0).any()
