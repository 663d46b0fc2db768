"""The road panel in a real browser: what perception, planning and braking publish is drawn, and said in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.automotive.messages import CameraImage, ObjectKind, Odometry, Tracks
from apps.automotive.perception.detections import CameraDetections
from apps.automotive.perception.live import birds_eye, camera_picture
from tests.system.page.panels import publish, served_panels, shown

pytestmark = [pytest.mark.browser, pytest.mark.system]

FOLDER = Path(__file__).parents[3] / "apps" / "automotive" / "page"
HERE = np.array([100.0, 20.0])
"""Where the ego stands in the odometry frame."""


def tracks() -> Tracks:
    """A car ahead, a pedestrian to the right, and something that is not confirmed."""
    return Tracks(
        time_ns=0,
        ego=Odometry(x_m=100.0, y_m=20.0, yaw_rad=0.5, speed_mps=10.0),
        id=np.array([3, 7, 9]),
        kind=np.array([ObjectKind.CAR, ObjectKind.PEDESTRIAN, ObjectKind.UNKNOWN], dtype=np.int8),
        position_m=turned([[25.0, 0.0], [14.0, -4.0], [40.0, 6.0]]) + HERE,
        velocity_mps=turned([[8.0, 0.0], [0.0, 1.4], [0.0, 0.0]]),
        yaw_rad=np.array([0.5, 0.5 + np.pi / 2, 0.0]),
        yaw_rate_radps=np.zeros(3),
        size_m=np.array([[4.5, 1.8, 1.5], [0.6, 0.6, 1.75], [1.0, 1.0, 1.0]]),
        covariance=np.stack(
            [np.diag([0.3, 0.1, 0.5, 0.5]), np.diag([0.2, 0.2, 0.5, 0.5]), np.diag([9.0, 4, 1, 1])]
        ),
        existence=np.array([0.99, 0.9, 0.4]),
        confirmed=np.array([True, True, False]),
        age_s=np.array([3.0, 2.0, 0.1]),
        sensors_lost=("lidar",),
    )


def turned(xy_m: list[list[float]]) -> Any:
    cos, sin = np.cos(0.5), np.sin(0.5)
    return np.array(xy_m) @ np.array([[cos, sin], [-sin, cos]])


def plan() -> dict[str, object]:
    along = np.linspace(0, 60, 31)
    path = turned(np.stack([along, 0 * along], axis=1).tolist()) + HERE
    route = {
        "x_m": path[:, 0].tolist(),
        "y_m": path[:, 1].tolist(),
        "lane_width_m": 3.5,
        "lanes_left": 1,
        "lanes_right": 0,
    }
    return {
        "x_m": path[:15, 0].tolist(), "y_m": path[:15, 1].tolist(), "manoeuvre": "follow",
        "reason": "gap to the car ahead", "safe_stop": False, "route": route,
    }  # fmt: skip


@pytest.fixture
def address() -> Iterator[str]:
    pixels = np.full((360, 640, 3), (90, 120, 60), dtype=np.uint8)
    boxes = CameraDetections(
        np.array([[250.0, 150, 380, 260]]), np.array([1], dtype=np.int8), np.array([0.93])
    )
    with served_panels(FOLDER, camera_picture(CameraImage(pixels), boxes)) as url:
        yield url


def test_the_scene_is_drawn_from_above_and_said_in_words(page: Any, address: str, tmp_path: Path) -> None:
    shown(page, address, "road")
    publish(page, "automotive.perception/seen", birds_eye(tracks(), {"camera": (), "lidar": ()}))
    publish(page, "automotive.planning/plan", plan())
    publish(page, "automotive.braking/brake", {"stage": "none", "deceleration_mps2": 0.0, "reason": ""})
    page.until("document.querySelector('.road-facts').innerText.includes('2 confirmed of 3')")
    page.until("document.querySelector('.road-camera').naturalWidth === 640")
    page.until("document.querySelector('canvas').getAttribute('aria-label').includes('2 road users tracked')")
    words = page.evaluate("document.querySelector('canvas').getAttribute('aria-label')")
    assert "nearest: pedestrian, 14 metres ahead, 4 right" in words
    assert "36 km/h" in page.text(".road-facts")
    assert "lidar contradicted" in page.text(".road-facts")
    assert "Brake: released" in page.text(".road-brake")
    car = page.evaluate(pixel_at(25.0, 0.0))
    ground = page.evaluate(pixel_at(25.0, 12.0))
    assert car != ground
    page.picture(tmp_path / "road.png")
    assert page.errors == []


def test_a_braking_car_shows_red_and_says_why(page: Any, address: str, tmp_path: Path) -> None:
    shown(page, address, "road")
    publish(page, "automotive.perception/seen", birds_eye(tracks(), {"camera": ()}))
    brake = {"stage": "full", "deceleration_mps2": 8.0, "reason": "time to collision 0.9 s"}
    publish(page, "automotive.braking/brake", brake)
    page.until("document.querySelector('.road-brake').dataset.stage === 'full'")
    assert page.text(".road-brake") == "Brake: full, 8.0 m/s² (time to collision 0.9 s)"
    page.until("document.querySelector('.road-silent').innerText.startsWith('No data for')")
    assert page.errors == []


def test_the_panel_fits_a_narrow_screen_in_the_dark(page: Any, address: str, tmp_path: Path) -> None:
    page.size(380, 900)
    page.prefer(prefers_color_scheme="dark")
    shown(page, address, "road")
    publish(page, "automotive.perception/seen", birds_eye(tracks(), {"camera": ()}))
    page.until("document.querySelector('.road-facts').innerText.includes('confirmed')")
    assert page.evaluate("document.documentElement.scrollWidth <= 380")
    page.picture(tmp_path / "road_narrow.png")
    assert page.errors == []


def pixel_at(x_m: float, y_m: float) -> str:
    """Return JavaScript that gives the colour that the canvas has at a place of the vehicle frame."""
    return (
        "(() => { const c = document.querySelector('canvas'); const s = c.clientHeight / 82;"
        f" const x = c.clientWidth / 2 - {y_m} * s, y = c.clientHeight - ({x_m} + 12) * s;"
        " return [...c.getContext('2d').getImageData(Math.round(x), Math.round(y), 1, 1).data].join(); })()"
    )
